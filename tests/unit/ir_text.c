/* The text of the graph IR: every op, attribute kind and table entry survives print -> parse ->
 * print, numbers and names are exact, limits hold, and docs/ir.md knows every op. Messages of the
 * parser are in tests/golden/parse. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/builder.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/scan.h"
#include "tests/unit/harness.h"

/* One op: types of its operands ("-": absent), attributes as in the text, and the result type where
 * it is stated. The graph has images of 2 x 8 x 8 x 3 in cells of 4 x 4, 2 of 4 visible. */
typedef struct Row {
    Op op;
    const char *operands, *attributes, *type;
} Row;

#define WINDOW  "{kernel=[3, 3], stride=[2, 2], pad=[1, 1], dilation=[1, 1]}"
#define MAP     "f32<2x8x8x4>"
#define HALF    "f32<2x4x4x4>"
#define MASKED  "f32<2x8x8x4 masked 1>"
#define VECTOR4 "f32[4]"

static const Row rows[] = {
    {OP_scalar, "", "{name=\"lr\"}", "f32[]"},
    {OP_constant, "", "{value=0.1}", "f32[3x2]"},
    {OP_param, "", "{segment=\"stem.weight\"}", "f32[3x3x3x4]"},
    {OP_state, "", "{name=\"a \\\"b\\\" \\x01\"}", "f32[]"},
    {OP_parameters, "", "", "f32<flat>"},
    {OP_segment_table, "", "{column=lr_scale}", "f32<segments>"},
    {OP_bernoulli, "u32[], u32[]", "{rate=0.3, stream=4000000000}", MASKED},
    {OP_output, MAP, "{name=\"loss\"}", NULL},
    {OP_commit, "f32<flat>", "{region=params}", NULL},
    {OP_commit, "f32[]", "{region=state, name=\"a \\\"b\\\" \\x01\"}", NULL},
    {OP_add, MAP ", f32[]", "", NULL},
    {OP_sub, MASKED ", f32<2x4 per_image>", "", NULL},
    {OP_mul, "f32<flat>, f32<segments>", "", NULL},
    {OP_div, "bf16[], bf16[]", "", NULL},
    {OP_minimum, "f32[], f32[]", "", NULL},
    {OP_greater, "f32[], f32[]", "", NULL},
    {OP_select, "f32[], " MAP ", " MAP, "", NULL},
    {OP_neg, "f32[]", "", NULL},
    {OP_sqrt, "f32[]", "", NULL},
    {OP_is_finite, "f32[]", "", NULL},
    {OP_broadcast, VECTOR4, "", MAP},
    {OP_conv, MASKED ", f32[3x3x2x6]",
     "{kernel=[3, 3], stride=[2, 2], pad=[1, 1], dilation=[1, 1], groups=2}", NULL},
    {OP_conv, "f32<1x9x4>, f32[3x4x8]", "{kernel=[3], stride=[1], pad=[1], dilation=[1]}", NULL},
    {OP_conv_transpose, HALF ", f32[3x3x5x4]",
     "{kernel=[3, 3], stride=[2, 2], pad=[1, 1], dilation=[1, 1], size=[8, 8]}", NULL},
    {OP_conv_weight_grad, MAP ", f32<2x4x4x6>", WINDOW, NULL},
    {OP_conv, MASKED ", f32[1x1x4x6]",
     "{kernel=[1, 1], stride=[1, 1], pad=[0, 0], dilation=[1, 1], dense=true}", NULL},
    {OP_conv_weight_grad, MASKED ", " MAP,
     "{kernel=[1, 1], stride=[1, 1], pad=[0, 0], dilation=[1, 1], dense=true}", NULL},
    {OP_token_taps, "f32[4], f32[3x2x4x6]", "", NULL},
    {OP_token_taps_grad, "f32[3x2x1x6], f32[3x2x4x6]", "", NULL},
    {OP_token_taps_weight_grad, "f32[4], f32[3x2x1x6]", "", NULL},
    {OP_linear, "f32<2x4 per_image>, f32[9x4]", "{transpose=true}", NULL},
    {OP_linear_weight_grad, MASKED ", f32<2x8x8x9 masked 1>", "", NULL},
    {OP_max_pool, MASKED, WINDOW, NULL},
    {OP_max_pool, MASKED ", " MASKED, WINDOW, NULL},
    {OP_max_pool_grad, MAP ", f32<2x4x4x4>", WINDOW, NULL},
    {OP_avg_pool, "f32<2x7x7x4>",
     "{kernel=[2, 2], stride=[2, 2], pad=[0, 0], ceil_mode=true, count_include_pad=false}", NULL},
    {OP_avg_pool_grad, HALF, "{kernel=[2, 2], stride=[2, 2], pad=[0, 0], size=[8, 8]}", NULL},
    {OP_upsample, MAP, "{factor=[2, 3], mode=bilinear}", NULL},
    {OP_upsample_grad, MAP, "{factor=[2, 2]}", NULL},
    {OP_batch_norm, MAP ", f32[4], f32[4], f32[], -, f32[4]", "{eps=1e-3, momentum=0.01}", NULL},
    {OP_layer_norm, MAP ", f32[4]", "{eps=1e-06}", NULL},
    {OP_group_norm, MAP, "{groups=2}", NULL},
    {OP_instance_norm, MAP, "", NULL},
    {OP_grn, MAP ", f32[4], f32[4]", "", NULL},
    {OP_global_avg_pool, MASKED, "", NULL},
    {OP_dropout, MAP, "{rate=0.5, stream=7}", NULL},
    {OP_drop_path, MAP, "{rate=0.05, stream=8}", NULL},
    {OP_sum, MAP, "{over=image, groups=2}", NULL},
    {OP_moments, MASKED, "{over=batch}", NULL},
    {OP_rstd, "f32[4], f32[]", "{eps=1e-05}", NULL},
    {OP_normalise, MAP ", f32[4], f32[4], -, f32[4]", "", NULL},
    {OP_log_softmax, "f32<2x5 per_image>", "", NULL},
    {OP_log_softmax_grad, MAP ", " MAP, "", NULL},
    {OP_concat, MAP ", f32<2x8x8x1>, " MAP, "", NULL},
    {OP_slice, MAP, "{start=1, channels=2}", NULL},
    {OP_slice_grad, MAP, "{start=1, channels=8}", NULL},
    {OP_channel_shuffle, MAP, "{groups=2}", NULL},
    {OP_repeat_channels, MAP, "{times=3}", NULL},
    {OP_flatten, MAP, "", NULL},
    {OP_unflatten, "f32<2x64 per_image>", "{size=[4, 4]}", NULL},
    {OP_squeeze, "f32<2x1x1x4>", "", NULL},
    {OP_mask, "f32<2x8x8x3>, i32[2x2]", "", NULL},
    {OP_densify, MASKED ", f32[4]", "", NULL},
    {OP_gather, HALF, "{stride=2}", NULL},
    {OP_hidden, "i32[2x2]", "{size=[4, 4]}", NULL},
    {OP_patch_normalise, MAP, "{patch=4}", NULL},
    {OP_collect, "f32[3x3x3x4], f32[4]", "", NULL},
    {OP_leaky_relu, MAP, "{slope=0.2}", NULL},
    {OP_softplus, MAP, "{beta=0.3333333333333333}", NULL},
};

