#include "ir/kernel_parse.h"

#include <inttypes.h>
#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

#include "ir/kernel_fields.h"
#include "ir/kernel_names.h"
#include "ir/kernel_print.h"
#include "ir/kernel_verify.h"
#include "ir/parse.h"

typedef struct NamedBuffer {
    const char *key; /* region:name */
    int index;
    UT_hash_handle hh;
} NamedBuffer;

typedef struct Parser {
    Scanner scanner;
    Program *program;
    Graph *head; /* its tables become the program's */
    NamedBuffer *buffers;
    Kernel *kernel;             /* whose lines are being read; NULL before the first */
    uint32_t given;             /* lines of it that came, as bits of kernel_lines */
    VECTOR(Location) locations; /* of the kernels, in the .cnn */
    VECTOR(Location) buffer_places, level_places; /* in this text */
    Location head_place;
    bool ended;
} Parser;

/* ---- Words and buffers ----------------------------------------------------------------------- */

/* The place of the next word among `count` words; -1 after an error. */
static int parse_word(Scanner *scanner, const char *what, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        if (scan_take_word(scanner, words[i]))
            return i;
    scan_expected(scanner, what);
    return -1;
}

/* parse_word for an enum whose words name(value) gives. */
#define PARSE_ENUM(function, type, name, count, what)                                              \
    static bool function(Scanner *scanner, type *value) {                                          \
        const char *words[count];                                                                  \
        for (int i = 0; i < (count); i++)                                                          \
            words[i] = name((type)i);                                                              \
        int found = parse_word(scanner, what, words, count);                                       \
        *value = (type)(found < 0 ? 0 : found);                                                    \
        return found >= 0;                                                                         \
    }

PARSE_ENUM(parse_region, Region, kernel_region_name, KERNEL_REGIONS, "a region such as scratch")
PARSE_ENUM(parse_dtype, DType, dtype_name, DTYPE_COUNT, "a dtype such as f32")
PARSE_ENUM(parse_space_kind, SpaceKind, kernel_space_name, KERNEL_SPACE_KINDS,
           "a space: dense, masked, images, one or flat")
PARSE_ENUM(parse_access_kind, AccessKind, kernel_access_name, KERNEL_ACCESS_KINDS,
           "an access: element, image, one, segment or position")
PARSE_ENUM(parse_channel_kind, ChannelKind, kernel_channel_name, KERNEL_CHANNEL_KINDS,
           "same, first, repeat or shuffle")
PARSE_ENUM(parse_kernel_kind, KernelKind, kernel_kind_name, KERNEL_KINDS,
           "a kind of kernel such as map or contract")
PARSE_ENUM(parse_window_kind, WindowKind, kernel_window_name, KERNEL_WINDOW_KINDS,
           "a kind of window such as weighted or max")
PARSE_ENUM(parse_reduce_kind, ReduceKind, kernel_reduce_name, KERNEL_REDUCE_KINDS,
           "sum, moments or merge")
PARSE_ENUM(parse_over, ReduceOver, kernel_over_name, KERNEL_OVER_KINDS,
           "batch, image, row, cell, all or segment")

static const char *buffer_key(Arena *arena, Region region, const char *name) {
    return arena_format(arena, "%s:%s", kernel_region_name(region), name);
}

/* NAME or REGION:NAME as the key of a buffer; NULL after an error. */
static const char *parse_buffer_key(Scanner *scanner) {
    const char *begin = scan_place(scanner);
    const char *name = scan_name(scanner, "the name of a buffer");
    if (!name || !scan_take(scanner, ':'))
        return name ? buffer_key(scanner->arena, REGION_SCRATCH, name) : NULL;
    Region region;
    scanner->cursor = begin;
    if (!parse_region(scanner, &region) || !scan_expect(scanner, ':'))
        return NULL;
    name = scan_name(scanner, "the name of a buffer");
    return name ? buffer_key(scanner->arena, region, name) : NULL;
}

