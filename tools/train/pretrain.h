/* A pretraining run: a folder that holds all it needs, and the loop that fills it.
 *
 *     RUN/run.json      settings, network, data, versions     RUN/log.jsonl     what happened
 *     RUN/network.cnn   the network, flattened                RUN/events/       for TensorBoard
 *     RUN/checkpoints/  state by update                       RUN/pictures/     reconstructions
 *     RUN/report.html   curve, pictures, settings             RUN/lock          one writer at a
 * time
 */
#ifndef SPARKC_TOOLS_TRAIN_PRETRAIN_H
#define SPARKC_TOOLS_TRAIN_PRETRAIN_H

#include "runtime/train/run_folder.h"
#include "tools/code_options.h"
#include "tools/network.h"
#include "tools/train/loop.h"
#include "tools/train/pretrain_settings.h"

typedef struct PretrainRun {
    Arena *arena; /* of everything here */
    const char *folder;
    RunLock *lock;
    Options options; /* how the network is read; its pass options are settings.pass */
    PretrainSettings settings;
    RunPaths sources; /* absolute */
    Source source;
    const Graph *graph; /* as the front end made it */
    ExecutorOptions code;
    int decode_threads;
    Trainer *trainer;
    RunState state;
    json_t *record; /* run.json */
    bool progress;  /* stderr is a terminal */
} PretrainRun;

/* Makes a new run: opens the data, completes the settings (scanning the data for mean and deviation
 * if they are not given), compiles, writes RUN. Needs folder, options, settings, sources, code and
 * decode_threads; reports on stderr. RUN must not hold a run. */
Status pretrain_create(PretrainRun *run);

/* Opens the run in `folder` to go on with it, from its newest sound checkpoint: needs folder, code,
 * decode_threads; `sources` may say where the same data lie now. */
Status pretrain_resume(PretrainRun *run);

/* Trains to the end, or until SIGINT or SIGTERM, which set *stopped after a last checkpoint. */
Status pretrain_train(PretrainRun *run, bool *stopped);

/* Frees what stands behind a run, whole or not. */
void pretrain_close(PretrainRun *run);

/* The network, settings and sources of RUN/run.json, for the commands that look at a run. The
 * network is built into run->graph. */
Status pretrain_open(PretrainRun *run);

/* Enumerates run->sources into run->source; where there are none, those of run->record. */
Status pretrain_open_source(PretrainRun *run);

#endif