static Graph *create_graph(Arena *arena) {
    Graph *graph = graph_create(
        arena, "all ops",
        (Geometry){.batch = 2, .space = 2, .image = {8, 8}, .channels = 3, .ratio = 4, .keep = 2});
    graph->stage = "dce";
    Type weight = type_plain(DTYPE_F32, 4, (const int64_t[]){3, 3, 3, 4});
    Segment conv = {"stem.weight",
                    PART_HEAD,
                    ROLE_WEIGHT,
                    weight,
                    LAYOUT_CONV,
                    4,
                    {4, 3, 3, 3},
                    {INIT_TRUNCATED_NORMAL, 0.02, 2},
                    true,
                    0.75,
                    0};
    Segment token = {"mask token/0",
                     PART_DENSIFY,
                     ROLE_MASK_TOKEN,
                     type_vector(DTYPE_F32, 4),
                     LAYOUT_AS_IS,
                     4,
                     {1, 4, 1, 1},
                     {INIT_CONSTANT, 0, 0},
                     false,
                     1,
                     0};
    graph_add_segment(graph, conv);
    graph_add_segment(graph, token);
    graph_add_state(graph,
                    (StateSlot){"a \"b\" \x01", PART_TRAINING, type_scalar(DTYPE_F32), 1e-8});
    graph_add_state(graph, (StateSlot){"exp_avg", PART_TRAINING, type_flat(DTYPE_F32), 0});
    return graph;
}

