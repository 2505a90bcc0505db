/* The labelled pictures of a fine-tuning. */
#include <math.h>

#include "base/fatal.h"
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

/* What is in `all` and not in `part`, both in the order of their numbers. */
static LabelsChoice difference(Arena *arena, const LabelsChoice *all, const LabelsChoice *part) {
    LabelsChoice rest = {arena_new_array(arena, size_t, all->count),
                         arena_new_array(arena, uint32_t, all->count), 0};
    size_t next = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (next < part->count && part->samples[next] == all->samples[i]) {
            next++;
            continue;
        }
        rest.samples[rest.count] = all->samples[i];
        rest.classes[rest.count++] = all->classes[i];
    }
    invariant(next == part->count, "a smaller subset is part of a larger one of the same seed");
    return rest;
}

/* Of the pictures chosen a share, drawn anew for each seed, is judged instead of test pictures. */
static Status hold_out(FinetuneRun *run, const Labels *labels, const LabelsChoice *all) {
    Arena *arena = run->arena;
    LabelsChoice kept;
    double share = run->settings.hold_out;
    size_t count = (size_t)nearbyint((double)all->count * (1 - share));
    if (count == all->count)
        return status_failure(arena, "--hold-out %g: of %zu pictures that is none", share,
                              all->count);
    status_return_if_failed(labels_choose(arena, labels, count, run->settings.seed, &kept));
    LabelsChoice rest = difference(arena, all, &kept);
    take(&kept, &run->train.source, &run->train.pictures);
    take(&rest, &run->train.source, &run->test.pictures);
    return STATUS_FINE;
}

static Status choose(FinetuneRun *run, const Labels *labels) {
    LabelsChoice chosen;
    status_return_if_failed(labels_choose(run->arena, labels, (size_t)run->settings.count,
                                          run->settings.seed, &chosen));
    take(&chosen, &run->train.source, &run->train.pictures);
    return run->settings.hold_out > 0 ? hold_out(run, labels, &chosen) : STATUS_FINE;
}

static Status open_test(FinetuneRun *run, const Labels *table) {
    Labels labels;
    LabelsChoice all;
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
