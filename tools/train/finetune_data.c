/* The labelled pictures of a fine-tuning. */
#include "tools/train/finetune.h"

static Status open_set(FinetuneRun *run, FinetuneSet *set, const char *part) {
    const json_t *recorded = json_object_get(run->record, part);
    Arena *arena = run->arena;
    status_return_if_failed(run_data_paths(arena, run->folder, recorded, &set->paths));
    status_return_if_failed(run_data_open(arena, &set->paths, run->progress, &set->source));
    return run->record ? run_data_check(arena, run->folder, recorded, &set->source) : STATUS_FINE;
}

static void take(const LabelsChoice *choice, const Source *source, ExtractorPictures *pictures) {
    *pictures = (ExtractorPictures){source, choice->samples, choice->classes, choice->count};
}

/* The pictures to train on; and to judge, if a share of each class is held out for that. */
static Status choose(FinetuneRun *run, const Labels *labels) {
    const FinetuneSettings *settings = &run->settings;
    size_t count = (size_t)settings->count;
    LabelsChoice kept, held = {0};
    Status status = settings->hold_out > 0
                        ? labels_hold_out(run->arena, labels, count, settings->hold_out,
                                          settings->training.seed, &kept, &held)
                        : labels_choose(run->arena, labels, count, settings->training.seed, &kept);
    status_return_if_failed(status);
    take(&kept, &run->train.source, &run->train.pictures);
    take(&held, &run->train.source, &run->test.pictures);
    return STATUS_FINE;
}

static Status open_test(FinetuneRun *run, const Labels *table) {
    Labels labels;
    LabelsChoice all;
    if (run->settings.hold_out > 0 && run->test.paths.count > 0)
        return status_failure(run->arena, "%s judges held-out pictures: leave out --test",
                              run->folder);
    if (run->settings.hold_out > 0)
        return STATUS_FINE;
    status_return_if_failed(open_set(run, &run->test, "test"));
    status_return_if_failed(labels_match(run->arena, &run->test.source, table, &labels));
    status_return_if_failed(labels_choose(run->arena, &labels, 0, 0, &all));
    take(&all, &run->test.source, &run->test.pictures);
    return STATUS_FINE;
}

Status finetune_open_data(FinetuneRun *run) {
    Labels labels;
    status_return_if_failed(open_set(run, &run->train, "data"));
    status_return_if_failed(labels_read(run->arena, &run->train.source, &labels));
    run->class_names = labels.names;
    run->class_count = labels.class_count;
    status_return_if_failed(choose(run, &labels));
    status_return_if_failed(open_test(run, &labels));
    const ExtractorPictures *pictures = &run->train.pictures;
    for (size_t i = 0; i < pictures->count; i++) {
        SourceSample sample = run->train.source.samples.items[pictures->samples[i]];
        vector_push(run->arena, &run->chosen.samples, sample);
    }
    return STATUS_FINE;
}