/* Types separated by ", "; "-" gives NULL. */
static int build_operands(Builder *builder, const char *types, Value **operands) {
    int count = 0;
    while (*types) {
        Type type;
        char *name = arena_format(builder->graph->arena, "x%d", count);
        types += strspn(types, ", ");
        operands[count++] = NULL;
        if (*types == '-') {
            types++;
            continue;
        }
        CU_ASSERT_FATAL(type_parse(&types, &type));
        operands[count - 1] = build_stated(builder, OP_input, name, type, NULL, 0,
                                           ATTRIBUTES(attribute_text("name", name)));
    }
    return count;
}

static int read_attributes(Arena *arena, const Row *row, NamedAttribute *attributes) {
    const OpInfo *info = op_info(row->op);
    Attribute values[OP_MAX_ATTRIBUTES];
    ScanSpan spans[OP_MAX_ATTRIBUTES];
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    const char *text = row->attributes;
    Scanner scanner = scan_create(arena, diagnostics, "row", text, strlen(text));
    scan_line(&scanner);
    CU_ASSERT_FATAL(scan_attributes(&scanner, info->name, info->attributes, info->attribute_count,
                                    values, spans));
    for (int i = 0; i < info->attribute_count; i++)
        attributes[i] = (NamedAttribute){info->attributes[i].name, values[i]};
    return info->attribute_count;
}

/* The graph of a row, its op located and named oddly, for what the text makes of that. */
static Graph *row_graph(Arena *arena, const Row *row) {
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph, .location = {"nets/my net.cnn", 7, 3, 12}};
    Value *operands[OP_MAX_OPERANDS];
    NamedAttribute attributes[OP_MAX_ATTRIBUTES];
    int operand_count = build_operands(&builder, row->operands, operands);
    int attribute_count = read_attributes(arena, row, attributes);
    Type type;
    if (op_info(row->op)->flags & OP_COMPOSITE)
        graph->stage = "frontend";
    if (!row->type) {
        build(&builder, row->op, "layer 1", operands, operand_count, attributes, attribute_count);
        return graph;
    }
    const char *cursor = row->type;
    CU_ASSERT_FATAL(type_parse(&cursor, &type));
    build_stated(&builder, row->op, "layer 1", type, operands, operand_count, attributes,
                 attribute_count);
    return graph;
}

/* A text reads back, and prints as itself. */
static void check_text(Arena *arena, const char *text) {
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    Graph *graph = parse_graph(arena, diagnostics, "text", text, strlen(text));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
    CU_ASSERT_FATAL(graph != NULL);
    CU_ASSERT_STRING_EQUAL(print_graph_text(arena, graph), text);
}

static void check_row(const Row *row) {
    Arena *arena = arena_create();
    check_text(arena, print_graph_text(arena, row_graph(arena, row)));
    arena_destroy(arena);
}

/* Activations have the types of their operands, so one row serves all. */
static Row activation_row(Op op) {
    bool gradient = text_ends_with(op_info(op)->name, "_grad");
    return (Row){op, gradient ? MAP ", " MAP : MAP, "", NULL};
}

static void test_every_op(void) {
    bool seen[OP_COUNT] = {[OP_input] = true}; /* in almost every row */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_row(&rows[i]);
        seen[rows[i].op] = true;
    }
    for (int op = 0; op < OP_COUNT; op++) {
        if (op_info((Op)op)->flags & OP_ACTIVATION) {
            Row row = activation_row((Op)op);
            check_row(&row);
        } else if (!seen[op]) {
            printf("\n    no row for %s", op_info((Op)op)->name);
            CU_FAIL("an op without a row");
        }
    }
}

/* The exact text, so that a change of the format is a decision. */
static void test_format(void) {
    static const char expected[] =
        "sparkc graph 1\n"
        "network \"all ops\"\n"
        "stage dce\n"
        "geometry {batch=2, image=[8, 8], channels=3, ratio=4, keep=2}\n"
        "segment stem.weight : f32[3x3x3x4] from f32[4x3x3x3] {part=head, role=weight, "
        "layout=conv, init=truncated_normal, a=0.02, b=2, decays=true, lr_scale=0.75}\n"
        "segment \"mask token/0\" : f32[4] from f32[1x4x1x1] {part=densify, role=mask_token}\n"
        "state \"a \\\"b\\\" \\x01\" : f32[] {part=training, init=1e-08}\n"
        "state exp_avg : f32<flat> {part=training}\n"
        "%x0 : f32<2x8x8x4 masked 1> = input() {name=\"x0\"} @\"nets/my net.cnn\":7:3+12\n"
        "%\"layer 1.count\", %\"layer 1.mean\", %\"layer 1.m2\" : f32[], f32[4], f32[4] = "
        "moments(%x0) {over=batch} @\"nets/my net.cnn\":7:3+12\n"
        "end\n";
    static const Row row = {OP_moments, MASKED, "{over=batch}", NULL};
    Arena *arena = arena_create();
    CU_ASSERT_STRING_EQUAL(print_graph_text(arena, row_graph(arena, &row)), expected);
    arena_destroy(arena);
}