/* % and the name of a buffer, or _ where none may stand. */
static bool parse_buffer_name(Parser *parser, bool none_allowed, int *index) {
    Scanner *scanner = &parser->scanner;
    *index = -1;
    if (none_allowed && scan_take_word(scanner, "_"))
        return true;
    const char *begin = scan_place(scanner);
    if (!scan_take(scanner, '%')) {
        scan_expected(scanner, "a buffer such as %conv1");
        return false;
    }
    const char *key = parse_buffer_key(scanner);
    NamedBuffer *found = NULL;
    if (!key)
        return false;
    HASH_FIND_STR(parser->buffers, key, found);
    if (!found) {
        scan_error(scanner, scan_since(scanner, begin), "no line above declares the buffer %s",
                   key);
        return false;
    }
    *index = found->index;
    return true;
}

static bool parse_view(Parser *parser, bool none_allowed, View *view) {
    int rank = 0;
    return parse_buffer_name(parser, none_allowed, &view->buffer) &&
           kernel_fields_parse(&parser->scanner, &kernel_fields_view, view, &rank);
}

static bool parse_space(Scanner *scanner, Space *space) {
    *space = (Space){0};
    if (!parse_space_kind(scanner, &space->kind))
        return false;
    if (!space_has_positions(space))
        return true;
    space->rank = -1;
    const char *begin = scan_place(scanner);
    if (!kernel_fields_parse(scanner, &kernel_fields_space, space, &space->rank))
        return false;
    if (space->rank < 1)
        scan_error(scanner, scan_since(scanner, begin), "a space has 1 to 3 extents");
    return !scanner->failed;
}

/* ---- The lines of a kernel ------------------------------------------------------------------- */

static bool parse_space_line(Parser *parser) {
    return parse_space(&parser->scanner, &parser->kernel->space);
}

static bool parse_access(Parser *parser, Access *access) {
    Scanner *scanner = &parser->scanner;
    *access = (Access){0};
    if (!parse_access_kind(scanner, &access->kind) ||
        !parse_channel_kind(scanner, &access->channel))
        return false;
    bool has_parameter = access->channel == CHANNEL_REPEAT || access->channel == CHANNEL_SHUFFLE;
    if (has_parameter && !scan_whole(scanner, 1, INT32_MAX, &access->channel_parameter))
        return false;
    if (!parse_view(parser, access->kind == ACCESS_POSITION, &access->view))
        return false;
    return access->kind != ACCESS_POSITION ||
           (scan_expect_word(scanner, "of") && parse_space(scanner, &access->source) &&
            kernel_fields_parse(scanner, &kernel_fields_divide, access, &access->source.rank));
}

/* Fails where a kernel has as many of something as there may be. */
static bool check_room(Parser *parser, int count, int most, const char *what) {
    if (count < most)
        return true;
    scan_error(&parser->scanner, scan_whole_line(&parser->scanner), "a kernel has at most %d %s",
               most, what);
    return false;
}

static bool parse_operand_line(Parser *parser) {
    Kernel *kernel = parser->kernel;
    if (!check_room(parser, kernel->operand_count, KERNEL_MAX_OPERANDS, "operands"))
        return false;
    return parse_access(parser, &kernel->operands[kernel->operand_count++]);
}

static bool parse_prologue_operand_line(Parser *parser) {
    Contraction *contraction = &parser->kernel->contraction;
    if (!check_room(parser, contraction->prologue_operand_count, KERNEL_MAX_OPERANDS,
                    "prologue operands"))
        return false;
    if (!contraction->prologue_operands)
        contraction->prologue_operands =
            arena_new_array(parser->scanner.arena, Access, KERNEL_MAX_OPERANDS);
    return parse_access(parser,
                        &contraction->prologue_operands[contraction->prologue_operand_count++]);
}

static bool parse_out_line(Parser *parser) {
    Kernel *kernel = parser->kernel;
    if (!check_room(parser, kernel->output_count, KERNEL_MAX_OUTPUTS, "outputs"))
        return false;
    return parse_view(parser, false, &kernel->outputs[kernel->output_count++]);
}

static Expression *parse_expression(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    const char *error = NULL;
    Expression *expression = expression_parse(scanner->arena, &scanner->cursor, &error);
    if (!expression)
        scan_error(scanner, scan_word(scanner), "%s", error);
    return expression;
}

static bool parse_expression_line(Parser *parser) {
    parser->kernel->expression = parse_expression(parser);
    return parser->kernel->expression;
}

