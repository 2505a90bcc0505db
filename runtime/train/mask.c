#include "runtime/train/mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/random.h"
#include "base/text.h"
#include "base/vector.h"

enum { STREAM = 2 };

static int by_number(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The first `keep` of a shuffle (Fisher and Yates) of image `image`; `order` holds all cells. */
static void draw_image(uint32_t seed, uint32_t step, int64_t image, int64_t cells, int64_t keep,
                       int32_t *order) {
    for (int64_t i = 0; i < cells; i++)
        order[i] = (int32_t)i;
    for (int64_t i = 0; i < keep; i++) {
        uint64_t word = random_word(seed, STREAM, step, (uint64_t)(image * cells + i));
        int64_t other = i + (int64_t)(word * (uint64_t)(cells - i) >> 32);
        int32_t cell = order[other];
        order[other] = order[i];
        order[i] = cell;
    }
    qsort(order, (size_t)keep, sizeof *order, by_number);
}

void mask_draw(uint32_t seed, uint32_t step, int64_t batch, int64_t cells, int64_t keep,
               int32_t *list) {
    invariant(keep >= 1 && keep <= cells && cells <= INT32_MAX, "%lld of %lld cells",
              (long long)keep, (long long)cells);
    Arena *arena = arena_create();
    int32_t *order = arena_new_array(arena, int32_t, (size_t)cells);
    for (int64_t image = 0; image < batch; image++) {
        draw_image(seed, step, image, cells, keep, order);
        memcpy(list + image * keep, order, (size_t)keep * sizeof *order);
    }
    arena_destroy(arena);
}

/* A mask file while it is read. */
typedef struct Reader {
    Arena *arena;
    const char *path;
    int64_t line, cells, rows, columns;
    VECTOR(int32_t) visible;
} Reader;

/* A character that is none of a mask's; as a whole, if it is of several bytes in UTF-8. */
static Status refuse_character(const Reader *reader, const char *at, const char *end) {
    int length = 1;
    while (at + length < end && ((unsigned char)at[length] & 0xC0) == 0x80)
        length++;
    const char *what =
        *at ? arena_format(reader->arena, "'%.*s'", length, at) : "a byte of value 0";
    return status_failure(reader->arena,
                          "%s:%lld: %s in a mask; a visible cell is # or 1, a hidden one . or 0",
                          reader->path, (long long)reader->line, what);
}

static Status read_cell(Reader *reader, const char *at, const char *end) {
    if (*at == ' ' || *at == '\t' || *at == '\r')
        return STATUS_FINE;
    bool visible = *at == '#' || *at == '1';
    if (!visible && *at != '.' && *at != '0')
        return refuse_character(reader, at, end);
    if (reader->cells == MASK_MOST_CELLS)
        return status_failure(reader->arena, "%s:%lld: the mask has more than %d cells",
                              reader->path, (long long)reader->line, MASK_MOST_CELLS);
    if (visible)
        vector_push(reader->arena, &reader->visible, (int32_t)reader->cells);
    reader->cells++;
    return STATUS_FINE;
}

static Status read_row(Reader *reader, const char *line, const char *end) {
    int64_t before = reader->cells;
    reader->line++;
    for (const char *at = line; at < end; at++)
        status_return_if_failed(read_cell(reader, at, end));
    int64_t columns = reader->cells - before;
    if (columns == 0)
        return STATUS_FINE;
    if (reader->rows++ == 0)
        reader->columns = columns;
    if (columns == reader->columns)
        return STATUS_FINE;
    return status_failure(reader->arena, "%s:%lld: a row of %lld cells; the first row has %lld",
                          reader->path, (long long)reader->line, (long long)columns,
                          (long long)reader->columns);
}

Status mask_read(Arena *arena, const char *path, MaskFile *mask) {
    const size_t limit = 4 * (size_t)MASK_MOST_CELLS;
    const char *error;
    size_t length;
    const char *text = text_read_file(arena, path, limit, &length, &error);
    if (!text)
        return status_failure(arena, "%s: %s", path, error);
    Reader reader = {.arena = arena, .path = path};
    for (const char *line = text, *end = text + length; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        line_end = line_end ? line_end : end;
        status_return_if_failed(read_row(&reader, line, line_end));
        line = line_end + 1;
    }
    int64_t keep = (int64_t)reader.visible.count;
    if (reader.cells == 0)
        return status_failure(arena, "%s: there is no cell in the mask", path);
    if (keep == 0 || keep == reader.cells)
        return status_failure(arena, "%s: no cell is %s; a mask has cells of both kinds", path,
                              keep == 0 ? "visible" : "hidden");
    *mask = (MaskFile){reader.rows, reader.columns, keep, reader.visible.items};
    return STATUS_FINE;
}