/* Blanks, comments, order of attributes and line ends say nothing. */
static void test_freedom(void) {
    static const char text[] =
        "// a comment\r\n\r\n"
        "  sparkc graph 1 // another\r\nnetwork n\r\nstage frontend\r\n"
        "geometry{channels = 3,image=[ 4,4 ] , batch=1}\r\n"
        "\t%x:f32<1x4x4x3>=input( ){ name = \"image\" }// x\r\n"
        "%y : f32<1x2x2x3> = max_pool(%x) {dilation=[1, 1], pad=[0, 0], ceil_mode=false, "
        "stride=[2, 2], kernel=[2, 2]}\r\nend";
    static const char expected[] =
        "sparkc graph 1\nnetwork n\nstage frontend\ngeometry {batch=1, image=[4, 4], channels=3}\n"
        "%x : f32<1x4x4x3> = input() {name=\"image\"}\n"
        "%y : f32<1x2x2x3> = max_pool(%x) {kernel=[2, 2], stride=[2, 2], pad=[0, 0], "
        "dilation=[1, 1]}\n"
        "end\n";
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    Graph *graph = parse_graph(arena, diagnostics, "text", text, strlen(text));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
    CU_ASSERT_FATAL(graph != NULL);
    CU_ASSERT_STRING_EQUAL(print_graph_text(arena, graph), expected);
    check_text(arena, expected);
    arena_destroy(arena);
}

/* Everything of the nodes and tables, not only what is printed of them. */
static void test_fields(void) {
    static const Row row = {OP_dropout, MAP, "{rate=0.5, stream=7}", NULL};
    Arena *arena = arena_create();
    char *text = print_graph_text(arena, row_graph(arena, &row));
    Graph *graph = parse_graph(arena, diagnostics_create(arena, 1), "text", text, strlen(text));
    CU_ASSERT_FATAL(graph != NULL);
    CU_ASSERT_EQUAL(graph->segments.items[1].offset, 108);
    CU_ASSERT_EQUAL(graph->segments.items[1].file_rank, 4);
    CU_ASSERT_EQUAL(graph->segments.items[0].file_shape[0], 4);
    CU_ASSERT_EQUAL(graph_state_index(graph, "exp_avg"), 1);
    CU_ASSERT_PTR_EQUAL(graph_find_input(graph, "x0"), &graph->first->results[0]);
    const Node *node = graph->last;
    CU_ASSERT_EQUAL(node->op, OP_dropout);
    CU_ASSERT_PTR_EQUAL(node->operands[0], &graph->first->results[0]);
    CU_ASSERT_STRING_EQUAL(node->location.file, "nets/my net.cnn");
    CU_ASSERT_EQUAL(node->location.line, 7);
    CU_ASSERT_EQUAL(node->location.column, 3);
    CU_ASSERT_EQUAL(node->location.width, 12);
    CU_ASSERT_EQUAL(node_int(node, "stream"), 7);
    CU_ASSERT_EQUAL(node_float(node, "rate"), 0.5);
    arena_destroy(arena);
}

static const char *number_text(Arena *arena, double value) {
    Text text = text_create(arena);
    print_number(&text, value);
    return text.data;
}

static void test_numbers(void) {
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0, "0"},
                   {-0.0, "-0"},
                   {1, "1"},
                   {-224, "-224"},
                   {0.1, "0.1"},
                   {1e-6, "1e-06"},
                   {1e15, "1e+15"},
                   {100000, "100000"},
                   {1.0 / 3, "0.3333333333333333"},
                   {5e-324, "5e-324"},
                   {INFINITY, "inf"},
                   {-INFINITY, "-inf"},
                   {0.1 + 0.2, "0.30000000000000004"}};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CU_ASSERT_STRING_EQUAL(number_text(arena, numbers[i].value), numbers[i].text);
    uint64_t bits = 1;
    for (int i = 0; i < 10000; i++) {
        double value;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &bits, sizeof value);
        double again = strtod(number_text(arena, value), NULL);
        CU_ASSERT(again == value || (isnan(again) && isnan(value)));
    }
    arena_destroy(arena);
}

