/* What the folders of runs have in common: RUN/run.json, RUN/network.cnn beside it, and the data
 * and weights that run.json names. The messages of failures live in the arena given. */
#ifndef SPARKC_TOOLS_TRAIN_RUN_RECORD_H
#define SPARKC_TOOLS_TRAIN_RUN_RECORD_H

#include <jansson.h>

#include "runtime/data/loader.h"
#include "runtime/data/scan.h"
#include "runtime/data/source.h"
#include "tools/network.h"
#include "tools/train/trainer.h"

typedef VECTOR(const char *) RunPaths;

/* Mean and deviation of each channel. */
typedef struct RunNormalization {
    double mean[SCAN_MOST_CHANNELS], deviation[SCAN_MOST_CHANNELS];
    int mean_count, deviation_count; /* how many are given; 0: measured */
} RunNormalization;

/* ---- run.json -------------------------------------------------------------------------------- */

/* Fails if `folder` holds a run already. */
Status run_record_check_free(Arena *arena, const char *folder);

/* The beginning of a record: its kind ("pretrain", "finetune"), versions, the time. The caller owns
 * the reference. */
json_t *run_record_create(Arena *arena, const char *kind);

/* The program's part: processor, hash of the code, threads, sizes. */
json_t *run_record_machine(const ExecutorOptions *code, const Trainer *trainer);

/* Replaces RUN/run.json. All texts of the record are UTF-8 (run_record_check_text). */
Status run_record_write(Arena *arena, const char *folder, const json_t *record);

/* Reads RUN/run.json, which must be of this kind; the caller owns the reference. */
Status run_record_read(Arena *arena, const char *folder, const char *kind, json_t **record);

/* The failure of a record that says `what`. */
Status run_record_damaged(Arena *arena, const char *folder, const char *what);

/* A text of an object, or NULL. */
const char *run_record_text(const json_t *json, const char *name);
void run_record_set_text(json_t *json, const char *name, const char *text); /* NULL: null */

/* Fails if a name from outside is not UTF-8, as JSON has to be; NULL is none. */
Status run_record_check_text(Arena *arena, const char *text);

/* Tells on stderr that the code differs from the one the run was begun with, if it does. */
void run_record_compare_code(const json_t *record, const Trainer *trainer);

/* ---- Network --------------------------------------------------------------------------------- */

/* Builds the network of a file; its messages are printed. Fails if there is none, or if its image
 * is none that pictures can be. `flattened` may be NULL. */
Status run_network_build(Arena *arena, Options *options, const char *path, const Graph **graph,
                         const char **flattened);

/* Whether there is such a network; nothing is printed or kept. */
bool run_network_try(Arena *arena, const Options *options);

/* Writes RUN/network.cnn, and builds the network of that. */
Status run_network_keep(Arena *arena, const char *folder, Options *options, const char *flattened,
                        const Graph **graph);

/* How the network of `options` is read, for the record; and back, building RUN/network.cnn. What is
 * read lives in the arena. */
json_t *run_network_json(const Options *options, const char *model);
Status run_network_open(Arena *arena, const char *folder, const json_t *record, Options *options,
                        const Graph **graph);

/* run_record_check_text of all that run_network_json writes. */
Status run_network_check_texts(Arena *arena, const Options *options, const char *model);

/* ---- Data ------------------------------------------------------------------------------------ */

/* The paths that a part of the record lists, if `paths` is empty. */
Status run_data_paths(Arena *arena, const char *folder, const json_t *part, RunPaths *paths);

/* Makes the paths absolute, and enumerates them; what cannot be a picture costs a warning. */
Status run_data_open(Arena *arena, RunPaths *paths, bool terminal, Source *source);

/* Paths, number of pictures and fingerprint; and the check that the data are still the same. */
json_t *run_data_json(Arena *arena, const RunPaths *paths, const Source *source);
Status run_data_check(Arena *arena, const char *folder, const json_t *part, const Source *source);

/* How a network's pictures are loaded in batches: crops as in pretraining, mirrored or not; seed
 * and largest share of bad pictures are the caller's. */
LoaderOptions run_data_loader(const Geometry *geometry, const RunNormalization *normalization,
                              int64_t batch, int threads, bool no_flip);

/* Names of classes, for results; those that are not UTF-8 are escaped. */
json_t *run_classes_json(Arena *arena, const char *const *names, size_t count);

/* Measures what is not given: both are given for every channel, or neither. A channel of one colour
 * counts as of deviation 1: there is nothing to scale. */
Status run_normalization(Arena *arena, const Source *source, int channels, int threads,
                         bool terminal, RunNormalization *normalization);

/* As "mean" and "std" of the settings in a record, and back. */
void run_normalization_json(json_t *settings, const RunNormalization *normalization, int channels);
Status run_normalization_read(Arena *arena, const json_t *settings, int channels,
                              RunNormalization *normalization);

#endif
