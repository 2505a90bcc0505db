/* A fine-tuning run: a classifier trained on labelled pictures, from pretrained weights or from
 * none. Its folder is like a pretraining's (tools/train/pretrain.h), with
 *
 *     RUN/model.safetensors           encoder and head as the last update left them
 *     RUN/model-average.safetensors   their moving averages, if there are
 *     RUN/result.json                 how well both classify
 */
#ifndef SPARKC_TOOLS_TRAIN_FINETUNE_H
#define SPARKC_TOOLS_TRAIN_FINETUNE_H

#include "runtime/data/labels.h"
#include "runtime/train/run_folder.h"
#include "tools/execute/extractor.h"
#include "tools/train/finetune_settings.h"

/* Labelled pictures: those that are trained on, or judged. */
typedef struct FinetuneSet {
    RunPaths paths; /* absolute */
    Source source;
    ExtractorPictures pictures; /* those of the source that are used */
} FinetuneSet;

/* How well a set is classified. */
typedef struct FinetuneScore {
    double accuracy, loss; /* share that is right; mean cross-entropy */
    size_t pictures;
} FinetuneScore;

typedef struct FinetuneRun {
    Arena *arena; /* of everything here */
    const char *folder;
    RunLock *lock;
    Options options;  /* how the network is read */
    const char *from; /* the folder of a pretraining, whose network, normalisation and, without
                         settings.init_weights, encoder are taken; NULL: none */
    bool random;      /* no weights are taken from it */
    FinetuneSettings settings;
    FinetuneSet train, test; /* test: held out of the training pictures if a share is */
    Source chosen;           /* the samples that are trained on */
    const char *const *class_names;
    size_t class_count;
    const Graph *graph; /* as the front end made it */
    ExecutorOptions code;
    int decode_threads;
    Trainer *trainer;
    Extractor *extractor; /* for judging */
    RunState state;
    json_t *record;                     /* run.json */
    bool progress;                      /* stderr is a terminal */
    bool warned;                        /* of bad pictures that are judged */
    FinetuneScore score, average_score; /* of the last evaluation; the latter with averages */
} FinetuneRun;

/* Makes a new run: opens the data, completes the settings, fits the network's head to the classes,
 * compiles, takes the weights, writes RUN. Needs folder, options (with a model, unless `from`),
 * settings, paths, code and decode_threads; reports on stderr. RUN must not hold a run. */
Status finetune_create(FinetuneRun *run);

/* Opens the run in `folder` to go on with it, from its newest sound checkpoint: needs folder, code,
 * decode_threads; paths may say where the same data lie now. */
Status finetune_resume(FinetuneRun *run);

/* Trains to the end, judges and writes the models; or until SIGINT or SIGTERM, which set *stopped
 * after a last checkpoint. */
Status finetune_train(FinetuneRun *run, bool *stopped);

/* The scores of the last evaluation, as in RUN/result.json. */
json_t *finetune_result_json(const FinetuneRun *run);

/* Frees what stands behind a run, whole or not. */
void finetune_close(FinetuneRun *run);

/* Opens both sets, by the paths given or else by those of run->record, and chooses the pictures. */
Status finetune_open_data(FinetuneRun *run);

#endif
