/* What the commands that train have in common on the command line and on stderr. */
#ifndef SPARKC_TOOLS_TRAIN_TRAINING_OPTIONS_H
#define SPARKC_TOOLS_TRAIN_TRAINING_OPTIONS_H

#include "tools/code_options.h"
#include "tools/train/training_settings.h"

/* The name of the option that has the key, without its dashes. */
const char *training_options_name(const struct argp_option *table, int key);

/* An option that is a setting of run.json. */
typedef struct TrainingOption {
    int key;
    const char *setting;
} TrainingOption;

/* The setting of the option that has the key; NULL: it is none of the `count` options. */
const char *training_options_setting(const TrainingOption *options, size_t count, int key);

/* A usage error, which ends the process, if an option's setting could not be set. */
void training_options_require(struct argp_state *state, const struct argp_option *table, int key,
                              Status status);

/* The options that training commands share, parsed once. A command's argp has training_options_argp
 * among its children, and hands one of these over in ARGP_KEY_INIT, with `arena` and `settings`. */
typedef struct TrainingOptions {
    Arena *arena;
    TrainingSettings *settings;
    const char *out, *resume; /* folders; NULL: not given */
    int decode_threads;
    const char *given; /* the last option given that decides the training; NULL: none */
} TrainingOptions;

extern const struct argp training_options_argp;

/* Beside --resume there is nothing that decides the training: neither an option, nor --out, nor the
 * network and how it is read; `network_given` names options of that kind, NULL: there are none. A
 * usage error ends the process. */
void training_options_check_resume(struct argp_state *state, const TrainingOptions *options,
                                   const Options *network, const char *network_given);

/* Where a run stands that goes on; how it is gone on with after it was stopped. */
void training_options_resumed(FILE *out, const RunState *state);
void training_options_stopped(FILE *out, const RunState *state, const char *command,
                              const char *folder);

/* "mean 0.4910 ..., deviation 0.2470 ..." and the end of the line. */
void training_options_print(FILE *out, const RunNormalization *normalization, int channels);

/* "plan": how many updates of how many images, computed so many at a time, and the learning rate.
 */
void training_options_plan(FILE *out, const Schedule *schedule, int64_t batch, int64_t micro_batch,
                           int64_t epoch_steps);

/* The code's line; and a warning if its memory is more than the machine's, which says what to
 * choose. */
void training_options_costs(FILE *out, const TrainerCosts *costs, const char *remedy);

#endif