static bool parse_prologue_line(Parser *parser) {
    parser->kernel->contraction.prologue = parse_expression(parser);
    return parser->kernel->contraction.prologue;
}

static bool parse_contraction_line(Parser *parser) {
    int rank = 0;
    return kernel_fields_parse(&parser->scanner, &kernel_fields_contraction,
                               &parser->kernel->contraction, &rank);
}

static TapSet *own_taps(Parser *parser) {
    Kernel *kernel = parser->kernel;
    return kernel->kind == KERNEL_WINDOW ? &kernel->window.taps : &kernel->contraction.taps;
}

static bool parse_taps_line(Parser *parser) {
    TapSet *taps = own_taps(parser);
    return parse_space(&parser->scanner, &taps->source) &&
           kernel_fields_parse(&parser->scanner, &kernel_fields_taps, taps, &taps->source.rank);
}

/* WEIGHT [offset, ..] {, WEIGHT [offset, ..]}, behind the line that says the source's rank. */
static bool parse_tap_line(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    TapSet *taps = own_taps(parser);
    VECTOR(Tap) list = {0};
    do {
        Tap tap = {0};
        Attribute offset = {.kind = ATTRIBUTE_INTS};
        const char *begin = scan_place(scanner);
        if (!scan_whole(scanner, 0, INT32_MAX, &tap.weight) || !scan_list(scanner, &offset))
            return false;
        if (offset.count != taps->source.rank || list.count == KERNEL_PARSE_MOST_TAPS) {
            scan_error(
                scanner, scan_since(scanner, begin),
                "expected at most %d taps of %d offsets each, as the source above has directions",
                KERNEL_PARSE_MOST_TAPS, taps->source.rank);
            return false;
        }
        memcpy(tap.offset, offset.ints, (size_t)offset.count * sizeof *offset.ints);
        vector_push(scanner->arena, &list, tap);
    } while (scan_take(scanner, ','));
    taps->taps = list.items;
    taps->tap_count = (int)list.count;
    return true;
}

static bool parse_a_line(Parser *parser) {
    Kernel *kernel = parser->kernel;
    return parse_view(parser, false,
                      kernel->kind == KERNEL_WINDOW ? &kernel->window.a : &kernel->contraction.a);
}

static bool parse_b_line(Parser *parser) {
    Kernel *kernel = parser->kernel;
    return parse_view(parser, false,
                      kernel->kind == KERNEL_WINDOW ? &kernel->window.b : &kernel->contraction.b);
}

static bool parse_weight_line(Parser *parser) {
    Kernel *kernel = parser->kernel;
    WeightView *weight =
        kernel->kind == KERNEL_WINDOW ? &kernel->window.weight : &kernel->contraction.weight;
    int rank = 0;
    return parse_buffer_name(parser, false, &weight->buffer) &&
           kernel_fields_parse(&parser->scanner, &kernel_fields_weight, weight, &rank);
}

/* Its lists are as long as the kernel's space has directions, which stands above. */
static bool parse_window_line(Parser *parser) {
    Window *window = &parser->kernel->window;
    return parse_window_kind(&parser->scanner, &window->kind) &&
           kernel_fields_parse(&parser->scanner, &kernel_fields_window, window,
                               &parser->kernel->space.rank);
}

static bool parse_reduction_line(Parser *parser) {
    Reduction *reduction = &parser->kernel->reduction;
    int rank = 0;
    return parse_reduce_kind(&parser->scanner, &reduction->kind) &&
           scan_expect_word(&parser->scanner, "over") &&
           parse_over(&parser->scanner, &reduction->over) &&
           kernel_fields_parse(&parser->scanner, &kernel_fields_reduction, reduction, &rank);
}

/* The position map is named by its buffer. */
static bool parse_map_line(Parser *parser) {
    const char *begin = scan_place(&parser->scanner);
    int buffer;
    if (!parse_buffer_name(parser, false, &buffer))
        return false;
    for (size_t i = 0; i < parser->program->levels.count; i++)
        if (parser->program->levels.items[i].buffer == buffer) {
            parser->kernel->position_map.level = (int)i;
            return true;
        }
    scan_error(&parser->scanner, scan_since(&parser->scanner, begin),
               "this buffer is the position map of no level");
    return false;
}

