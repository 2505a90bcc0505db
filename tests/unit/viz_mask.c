/* How masks spread through a network's layers, against grids worked out by hand, and the picture.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/picture.h"
#include "tests/support/text_network.h"
#include "tests/unit/harness.h"
#include "tools/inspect/activity.h"
#include "tools/inspect/mask_picture.h"

/* The graph of a network with an image of 1 x height x width, whose lines are `body`. */
static Graph *network(Arena *arena, int height, int width, const char *body) {
    const char *text =
        arena_format(arena, "network net(image = [1, %d, %d]) {\n%s\n}\n", height, width, body);
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    Graph *graph = text_network(arena, diagnostics, text);
    if (!graph)
        fputs(diagnostics_text(diagnostics, false), stderr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph);
    return graph;
}

/* `#` for a position that is active, rows ended by blanks. */
static const char *grid_text(Arena *arena, const ActivityMap *map, const bool *active) {
    Text text = text_create(arena);
    for (int64_t i = 0; i < map->extent[0] * map->extent[1]; i++) {
        bool begins = i > 0 && i % map->extent[1] == 0;
        text_append(&text, "%s%c", begins ? " " : "", active[i] ? '#' : '.');
    }
    return text.data;
}

/* The last feature of a network of `side` x `side` pixels, with some cells visible. */
static void expect(int side, const char *body, const int32_t *cells, int64_t keep,
                   const char *dense, const char *ours) {
    Arena *arena = arena_create();
    size_t count;
    const ActivityMap *maps =
        activity_of(network(arena, side, side, body), arena, cells, keep, &count);
    const ActivityMap *last = &maps[count - 1];
    const char *found = grid_text(arena, last, last->dense);
    if (strcmp(found, dense) != 0)
        fprintf(stderr, "%s\n  expected %s\n  found    %s\n", body, dense, found);
    CU_ASSERT_STRING_EQUAL(found, dense);
    CU_ASSERT_STRING_EQUAL(grid_text(arena, last, last->ours), ours);
    arena_destroy(arena);
}

static const int32_t centre[] = {12}, corner[] = {0}, fifth[] = {5};
static const char centre_text[] = "..... ..... ..#.. ..... .....";

/* Layers behind s, a map of 5 x 5 with its cells; the one in the middle is visible. */
static void expect_centre(const char *layers, const char *dense) {
    Arena *arena = arena_create();
    const char *body =
        arena_format(arena, "s = image |> conv(2, kernel = 2, stride = 2)\n%s", layers);
    expect(10, body, centre, 1, dense, centre_text);
    arena_destroy(arena);
}

static void a_window_grows_by_its_taps(void) {
    expect_centre("x = s |> conv(2, kernel = 3, pad = 1) feature x",
                  "..... .###. .###. .###. .....");
    expect_centre("x = s |> conv(2, kernel = [1, 3], pad = [0, 1]) feature x",
                  "..... ..... .###. ..... .....");
    expect_centre("x = s |> conv(2, kernel = 3, pad = 2, dilation = 2) feature x",
                  "#.#.# ..... #.#.# ..... #.#.#");
    expect_centre("x = s |> max_pool(3, stride = 1, pad = 1) feature x",
                  "..... .###. .###. .###. .....");
    expect_centre("x = s |> avg_pool(3, stride = 1, pad = 1) feature x",
                  "..... .###. .###. .###. .....");
    expect_centre("x = s |> conv_transpose(2, kernel = 3, pad = 1) feature x",
                  "..... .###. .###. .###. .....");
    expect_centre("x = s |> conv_transpose(2, kernel = 3, pad = 2, dilation = 2) feature x",
                  "#.#.# ..... #.#.# ..... #.#.#");
    expect(8,
           "s = image |> conv(2, kernel = 2, stride = 2) x = s |> conv(2, kernel = 3, pad = 1) "
           "feature x",
           corner, 1, "##.. ##.. .... ....", "#... .... .... ....");
}

static void layers_add_up(void) {
    expect_centre("x = s |> conv(2, kernel = 3, pad = 1) |> conv(2, kernel = 3, pad = 1) "
                  "feature x",
                  "##### ##### ##### ##### #####");
}