/* Any bytes in a name survive. */
static void test_names(void) {
    Arena *arena = arena_create();
    Text name = text_create(arena);
    for (int byte = 1; byte < 256; byte++)
        text_append(&name, "%c", byte);
    Graph *graph = create_graph(arena);
    graph->network = name.data;
    Builder builder = {.graph = graph, .location = {"//odd", 1, 1, 1}};
    build_stated(&builder, OP_input, name.data, type_scalar(DTYPE_F32), NULL, 0,
                 ATTRIBUTES(attribute_text("name", name.data)));
    char *text = print_graph_text(arena, graph);
    CU_ASSERT_EQUAL(strspn(text,
                           "\n !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]"
                           "^_`abcdefghijklmnopqrstuvwxyz{|}~"),
                    strlen(text));
    check_text(arena, text);
    Graph *again = parse_graph(arena, diagnostics_create(arena, 1), "text", text, strlen(text));
    CU_ASSERT_FATAL(again != NULL);
    CU_ASSERT_STRING_EQUAL(again->network, name.data);
    CU_ASSERT_STRING_EQUAL(again->first->results[0].name, name.data);
    CU_ASSERT_STRING_EQUAL(node_text(again->first, "name"), name.data);
    arena_destroy(arena);
}

/* The first line of what is wrong with a text. */
static const char *first_error(Arena *arena, const char *text, size_t length) {
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    CU_ASSERT_PTR_NULL(parse_graph(arena, diagnostics, "x", text, length));
    char *message = diagnostics_text(diagnostics, false);
    message[strcspn(message, "\n")] = '\0';
    return message;
}

static const char head[] = "sparkc graph 1\nnetwork n\nstage frontend\n"
                           "geometry {batch=1, image=[4, 4], channels=3}\n";

/* `head`, then `count` lines of `format` with their number, then `tail`. */
static Text long_text(Arena *arena, const char *line, int count, const char *tail) {
    Text text = text_create(arena);
    text_append(&text, "%s", head);
    for (int i = 0; i < count; i++) {
        text_append_bytes(&text, line, strcspn(line, "#"));
        text_append(&text, "%d%s", i, strchr(line, '#') + 1);
    }
    text_append(&text, "%s", tail);
    return text;
}

static void test_limits(void) {
    static const struct {
        const char *line;
        int count;
        const char *error;
    } limits[] = {
        {"segment s# : f32[1] {role=bias}\n", PARSE_MOST_SEGMENTS + 1,
         "x:100005:1: error: more than 100000 segments"},
        {"state s# : f32[]\n", PARSE_MOST_STATES + 1, "x:100005:1: error: more than 100000 states"},
        {"// #\n", SCAN_MOST_LINES, "x:1000001:1: error: more than 1000000 lines"},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        Arena *arena = arena_create();
        Text text = long_text(arena, limits[i].line, limits[i].count, "end\n");
        CU_ASSERT_STRING_EQUAL(first_error(arena, text.data, text.length), limits[i].error);
        arena_destroy(arena);
    }
}

/* As many entries and ops as are allowed, in time. */
static void test_large(void) {
    Arena *arena = arena_create();
    Text text = long_text(arena, "segment s# : f32[1] {role=bias}\n", PARSE_MOST_SEGMENTS, "end\n");
    check_text(arena, text.data);
    text = long_text(arena, "%v# : f32[] = constant() {value=1}\n", 100000, "end\n");
    check_text(arena, text.data);
    arena_destroy(arena);
}

/* Cut at any byte a text gives an error, never a graph or a crash. */
static void test_cut_off(void) {
    static const Row row = {OP_conv, MAP ", f32[3x3x4x6]", WINDOW, NULL};
    Arena *arena = arena_create();
    char *text = print_graph_text(arena, row_graph(arena, &row));
    for (size_t length = 0; length + 1 < strlen(text); length++) {
        Arena *inner = arena_create();
        char *cut = arena_copy_text(inner, text, length);
        CU_ASSERT(strstr(first_error(inner, cut, length), ": error: ") != NULL);
        arena_destroy(inner);
    }
    arena_destroy(arena);
}