enum {
    IN_MAP = 1 << KERNEL_MAP,
    IN_CONTRACT = 1 << KERNEL_CONTRACT,
    IN_WEIGHT = 1 << KERNEL_CONTRACT_WEIGHT,
    IN_WINDOW = 1 << KERNEL_WINDOW,
    IN_REDUCE = 1 << KERNEL_REDUCE,
    IN_POSITION_MAP = 1 << KERNEL_POSITION_MAP,
    IN_TAPPED = IN_CONTRACT | IN_WEIGHT | IN_WINDOW,
    IN_VALUED = IN_MAP | IN_CONTRACT | IN_WINDOW | IN_REDUCE
};

/* The kinds of line of a kernel: the kinds of kernel that have it, the line that must come before,
 * and those kinds of kernel that must have it. */
typedef struct KernelLine {
    const char *word;
    bool (*parse)(Parser *parser);
    unsigned kinds, needed;
    const char *after;
    bool repeats;
} KernelLine;

static const KernelLine kernel_lines[] = {
    {"space", parse_space_line, ~0u, ~0u, NULL, false},
    {"contraction", parse_contraction_line, IN_CONTRACT | IN_WEIGHT, IN_CONTRACT | IN_WEIGHT, NULL,
     false},
    {"window", parse_window_line, IN_WINDOW, IN_WINDOW, "space", false},
    {"reduction", parse_reduction_line, IN_REDUCE, IN_REDUCE, NULL, false},
    {"map", parse_map_line, IN_POSITION_MAP, IN_POSITION_MAP, NULL, false},
    {"taps", parse_taps_line, IN_TAPPED, IN_TAPPED, NULL, false},
    {"tap", parse_tap_line, IN_TAPPED, 0, "taps", false},
    {"a", parse_a_line, IN_TAPPED, IN_TAPPED, NULL, false},
    {"b", parse_b_line, IN_WEIGHT | IN_WINDOW, IN_WEIGHT, NULL, false},
    {"weight", parse_weight_line, IN_TAPPED, IN_CONTRACT | IN_WEIGHT, NULL, false},
    {"prologue_operand", parse_prologue_operand_line, IN_CONTRACT | IN_WEIGHT, 0, NULL, true},
    {"prologue", parse_prologue_line, IN_CONTRACT | IN_WEIGHT, 0, NULL, false},
    {"operand", parse_operand_line, IN_VALUED, 0, NULL, true},
    {"expression", parse_expression_line, IN_VALUED, 0, NULL, false},
    {"out", parse_out_line, IN_VALUED, 0, NULL, true},
};
enum { KERNEL_LINE_COUNT = sizeof kernel_lines / sizeof *kernel_lines };

static bool was_given(const Parser *parser, const char *word) {
    for (int i = 0; i < KERNEL_LINE_COUNT; i++)
        if (strcmp(kernel_lines[i].word, word) == 0)
            return parser->given & 1u << i;
    return false;
}

/* Whether line `index` may stand here; reports why not. */
static bool check_line(Parser *parser, int index, ScanSpan span) {
    const KernelLine *line = &kernel_lines[index];
    Scanner *scanner = &parser->scanner;
    if (!parser->kernel)
        scan_error(scanner, span, "a line %s belongs to a kernel, and none has begun", line->word);
    else if (!(line->kinds & 1u << parser->kernel->kind))
        scan_error(scanner, span, "a kernel of kind %s has no line %s",
                   kernel_kind_name(parser->kernel->kind), line->word);
    else if (!line->repeats && (parser->given & 1u << index))
        scan_error(scanner, span, "a second line %s in one kernel", line->word);
    else if (line->after && !was_given(parser, line->after))
        scan_error(scanner, span, "the line %s of this kernel must stand above", line->after);
    return !scanner->failed;
}

/* Reads a line of the current kernel; false if the line does not start with a word of such lines.
 */
static bool parse_kernel_line(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    const char *begin = scan_place(scanner);
    for (int i = 0; i < KERNEL_LINE_COUNT; i++) {
        if (!scan_take_word(scanner, kernel_lines[i].word))
            continue;
        if (!check_line(parser, i, scan_since(scanner, begin)))
            return true;
        parser->given |= 1u << i;
        if (kernel_lines[i].parse(parser))
            scan_line_end(scanner);
        return true;
    }
    return false;
}

