/* What training holds, to files and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/training_fixture.h"
#include "tests/unit/training_suites.h"

static char folder[] = "/tmp/sparkc-training-XXXXXX";

static const char *path_of(const TrainingFixture *fixture, const char *name) {
    return arena_format(fixture->arena, "%s/%s", folder, name);
}

static void feed(const TrainingFixture *fixture, uint32_t from, uint32_t to) {
    bool updated;
    for (uint32_t i = from; i < to; i++)
        CU_ASSERT_TRUE(training_feed(fixture, i, &updated).ok);
}

static void save(const TrainingFixture *fixture, TensorsKind kind, const char *path) {
    SafetensorsItem *items;
    size_t count;
    tensors_collect(fixture->arena, trainer_memory(fixture->trainer), kind, &items, &count);
    Status status = safetensors_write(fixture->arena, path, items, count, NULL, 0);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

static Safetensors *open_file(const TrainingFixture *fixture, const char *path) {
    Safetensors *file = NULL;
    CU_ASSERT_PTR_NULL_FATAL(safetensors_open(fixture->arena, path, &file).message);
    return file;
}

static void check_restore(OptimizerKind optimizer) {
    TrainingFixture straight = training_open(1, optimizer), second = training_open(1, optimizer);
    const char *path = path_of(&straight, "all.safetensors");
    feed(&straight, 0, 3);
    save(&straight, TENSORS_ALL, path);
    Safetensors *file = open_file(&second, path);
    Status status = tensors_restore(second.arena, file, trainer_memory(second.trainer));
    CU_ASSERT_PTR_NULL(status.message);
    safetensors_close(file);
    CU_ASSERT_TRUE(training_same(&straight, &second));
    trainer_set_updates(second.trainer, 3);
    feed(&straight, 3, 6);
    feed(&second, 3, 6);
    CU_ASSERT_TRUE(training_same(&straight, &second));
    unlink(path);
    training_close(&straight);
    training_close(&second);
}

static void restored_training_goes_on_alike(void) {
    check_restore(OPTIMIZER_LAMB);
    check_restore(OPTIMIZER_SGD);
}

static void names_are_official(void) {
    TrainingFixture fixture = training_open(1, OPTIMIZER_LAMB);
    const char *path = path_of(&fixture, "names.safetensors");
    save(&fixture, TENSORS_ALL, path);
    Safetensors *file = open_file(&fixture, path);
    static const char *const names[] = {
        "sparse_encoder.sp_cnn.c1.weight",
        "sparse_encoder.sp_cnn.n1.running_mean",
        "sparse_encoder.sp_cnn.n1.num_batches_tracked",
        "dense_decoder.proj.weight",
        "mask_tokens.0",
        "optimizer.exp_avg.sparse_encoder.sp_cnn.c1.weight",
        "optimizer.exp_avg_sq.mask_tokens.1",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CU_ASSERT_PTR_NOT_NULL(safetensors_find(file, names[i]));
    const SafetensorsTensor *weight = safetensors_find(file, names[0]);
    CU_ASSERT(weight->rank == 4 && weight->shape[0] == 8 && weight->shape[1] == 3);
    CU_ASSERT_EQUAL(safetensors_find(file, names[2])->dtype, SAFETENSORS_I64);
    safetensors_close(file);
    unlink(path);
    training_close(&fixture);
}

static void encoder_alone_has_bare_names(void) {
    TrainingFixture from = training_open(1, OPTIMIZER_LAMB), to = training_open(1, OPTIMIZER_LAMB);
    const char *path = path_of(&from, "encoder.safetensors");
    TensorsReport report;
    feed(&from, 0, 2);
    save(&from, TENSORS_ENCODER, path);
    Safetensors *file = open_file(&to, path);
    CU_ASSERT_PTR_NOT_NULL(safetensors_find(file, "c1.weight"));
    CU_ASSERT_PTR_NULL(safetensors_find(file, "mask_tokens.0"));
    Status status = tensors_initialise(to.arena, file, trainer_memory(to.trainer), &report);
    CU_ASSERT_PTR_NULL(status.message);
    size_t count;
    safetensors_tensors(file, &count);
    CU_ASSERT_EQUAL(report.loaded, count);
    CU_ASSERT_EQUAL(report.unused.count, 0);
    CU_ASSERT(report.missing.count > 0);
    const TrainingMemory *memory = trainer_memory(to.trainer);
    const Segment *first = &memory->graph->segments.items[0];
    CU_ASSERT_EQUAL(memcmp(memory->parameters + first->offset,
                           trainer_memory(from.trainer)->parameters + first->offset, 8 * 27 * 4),
                    0);
    safetensors_close(file);
    unlink(path);
    training_close(&from);
    training_close(&to);
}

/* A file with these tensors of zeros, each of a vector of 8. */
static const char *write_vectors(const TrainingFixture *fixture, const char *const *names,
                                 size_t count) {
    static const float zeros[8];
    const char *path = path_of(fixture, "vectors.safetensors");
    SafetensorsItem *items = arena_new_array(fixture->arena, SafetensorsItem, count);
    for (size_t i = 0; i < count; i++)
        items[i] = (SafetensorsItem){names[i], SAFETENSORS_F32, 1, {8}, zeros, NULL};
    CU_ASSERT_PTR_NULL_FATAL(
        safetensors_write(fixture->arena, path, items, count, NULL, 0).message);
    return path;
}

static void strangers_are_reported(void) {
    static const char *const some[] = {"n1.weight", "stranger", "optimizer.exp_avg.n1.weight"};
    static const char *const none[] = {"a", "b"};
    static const char *const wrong[] = {"c1.weight"};
    TrainingFixture fixture = training_open(1, OPTIMIZER_LAMB);
    const TrainingMemory *memory = trainer_memory(fixture.trainer);
    TensorsReport report;
    Safetensors *file = open_file(&fixture, write_vectors(&fixture, some, 3));
    CU_ASSERT_PTR_NULL(tensors_initialise(fixture.arena, file, memory, &report).message);
    CU_ASSERT(report.loaded == 1 && report.unused.count == 1);
    CU_ASSERT_STRING_EQUAL(report.unused.items[0], "stranger");
    Status status = tensors_restore(fixture.arena, file, memory);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "another network"));
    safetensors_close(file);
    file = open_file(&fixture, write_vectors(&fixture, none, 2));
    CU_ASSERT_PTR_NOT_NULL(tensors_initialise(fixture.arena, file, memory, &report).message);
    safetensors_close(file);
    file = open_file(&fixture, write_vectors(&fixture, wrong, 1));
    status = tensors_initialise(fixture.arena, file, memory, &report);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "[8, 3, 3, 3]"));
    safetensors_close(file);
    unlink(path_of(&fixture, "vectors.safetensors"));
    training_close(&fixture);
}

int training_make_folder(void) {
    return mkdtemp(folder) ? 0 : 1;
}

int training_remove_folder(void) {
    return rmdir(folder);
}

CU_TestInfo training_tensors_tests[] = {
    {"a restored training goes on alike", restored_training_goes_on_alike},
    {"checkpoints have the official names", names_are_official},
    {"the encoder alone has bare names and begins another training", encoder_alone_has_bare_names},
    {"what does not fit is reported", strangers_are_reported},
    CU_TEST_INFO_NULL,
};
