/* Checkpoints that are damaged at any place, cut, or another program's. */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/store_fixture.h"
#include "tests/unit/store_state.h"
#include "tests/unit/store_suites.h"

typedef struct Checkpoint {
    Store store;
    const char *path; /* where damaged copies are written */
    char *bytes;
    size_t length;
} Checkpoint;

static Checkpoint begin(void) {
    Checkpoint checkpoint = {.store = store_begin()};
    Store *store = &checkpoint.store;
    CU_ASSERT_TRUE_FATAL(status_fine(state_write(store->arena, store->folder, 12, 0.5, 1)));
    checkpoint.bytes =
        store_read(store, store_path(store, "step-00000012.safetensors"), &checkpoint.length);
    checkpoint.path = store_path(store, "copy");
    return checkpoint;
}

/* True if the bytes, as a file, are refused and what is said has one of these words. */
static bool refused(const Checkpoint *checkpoint, const char *bytes, size_t length) {
    Arena *arena = arena_create();
    Safetensors *file;
    store_write(checkpoint->path, bytes, length);
    Status status = checkpoint_open(arena, checkpoint->path, &file);
    bool fine = status_fine(status);
    bool said = !fine && (strstr(status.message, "damaged") || strstr(status.message, "foreign"));
    if (fine)
        safetensors_close(file);
    arena_destroy(arena);
    return said;
}

static void notices_every_flipped_bit(void) {
    Checkpoint checkpoint = begin();
    size_t missed = 0;
    for (size_t bit = 0; bit < 8 * checkpoint.length; bit++) {
        char mask = (char)(1 << bit % 8);
        checkpoint.bytes[bit / 8] ^= mask;
        if (!refused(&checkpoint, checkpoint.bytes, checkpoint.length)) {
            printf("\n  bit %zu of byte %zu\n", bit % 8, bit / 8);
            missed++;
        }
        checkpoint.bytes[bit / 8] ^= mask;
    }
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_FALSE(refused(&checkpoint, checkpoint.bytes, checkpoint.length));
    store_end(&checkpoint.store);
}

static void notices_every_cut(void) {
    Checkpoint checkpoint = begin();
    for (size_t length = 0; length < checkpoint.length; length++)
        CU_ASSERT_TRUE(refused(&checkpoint, checkpoint.bytes, length));
    CU_ASSERT_TRUE(refused(&checkpoint, checkpoint.bytes, checkpoint.length + 1));
    store_end(&checkpoint.store);
}

static void tells_damaged_from_foreign(void) {
    Checkpoint checkpoint = begin();
    Arena *arena = checkpoint.store.arena;
    Safetensors *file;
    float value = 1;
    SafetensorsItem item = {"a", SAFETENSORS_F32, 0, {0}, &value, NULL};
    SafetensorsPair pair = {"format", "pt"};
    CU_ASSERT_TRUE(status_fine(safetensors_write(arena, checkpoint.path, &item, 1, &pair, 1)));
    store_expect_failure(checkpoint_open(arena, checkpoint.path, &file),
                         "copy: a foreign file: sparkc has not written it");
    checkpoint.bytes[checkpoint.length - 1] ^= 1;
    store_write(checkpoint.path, checkpoint.bytes, checkpoint.length);
    store_expect_failure(checkpoint_open(arena, checkpoint.path, &file),
                         "copy: the checkpoint is damaged: its contents do not have the sum");
    store_write(checkpoint.path, checkpoint.bytes, checkpoint.length - 8);
    store_expect_failure(checkpoint_open(arena, checkpoint.path, &file),
                         "copy: damaged, or not a checkpoint: tensor ");
    store_expect_failure(checkpoint_open(arena, store_path(&checkpoint.store, "none"), &file),
                         "none: No such file or directory");
    store_expect_failure(checkpoint_open(arena, checkpoint.store.folder, &file), "not a regular");
    store_end(&checkpoint.store);
}

CU_TestInfo store_damage_tests[] = {
    {"notices every flipped bit", notices_every_flipped_bit},
    {"notices every cut", notices_every_cut},
    {"tells damaged from foreign", tells_damaged_from_foreign},
    CU_TEST_INFO_NULL,
};