/* Reports a needed line that the kernel just read lacks. */
static void finish_kernel(Parser *parser) {
    const Kernel *kernel = parser->kernel;
    for (int i = 0; kernel && i < KERNEL_LINE_COUNT; i++)
        if ((kernel_lines[i].needed & 1u << kernel->kind) && !(parser->given & 1u << i)) {
            diagnostics_report(parser->scanner.diagnostics, SEVERITY_ERROR, kernel->location,
                               "kernel %s: a kernel of kind %s needs a line %s", kernel->name,
                               kernel_kind_name(kernel->kind), kernel_lines[i].word);
            return;
        }
}

/* ---- Kernels, buffers, levels ---------------------------------------------------------------- */

/* Views without a line name no buffer. */
static void forget_buffers(Kernel *kernel) {
    if (kernel->kind == KERNEL_WINDOW)
        kernel->window.a.buffer = kernel->window.b.buffer = kernel->window.weight.buffer = -1;
    else if (kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT)
        kernel->contraction.a.buffer = kernel->contraction.b.buffer =
            kernel->contraction.weight.buffer = -1;
}

/* Reports the line where a table gets too long. */
static bool check_count(Parser *parser, size_t count, size_t most, const char *what) {
    if (count < most)
        return true;
    scan_error(&parser->scanner, scan_whole_line(&parser->scanner), "more than %zu %s", most, what);
    return false;
}

/* kernel NAME : KIND x CHANNELS [@location] */
static void parse_kernel(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    finish_kernel(parser);
    if (!check_count(parser, parser->program->kernels.count, KERNEL_PARSE_MOST_KERNELS, "kernels"))
        return;
    Kernel *kernel = arena_new(scanner->arena, Kernel);
    Location location = {0};
    parser->kernel = NULL;
    parser->given = 0;
    const char *begin = scan_place(scanner);
    kernel->name = scan_name(scanner, "the name of a kernel");
    if (!kernel->name)
        return;
    kernel->location = scan_locate(scanner, scan_since(scanner, begin));
    if (!scan_expect(scanner, ':') || !parse_kernel_kind(scanner, &kernel->kind) ||
        !scan_expect_word(scanner, "x") || !scan_whole(scanner, 1, INT64_MAX, &kernel->channels))
        return;
    if (scan_peek(scanner) == '@' && !scan_location(scanner, &location))
        return;
    if (!scan_line_end(scanner))
        return;
    forget_buffers(kernel);
    parser->kernel = kernel;
    vector_push(scanner->arena, &parser->program->kernels, kernel);
    vector_push(scanner->arena, &parser->locations, location);
}

/* buffer NAME : DTYPE REGION {elements=N, offset=N} */
static void parse_buffer(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    Arena *arena = scanner->arena;
    Buffer buffer = {0};
    NamedBuffer *named = NULL;
    int rank = 0;
    const char *begin = scan_place(scanner);
    buffer.name = scan_name(scanner, "the name of a buffer");
    if (!buffer.name)
        return;
    ScanSpan span = scan_since(scanner, begin);
    if (!scan_expect(scanner, ':') || !parse_dtype(scanner, &buffer.dtype) ||
        !parse_region(scanner, &buffer.region) ||
        !kernel_fields_parse(scanner, &kernel_fields_buffer, &buffer, &rank) ||
        !scan_line_end(scanner))
        return;
    if (!check_count(parser, parser->program->buffers.count, KERNEL_PARSE_MOST_BUFFERS, "buffers"))
        return;
    const char *key = buffer_key(arena, buffer.region, buffer.name);
    HASH_FIND_STR(parser->buffers, key, named);
    if (named) {
        scan_error(scanner, span, "a second buffer is called %s", key);
        return;
    }
    named = arena_new(arena, NamedBuffer);
    named->key = key;
    named->index = (int)parser->program->buffers.count;
    HASH_ADD_KEYPTR(hh, parser->buffers, named->key, strlen(named->key), named);
    vector_push(arena, &parser->program->buffers, buffer);
    vector_push(arena, &parser->buffer_places, scan_locate(scanner, span));
}