static void test_bytes(void) {
    Arena *arena = arena_create();
    Text text = long_text(arena, "%x# : f32[] = constant() {value=1}\n", 1, "");
    text_append_bytes(&text, "%y\0 : f32[]", 11);
    CU_ASSERT_STRING_EQUAL(first_error(arena, text.data, text.length),
                           "x:6:3: error: expected :, found a zero byte");
    text = long_text(arena, "%x#\n", 1, "");
    text.data[text.length - 2] = '\xC3';
    CU_ASSERT_STRING_EQUAL(first_error(arena, text.data, text.length),
                           "x:5:3: error: expected :, found \xC3");
    arena_destroy(arena);
}

static void test_missing_file(void) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    CU_ASSERT_PTR_NULL(parse_graph_file(arena, diagnostics, "no/such.ir"));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false),
                           "error: no/such.ir: No such file or directory\n");
    arena_destroy(arena);
}

/* ---- docs/ir.md ------------------------------------------------------------------------------ */

static void append_attribute(Text *out, const AttributeInfo *info) {
    static const char *const kinds[] = {
        [ATTRIBUTE_INT] = "int",   [ATTRIBUTE_FLOAT] = "float", [ATTRIBUTE_BOOL] = "bool",
        [ATTRIBUTE_INTS] = "ints", [ATTRIBUTE_TEXT] = "text",   [ATTRIBUTE_WORD] = "word"};
    text_append(out, "%s: %s", info->name, kinds[info->kind]);
    if (!info->has_default)
        return;
    text_append(out, " = ");
    if (info->kind == ATTRIBUTE_FLOAT)
        print_number(out, info->standard.real);
    else if (info->kind == ATTRIBUTE_TEXT)
        print_quoted(out, info->standard.text);
    else if (info->kind == ATTRIBUTE_WORD)
        text_append(out, "%s", info->standard.text);
    else if (info->kind == ATTRIBUTE_BOOL)
        text_append(out, "%s", info->standard.integer ? "true" : "false");
    else
        text_append(out, "%lld", (long long)info->standard.integer);
}

/* The row of an op as the docs have it: "    conv(x, weight) -> y {kernel: ints, ...}". */
static const char *signature(Arena *arena, Op op) {
    const OpInfo *info = op_info(op);
    Text out = text_create(arena);
    text_append(&out, "\n    %s(", info->name);
    for (int i = 0; i < info->operand_count; i++)
        text_append(&out, "%s%s%s%s", i ? ", " : "", info->operands[i],
                    i >= info->required_count ? "?" : "",
                    info->variadic && i == info->operand_count - 1 ? "..." : "");
    text_append(&out, ")");
    for (int i = 0; i < info->result_count; i++)
        text_append(&out, "%s%s", i ? ", " : " -> ", info->results[i]);
    for (int i = 0; i < info->attribute_count; i++) {
        text_append(&out, i ? ", " : " {");
        append_attribute(&out, &info->attributes[i]);
    }
    text_append(&out, "%s%s\n", info->attribute_count ? "}" : "",
                info->type_stated ? "  stated type" : "");
    return out.data;
}

/* Every op has a heading and its row. */
static void test_docs(void) {
    Arena *arena = arena_create();
    const char *error = NULL, *folder = getenv("SPARKC_SOURCE");
    size_t length;
    char *path = arena_format(arena, "%s/docs/ir.md", folder ? folder : ".");
    char *docs = text_read_file(arena, path, 1 << 20, &length, &error);
    CU_ASSERT_FATAL(docs != NULL);
    for (int op = 0; op < OP_COUNT; op++) {
        const char *row = signature(arena, (Op)op);
        char *heading = arena_format(arena, "\n#### `%s`\n", op_info((Op)op)->name);
        bool documented = strstr(docs, heading) && strstr(docs, row);
        if (!documented)
            printf("\n    docs/ir.md lacks%s or its heading", row);
        CU_ASSERT(documented);
    }
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"every op survives print and parse", test_every_op},
    {"the format is what it was", test_format},
    {"blanks, comments and order are free", test_freedom},
    {"every field is read", test_fields},
    {"numbers are exact and short", test_numbers},
    {"any bytes in names", test_names},
    {"limits", test_limits},
    {"large texts", test_large},
    {"cut off anywhere", test_cut_off},
    {"bytes that are no text", test_bytes},
    {"a file that is not there", test_missing_file},
    {"docs/ir.md has every op", test_docs},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{.pName = "text of the graph IR", .pTests = tests},
                                 CU_SUITE_INFO_NULL};
