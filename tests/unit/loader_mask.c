/* Masks, drawn and from files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "runtime/train/mask.h"
#include "tests/unit/loader_fixture.h"
#include "tests/unit/loader_suites.h"

/* Recorded when masks were drawn in the tools alone. */
static void are_what_they_always_were(void) {
    static const int32_t wanted[] = {1, 3, 5, 6, 2, 3, 4, 5};
    int32_t list[8];
    mask_draw(7, 3, 2, 9, 4, list);
    CU_ASSERT(memcmp(list, wanted, sizeof list) == 0);
}

static void show_as_many_cells_ascending(void) {
    int wrong = 0;
    for (uint32_t step = 0; step < 100; step++) {
        for (int64_t keep = 1; keep <= 16; keep++) {
            int32_t list[3 * 16];
            mask_draw(1, step, 3, 16, keep, list);
            for (int64_t i = 0; i < 3 * keep; i++)
                wrong += list[i] < 0 || list[i] >= 16 || (i % keep && list[i] <= list[i - 1]);
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void depend_on_seed_step_and_image_alone(void) {
    int32_t first[4 * 20], again[4 * 20], fewer[2 * 20], other[4 * 20];
    mask_draw(1, 2, 4, 49, 20, first);
    mask_draw(1, 2, 4, 49, 20, again);
    CU_ASSERT(memcmp(first, again, sizeof first) == 0);
    mask_draw(1, 2, 2, 49, 20, fewer);
    CU_ASSERT(memcmp(first, fewer, sizeof fewer) == 0);
    CU_ASSERT(memcmp(first, first + 20, 20 * sizeof *first) != 0);
    mask_draw(1, 3, 4, 49, 20, other);
    CU_ASSERT(memcmp(first, other, sizeof first) != 0);
    mask_draw(2, 2, 4, 49, 20, other);
    CU_ASSERT(memcmp(first, other, sizeof first) != 0);
}

/* Each cell, and each pair of cells, is visible as often as others, within 5 standard deviations.
 */
static void prefer_no_cell(void) {
    enum { CELLS = 9, KEEP = 4, BATCH = 50, STEPS = 800 };
    const double draws = BATCH * STEPS, share = (double)KEEP / (double)CELLS;
    const double both = share * (double)(KEEP - 1) / (double)(CELLS - 1);
    int hits[CELLS][CELLS] = {{0}};
    for (uint32_t step = 0; step < STEPS; step++) {
        int32_t list[BATCH * KEEP];
        mask_draw(3, step, BATCH, CELLS, KEEP, list);
        for (int i = 0; i < BATCH * KEEP * KEEP; i++)
            hits[list[i / KEEP]][list[i / (KEEP * KEEP) * KEEP + i % KEEP]]++;
    }
    for (int i = 0; i < CELLS * CELLS; i++) {
        double p = i / CELLS == i % CELLS ? share : both;
        CU_ASSERT(fabs(hits[i / CELLS][i % CELLS] - draws * p) < 5 * sqrt(draws * p * (1 - p)));
    }
}

static void are_read_from_files(void) {
    static const char *const texts[] = {"#..\n.#1\n", "# . .\r\n\r\n\t. # #\r\n", "\n100\n011"};
    static const int32_t wanted[] = {0, 4, 5};
    Folder folder = folder_create();
    for (int i = 0; i < 3; i++) {
        MaskFile mask;
        folder_write_text(folder, "mask.txt", texts[i]);
        Status status = mask_read(folder.arena, folder_inside(folder, "mask.txt"), &mask);
        CU_ASSERT_FATAL(status_fine(status));
        CU_ASSERT(mask.rows == 2 && mask.columns == 3 && mask.keep == 3);
        CU_ASSERT(memcmp(mask.list, wanted, sizeof wanted) == 0);
    }
    folder_destroy(folder);
}

/* The message, without the folder, that a mask is refused with. */
static const char *refusal(Folder folder, const char *name) {
    MaskFile mask;
    Status status = mask_read(folder.arena, folder_inside(folder, name), &mask);
    CU_ASSERT_FATAL(!status_fine(status));
    CU_ASSERT_FATAL(text_starts_with(status.message, folder.path));
    return status.message + strlen(folder.path) + 1;
}

static void are_refused_with_file_and_line(void) {
    static const char cell[] = "in a mask; a visible cell is # or 1, a hidden one . or 0";
    Folder folder = folder_create();
    const struct {
        const char *text, *message;
    } cases[] = {{"#.\n.x\n", arena_format(folder.arena, "m:2: 'x' %s", cell)},
                 {"#.\n\n☀.\n", arena_format(folder.arena, "m:3: '☀' %s", cell)},
                 {"#.\n.\xe9", arena_format(folder.arena, "m:2: '\xe9' %s", cell)},
                 {"#..\n#.\n", "m:2: a row of 2 cells; the first row has 3"},
                 {"\n#.\n#.\n#. .", "m:4: a row of 3 cells; the first row has 2"},
                 {"", "m: there is no cell in the mask"},
                 {" \n\n", "m: there is no cell in the mask"},
                 {"##\n11\n", "m: no cell is hidden; a mask has cells of both kinds"},
                 {"..0", "m: no cell is visible; a mask has cells of both kinds"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_write_text(folder, "m", cases[i].text);
        CU_ASSERT_STRING_EQUAL(refusal(folder, "m"), cases[i].message);
    }
    CU_ASSERT_STRING_EQUAL(refusal(folder, "missing"), "missing: No such file or directory");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "."), ".: is a folder, not a file");
    folder_destroy(folder);
}

static void are_refused_with_zero_bytes(void) {
    Folder folder = folder_create();
    FILE *file = fopen(folder_inside(folder, "m"), "wb");
    CU_ASSERT_FATAL(file != NULL);
    fwrite("#.\n.\0", 1, 5, file);
    fclose(file);
    CU_ASSERT(text_starts_with(refusal(folder, "m"), "m:2: a byte of value 0 in a mask"));
    folder_destroy(folder);
}

static void have_at_most_so_many_cells(void) {
    enum { SIDE = 1 << 10 };
    Folder folder = folder_create();
    Text text = text_create(folder.arena);
    MaskFile mask;
    for (int i = 0; i < SIDE; i++)
        text_append(&text, "#%01023d\n", 0);
    folder_write_text(folder, "m", text.data);
    Status status = mask_read(folder.arena, folder_inside(folder, "m"), &mask);
    CU_ASSERT(status_fine(status) && mask.rows == SIDE && mask.columns == SIDE &&
              mask.keep == SIDE);
    text_append(&text, ".");
    folder_write_text(folder, "m", text.data);
    CU_ASSERT_STRING_EQUAL(refusal(folder, "m"), "m:1025: the mask has more than 1048576 cells");
    folder_destroy(folder);
}

CU_TestInfo loader_mask_tests[] = {
    {"are what they always were", are_what_they_always_were},
    {"show as many cells, ascending", show_as_many_cells_ascending},
    {"depend on seed, step and image alone", depend_on_seed_step_and_image_alone},
    {"prefer no cell", prefer_no_cell},
    {"are read from files", are_read_from_files},
    {"are refused with file and line", are_refused_with_file_and_line},
    {"are refused with zero bytes", are_refused_with_zero_bytes},
    {"have at most so many cells", have_at_most_so_many_cells},
    CU_TEST_INFO_NULL,
};