/* The cell of 2 x 2 pixels at row 1, column 1 of an image of 8 x 8. */
static void a_stride_keeps_what_it_reaches(void) {
    expect(8, "x = image |> conv(2, kernel = 2, stride = 2) feature x", fifth, 1,
           ".... .#.. .... ....", ".... .#.. .... ....");
    expect(8, "x = image |> conv(2, kernel = 3, stride = 2, pad = 1) feature x", fifth, 1,
           ".... .##. .##. ....", ".... .#.. .... ....");
    expect(8, "x = image |> conv(2, kernel = 3, pad = 1) |> max_pool(2, stride = 2) feature x",
           fifth, 1, "###. ###. ###. ....", ".... .#.. .... ....");
}

static void a_larger_map_is_reached_from_the_smaller(void) {
    const char *down = "x = image |> conv(2, kernel = 2, stride = 2) ";
    Arena *arena = arena_create();
    const char *nearest =
        arena_format(arena, "%s y = x |> upsample(2) |> max_pool(2, stride = 2) feature y", down);
    const char *bilinear = arena_format(
        arena, "%s y = x |> upsample(2, mode = \"bilinear\") |> max_pool(2, stride = 2) feature y",
        down);
    const char *transposed = arena_format(arena,
                                          "%s y = x |> conv_transpose(2, kernel = 2, stride = 2) "
                                          "|> max_pool(2, stride = 2) feature y",
                                          down);
    expect(8, nearest, fifth, 1, ".... .#.. .... ....", ".... .#.. .... ....");
    expect(8, bilinear, fifth, 1, "###. ###. ###. ....", ".... .#.. .... ....");
    expect(8, transposed, fifth, 1, ".... .#.. .... ....", ".... .#.. .... ....");
    arena_destroy(arena);
}

static void norms_activations_and_biases_keep_the_pattern(void) {
    expect_centre("x = s |> conv(4, kernel = 1, bias = true) |> batch_norm |> relu feature x",
                  centre_text);
    expect_centre("x = s |> conv(4, kernel = 1) |> layer_norm |> gelu feature x", centre_text);
    expect_centre("x = s |> conv(4, kernel = 1) |> group_norm(2) |> sigmoid feature x",
                  centre_text);
}

static void branches_join(void) {
    const char *wide = "..... .###. .###. .###. .....";
    expect_centre("x = s |> conv(2, kernel = 1) "
                  "y = x |> conv(2, kernel = 3, pad = 1) z = x + y feature z",
                  wide);
    expect_centre("x = s |> conv(2, kernel = 1) "
                  "y = x |> conv(2, kernel = 3, pad = 1) z = concat(x, y) feature z",
                  wide);
    expect_centre("x = s |> conv(2, kernel = 1) "
                  "y = x |> conv(2, kernel = 3, pad = 1) z = x * y feature z",
                  centre_text);
}

/* Zero times a gate is zero; a mean that is added is everywhere. */
static void a_gate_keeps_and_an_added_mean_fills(void) {
    expect_centre("x = s |> conv(2, kernel = 1) "
                  "g = x |> global_avg_pool |> conv(2, kernel = 1) |> sigmoid z = x * g feature z",
                  centre_text);
    expect_centre("x = s |> conv(2, kernel = 1) "
                  "g = x |> global_avg_pool |> conv(2, kernel = 1) z = x + g feature z",
                  "##### ##### ##### ##### #####");
}

static void shares_are_those_of_the_grids(void) {
    Arena *arena = arena_create();
    size_t count;
    Graph *graph =
        network(arena, 8, 16, "x = image |> conv(2, kernel = 3, stride = 2, pad = 1) feature x");
    const int32_t cells[] = {5, 31};
    const ActivityMap *maps = activity_of(graph, arena, cells, 2, &count);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_STRING_EQUAL(maps[0].name, "image");
    CU_ASSERT_STRING_EQUAL(maps[1].name, "feature.0");
    CU_ASSERT_EQUAL(maps[0].stride, 1);
    CU_ASSERT_EQUAL(maps[1].stride, 2);
    CU_ASSERT_EQUAL(maps[1].extent[1], 8);
    CU_ASSERT_EQUAL(maps[0].dense_share, 8.0 / 128);
    CU_ASSERT_EQUAL(maps[0].our_share, 8.0 / 128);
    CU_ASSERT_STRING_EQUAL(grid_text(arena, &maps[1], maps[1].dense),
                           ".....##. .....##. ........ .......#");
    CU_ASSERT_EQUAL(maps[1].dense_share, 5.0 / 32);
    CU_ASSERT_EQUAL(maps[1].our_share, 2.0 / 32);
    arena_destroy(arena);
}

