/* What the commands that train have in common on the command line and on stderr. */
#ifndef SPARKC_TOOLS_TRAIN_TRAINING_OPTIONS_H
#define SPARKC_TOOLS_TRAIN_TRAINING_OPTIONS_H

#include "runtime/train/schedule.h"
#include "tools/code_options.h"
#include "tools/train/run_record.h"

/* The name of the option that has the key, without its dashes. */
const char *training_options_name(const struct argp_option *table, int key);

/* --mean and --std: up to SCAN_MOST_CHANNELS numbers behind commas; --mean imagenet sets both. A
 * usage error ends the process. */
void training_options_mean(struct argp_state *state, const char *text,
                           RunNormalization *normalization);
void training_options_deviation(struct argp_state *state, const char *text,
                                RunNormalization *normalization);

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