/* level %BUFFER of SPACE {border=[..]} */
static void parse_level(Parser *parser) {
    Level level = {0};
    if (!parse_buffer_name(parser, false, &level.buffer) ||
        !scan_expect_word(&parser->scanner, "of") || !parse_space(&parser->scanner, &level.space) ||
        !kernel_fields_parse(&parser->scanner, &kernel_fields_level, &level, &level.space.rank) ||
        !scan_line_end(&parser->scanner))
        return;
    vector_push(parser->scanner.arena, &parser->program->levels, level);
    vector_push(parser->scanner.arena, &parser->level_places,
                scan_locate(&parser->scanner, scan_whole_line(&parser->scanner)));
}

static void parse_cells(Parser *parser) {
    if (parse_buffer_name(parser, false, &parser->program->cells))
        scan_line_end(&parser->scanner);
}

static void parse_line(Parser *parser) {
    static const struct {
        const char *word;
        void (*parse)(Parser *parser);
        bool before_kernels;
    } lines[] = {{"kernel", parse_kernel, false},
                 {"buffer", parse_buffer, true},
                 {"level", parse_level, true},
                 {"cells", parse_cells, true}};
    Scanner *scanner = &parser->scanner;
    bool any_kernel = parser->program->kernels.count > 0;
    if (parse_table_line(scanner, parser->head, !any_kernel) || parse_kernel_line(parser))
        return;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!scan_take_word(scanner, lines[i].word))
            continue;
        if (lines[i].before_kernels && any_kernel)
            scan_error(scanner, scan_whole_line(scanner), "a %s must stand before the first kernel",
                       lines[i].word);
        else
            lines[i].parse(parser);
        return;
    }
    if (!scan_take_word(scanner, "end")) {
        scan_expected(scanner, "a line of a kernel, the word kernel, or end");
        return;
    }
    parser->ended = scan_line_end(scanner);
    finish_kernel(parser);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static Program *begin_program(Arena *arena, const Graph *head) {
    Program *program = arena_new(arena, Program);
    program->arena = arena;
    program->network = head->network;
    program->stage = head->stage;
    program->geometry = head->geometry;
    program->cells = -1;
    return program;
}

static void take_tables(Program *program, const Graph *head) {
    program->segments.items = head->segments.items;
    program->segments.count = program->segments.capacity = head->segments.count;
    program->states.items = head->states.items;
    program->states.count = program->states.capacity = head->states.count;
}

/* Verifies the program. Meanwhile the kernels are located where they stand in this text, so that
 * errors point there; afterwards where they come from in the .cnn. */
static bool verify(Parser *parser) {
    KernelPlaces places = {parser->head_place, parser->buffer_places.items,
                           parser->level_places.items};
    bool fine = kernel_verify_text(parser->program, &places, parser->scanner.diagnostics);
    for (size_t i = 0; i < parser->program->kernels.count; i++)
        parser->program->kernels.items[i]->location = parser->locations.items[i];
    return fine;
}

Program *kernel_parse(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                      size_t length) {
    int before = diagnostics_error_count(diagnostics);
    Parser parser = {.scanner = scan_create(arena, diagnostics, file, text, length)};
    parser.head = parse_head(&parser.scanner, "program", KERNEL_PRINT_VERSION);
    if (!parser.head)
        return NULL;
    parser.program = begin_program(arena, parser.head);
    parser.head_place = scan_locate(&parser.scanner, scan_whole_line(&parser.scanner));
    while (!parser.ended && !diagnostics_full(diagnostics) && scan_line(&parser.scanner))
        parse_line(&parser);
    take_tables(parser.program, parser.head);
    if (!diagnostics_full(diagnostics))
        parse_end(&parser.scanner, parser.ended);
    if (!parser.ended || diagnostics_error_count(diagnostics) > before)
        return NULL;
    return verify(&parser) ? parser.program : NULL;
}

Program *kernel_parse_file(Arena *arena, Diagnostics *diagnostics, const char *path) {
    const char *error = NULL;
    size_t length = 0;
    char *text = text_read_file(arena, path, SCAN_LARGEST_FILE, &length, &error);
    if (text)
        return kernel_parse(arena, diagnostics, path, text, length);
    diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s: %s", path, error);
    return NULL;
}