static bool has_color(const Image *image, int x, int y, const uint8_t *color) {
    return memcmp(image->pixels + (y * image->width + x) * 3, color, 3) == 0;
}

/* 8 x 8 pixels are drawn 16 times as large: tiles of 128 x 128, in 3 columns and 2 rows. */
static void draws_each_map_in_its_tile(void) {
    Arena *arena = arena_create();
    size_t count;
    Image picture, canvas;
    const char *body = "x = image |> conv(2, kernel = 3, stride = 2, pad = 1) feature x";
    const ActivityMap *maps = activity_of(network(arena, 8, 8, body), arena, fifth, 1, &count);
    CU_ASSERT_TRUE_FATAL(status_fine(mask_picture_read(arena, NULL, 8, 8, &picture)));
    CU_ASSERT_TRUE_FATAL(status_fine(mask_picture_draw(arena, maps, count, &picture, &canvas)));
    int step = 128 + PICTURE_GAP, cell = 32;
    CU_ASSERT_EQUAL_FATAL(canvas.width, 3 * 128 + 2 * PICTURE_GAP);
    CU_ASSERT_EQUAL_FATAL(canvas.height, 2 * 128 + PICTURE_GAP);
    for (int row = 0; row < 4; row++) {
        for (int column = 0; column < 4; column++) {
            bool visible = row == 1 && column == 1;
            bool reached = row >= 1 && row <= 2 && column >= 1 && column <= 2;
            int x = column * cell + 5, y = row * cell + 31;
            const uint8_t *own = picture.pixels + (y / 16 * 8 + x / 16) * 3;
            const uint8_t *mask = visible ? mask_picture_visible : mask_picture_hidden;
            CU_ASSERT_TRUE(has_color(&canvas, x, y, own));
            CU_ASSERT_TRUE(has_color(&canvas, x, y + step, visible ? own : mask_picture_hidden));
            CU_ASSERT_TRUE(has_color(&canvas, x + step, y, mask));
            CU_ASSERT_TRUE(has_color(&canvas, x + step, y + step, mask));
            CU_ASSERT_TRUE(has_color(&canvas, x + 2 * step, y,
                                     reached && !visible ? mask_picture_filled : mask));
            CU_ASSERT_TRUE(has_color(&canvas, x + 2 * step, y + step, mask));
        }
    }
    arena_destroy(arena);
}

/* Left half black, right half white, 40 x 10: the middle 10 x 10 are half and half. */
static void takes_the_middle_of_a_picture(void) {
    Arena *arena = arena_create();
    char path[] = "/tmp/sparkc-viz-XXXXXX";
    Image picture, wide = {40, 10, 1, arena_new_array(arena, uint8_t, 400)};
    for (int i = 0; i < 400; i++)
        wide.pixels[i] = i % 40 < 20 ? 0 : 255;
    close(mkstemp(path));
    CU_ASSERT_TRUE_FATAL(status_fine(picture_write(arena, &wide, path)));
    CU_ASSERT_TRUE_FATAL(status_fine(mask_picture_read(arena, path, 10, 10, &picture)));
    CU_ASSERT_EQUAL(picture.width, 10);
    for (int x = 0; x < 10; x++)
        CU_ASSERT_EQUAL(picture.pixels[x * 3 + 1], x < 5 ? 0 : 255);
    unlink(path);
    CU_ASSERT_FALSE(status_fine(mask_picture_read(arena, path, 10, 10, &picture)));
    Status status = mask_picture_read(arena, NULL, INT32_MAX, 2, &picture);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "too large"));
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"a window grows by its taps", a_window_grows_by_its_taps},
    {"layers add up", layers_add_up},
    {"a stride keeps what it reaches", a_stride_keeps_what_it_reaches},
    {"a larger map is reached from the smaller", a_larger_map_is_reached_from_the_smaller},
    {"norms, activations and biases keep the pattern",
     norms_activations_and_biases_keep_the_pattern},
    {"branches join", branches_join},
    {"a gate keeps and an added mean fills", a_gate_keeps_and_an_added_mean_fills},
    {"shares are those of the grids", shares_are_those_of_the_grids},
    {"draws each map in its tile", draws_each_map_in_its_tile},
    {"takes the middle of a picture", takes_the_middle_of_a_picture},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("viz_mask", tests), CU_SUITE_INFO_NULL};
