/* The shape rules, as tables: an op, the types of its operands, its attributes, and what comes out.
 */
#include "ir/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/builder.h"
#include "tests/unit/ir_suites.h"

/* Operand types are separated by "; ", "-" is an absent one; attributes are name=value, a list is
 * written 3x3; of a stated op the result's type comes first, before ": ". */
typedef struct Case {
    const char *op, *operands, *attributes;
    const char *expected; /* the results' types separated by "; ", or the message, "| hint" */
} Case;

/* 2 images of 3 x 64 x 64, 2 x 2 cells of 32 x 32, 2 of them visible. */
static Graph *create(void) {
    const Geometry geometry = {
        .batch = 2, .space = 2, .image = {64, 64}, .channels = 3, .ratio = 32, .keep = 2};
    Graph *graph = graph_create(arena_create(), "net", geometry);
    const char *type = "f32[3x3x3x8]";
    Segment segment = {.name = "w", .lr_scale = 1};
    CU_ASSERT_TRUE_FATAL(type_parse(&type, &segment.type));
    graph_add_segment(graph, segment);
    segment = (Segment){.name = "b", .type = type_vector(DTYPE_F32, 8), .lr_scale = 1};
    graph_add_segment(graph, segment);
    graph_add_state(graph, (StateSlot){"m", PART_ENCODER, type_vector(DTYPE_F32, 8), 0});
    return graph;
}

static void set_attribute(Graph *graph, Node *node, const char *name, const char *value) {
    int index = op_attribute_index(node->op, name);
    if (index < 0) {
        fprintf(stderr, "%s has no attribute %s\n", op_info(node->op)->name, name);
        CU_FAIL_FATAL("a case names no attribute");
    }
    int64_t numbers[ATTRIBUTE_MAX_INTS];
    int count = 0;
    switch (op_info(node->op)->attributes[index].kind) {
    case ATTRIBUTE_INT:
        node_set_int(node, name, strtoll(value, NULL, 10));
        break;
    case ATTRIBUTE_FLOAT:
        node_set_float(node, name, strtod(value, NULL));
        break;
    case ATTRIBUTE_BOOL:
        node_set_bool(node, name, strcmp(value, "true") == 0);
        break;
    case ATTRIBUTE_INTS:
        for (const char *at = value; at; at = strchr(at, 'x') ? strchr(at, 'x') + 1 : NULL)
            numbers[count++] = strtoll(at, NULL, 10);
        node_set_ints(node, name, numbers, count);
        break;
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_WORD:
        node_set_text(graph, node, name, value);
        break;
    }
}

static void set_attributes(Graph *graph, Node *node, const char *attributes) {
    char *list = arena_copy_text(graph->arena, attributes, strlen(attributes)), *rest;
    for (char *word = strtok_r(list, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        *value = '\0';
        set_attribute(graph, node, word, value + 1);
    }
}

static Value *operand(Graph *graph, const char *text) {
    if (strcmp(text, "-") == 0)
        return NULL;
    Node *node = graph_insert(graph, OP_input, NULL, 0, NULL);
    bool fine = type_parse(&text, &node->results[0].type);
    if (!fine)
        fprintf(stderr, "%s is no type\n", text);
    CU_ASSERT_TRUE_FATAL(fine);
    return &node->results[0];
}

/* Makes the node of a case. */
static Node *make(Graph *graph, const Case *row) {
    Op op = op_by_name(row->op);
    if (op == OP_COUNT)
        fprintf(stderr, "%s is no op\n", row->op);
    CU_ASSERT_NOT_EQUAL_FATAL(op, OP_COUNT);
    Value *operands[8];
    int count = 0;
    char *list = arena_copy_text(graph->arena, row->operands, strlen(row->operands)), *rest;
    char *stated = op_info(op)->type_stated ? list : NULL;
    if (stated) {
        list = strchr(list, ':');
        CU_ASSERT_PTR_NOT_NULL_FATAL(list);
        *list++ = '\0';
    }
    for (char *type = strtok_r(list, ";", &rest); type; type = strtok_r(NULL, ";", &rest)) {
        type += strspn(type, " ");
        if (!*type)
            continue;
        operands[count++] = operand(graph, type);
    }
    Node *node = graph_insert(graph, op, operands, count, NULL);
    if (stated)
        node->results[0].type = operand(graph, stated)->type;
    set_attributes(graph, node, row->attributes);
    return node;
}

/* "types" or "message | hint". */
static char *outcome(Graph *graph, Node *node) {
    RuleError error = {0};
    Text text = text_create(graph->arena);
    if (!rules_infer(graph, node, &error)) {
        text_append(&text, "%s%s%s", error.message, error.hint ? " | " : "",
                    error.hint ? error.hint : "");
        return text.data;
    }
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        text_append(&text, "%s", i ? "; " : "");
        type_print(&text, &node->results[i].type);
    }
    return text.data;
}

static void check(const Case *row) {
    Graph *graph = create();
    char *found = outcome(graph, make(graph, row));
    if (strcmp(found, row->expected) != 0)
        fprintf(stderr, "%s(%s) {%s}:\n  found    %s\n  expected %s\n", row->op, row->operands,
                row->attributes, found, row->expected);
    CU_ASSERT_STRING_EQUAL(found, row->expected);
    arena_destroy(graph->arena);
}

#define CHECK_ALL(cases)                                                                           \
    for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++)                                   \
    check(&(cases)[i])

#define POINT  "kernel=1x1 stride=1x1 pad=0x0 dilation=1x1"
#define SAME   "kernel=3x3 stride=1x1 pad=1x1 dilation=1x1"
#define HALF   "kernel=3x3 stride=2x2 pad=1x1 dilation=1x1"
#define IMAGE  "f32<2x64x64x3>"
#define MASKED "f32<2x64x64x3 masked 1>"
#define WEIGHT "f32[3x3x3x8]"

/* At least one row per op that is not an activation (counted below). */
static const Case legal[] = {
    {"input", IMAGE ":", "name=image", IMAGE},
    {"input", "i32[2x2]:", "name=cells", "i32[2x2]"},
    {"input", "f32<flat>:", "name=gradients", "f32<flat>"},
    {"scalar", "u32[]:", "name=seed", "u32[]"},
    {"constant", "f32[2x3]:", "value=1", "f32[2x3]"},
    {"param", "f32[8]:", "segment=b", "f32[8]"},
    {"state", "f32[8]:", "name=m", "f32[8]"},
    {"parameters", "f32<flat>:", "", "f32<flat>"},
    {"segment_table", "f32<segments>:", "column=decays", "f32<segments>"},
    {"bernoulli", "f32<2x1 per_image>: u32[]; u32[]", "rate=0.5 stream=4294967295",
     "f32<2x1 per_image>"},
    {"bernoulli", MASKED ": u32[]; u32[]", "rate=0 stream=0", MASKED},
    {"output", "f32<2x8 per_image>", "name=y", ""},
    {"commit", "f32<flat>", "region=params", ""},
    {"commit", "f32[8]", "region=state name=m", ""},
    {"add", IMAGE "; " IMAGE, "", IMAGE},
    {"sub", MASKED "; f32[3]", "", MASKED},
    {"mul", "f32<2x8 per_image>; f32<2x4x4x8>", "", "f32<2x4x4x8>"},
    {"div", "f32<flat>; f32<segments>", "", "f32<flat>"},
    {"minimum", "f32[]; f32[]", "", "f32[]"},
    {"greater", "i32[]; i32[]", "", "i32[]"},
    {"select", "f32[]; f32[8]; f32<2x4x4x8>", "", "f32<2x4x4x8>"},
    {"select", "f32<flat>; f32[]; f32<flat>", "", "f32<flat>"},
    {"neg", "f32<segments>", "", "f32<segments>"},
    {"sqrt", "f32[]", "", "f32[]"},
    {"is_finite", "f32[]", "", "f32[]"},
    {"broadcast", "f32<2x4x4x8>: f32<2x8 per_image>", "", "f32<2x4x4x8>"},
    {"broadcast", MASKED ": f32[]", "", MASKED},
    {"conv", IMAGE "; " WEIGHT, SAME, "f32<2x64x64x8>"},
    {"conv", IMAGE "; f32[7x7x3x8]", "kernel=7x7 stride=2x2 pad=3x3 dilation=1x1",
     "f32<2x32x32x8>"},
    {"conv", "f32<2x9x8x6>; f32[3x1x2x9]", "kernel=3x1 stride=2x3 pad=0x1 dilation=2x5 groups=3",
     "f32<2x3x4x9>"},
    {"conv", "f32<2x9x3>; f32[3x3x8]", "kernel=3 stride=1 pad=0 dilation=1", "f32<2x7x8>"},
    {"conv", "f32<2x4x4x4x3>; f32[3x3x3x3x8]", "kernel=3x3x3 stride=1x1x1 pad=0x0x0 dilation=1x1x1",
     "f32<2x2x2x2x8>"},
    {"conv", MASKED "; " WEIGHT, HALF, "f32<2x32x32x8 masked 2>"},
    {"conv", "f32<2x4x4x3 masked 16>; " WEIGHT, HALF, "f32<2x2x2x8 masked 32>"},
    {"conv", "f32<2x3 per_image>; f32[1x1x3x8]", POINT, "f32<2x8 per_image>"},
    {"conv_transpose", "f32<2x32x32x8>; f32[4x4x3x8]",
     "kernel=4x4 stride=2x2 pad=1x1 dilation=1x1 size=64x64", "f32<2x64x64x3>"},
    {"conv_transpose", "f32<2x32x32x8>; f32[3x3x2x8]", HALF " groups=2 size=63x64",
     "f32<2x63x64x4>"},
    {"conv_transpose", "f32<2x32x32x8 masked 2>; " WEIGHT, HALF " size=64x64", MASKED},
    {"conv_transpose", "f32<2x8 per_image>; f32[1x1x3x8]", POINT, "f32<2x3 per_image>"},
    {"conv_weight_grad", IMAGE "; f32<2x32x32x8>", HALF, WEIGHT},
    {"conv_weight_grad", MASKED "; f32<2x32x32x6 masked 2>", HALF " groups=3", "f32[3x3x1x6]"},
    {"conv_weight_grad", "f32<2x3 per_image>; f32<2x8 per_image>", POINT, "f32[1x1x3x8]"},
    {"conv", MASKED "; " WEIGHT, SAME " dense=true", "f32<2x64x64x8>"},
    {"conv", MASKED "; f32[5x2x3x8]", "kernel=5x2 stride=1x1 pad=0x1 dilation=1x1 dense=true",
     "f32<2x60x65x8>"},
    {"conv_transpose", "f32<2x32x32x8>; " WEIGHT, SAME " size=32x32 dense=true",
     "f32<2x32x32x3 masked 2>"},
    {"conv_weight_grad", MASKED "; f32<2x64x64x8>", SAME " dense=true", WEIGHT},
    {"token_taps", "f32[3]; " WEIGHT, "", "f32[3x3x1x8]"},
    {"token_taps", "f32[3]; f32[5x3x8]", "", "f32[5x1x8]"},
    {"token_taps_grad", "f32[3x3x1x8]; " WEIGHT, "", "f32[3]"},
    {"token_taps_weight_grad", "f32[3]; f32[3x3x1x8]", "", WEIGHT},
    {"linear", "f32<2x4x4x3>; f32[3x8]", "", "f32<2x4x4x8>"},
    {"linear", MASKED "; f32[8x3]", "transpose=true", "f32<2x64x64x8 masked 1>"},
    {"linear", "f32<2x3 per_image>; f32[3x8]", "", "f32<2x8 per_image>"},
    {"linear_weight_grad", MASKED "; f32<2x64x64x8 masked 1>", "", "f32[3x8]"},
    {"max_pool", IMAGE, HALF, "f32<2x32x32x3>"},
    {"max_pool", "f32<2x6x6x3>", "kernel=3x3 stride=2x2 pad=0x0 dilation=1x1 ceil_mode=true",
     "f32<2x3x3x3>"},
    {"max_pool", MASKED, HALF, "f32<2x32x32x3 masked 2>"},
    {"max_pool", MASKED "; " MASKED, HALF, "f32<2x32x32x3 masked 2>"},
    {"max_pool_grad", IMAGE "; f32<2x32x32x3>", HALF, IMAGE},
    {"max_pool_grad", MASKED "; f32<2x32x32x3 masked 2>", HALF, MASKED},
    {"avg_pool", MASKED, "kernel=2x2 stride=2x2 pad=0x0", "f32<2x32x32x3 masked 2>"},
    {"avg_pool_grad", "f32<2x2x2x3>", "kernel=2x2 stride=2x2 pad=0x0 size=5x4", "f32<2x5x4x3>"},
    {"avg_pool_grad", "f32<2x32x32x3 masked 2>", "kernel=2x2 stride=2x2 pad=0x0 size=64x64",
     MASKED},
    {"upsample", "f32<2x4x5x3>", "factor=2x3", "f32<2x8x15x3>"},
    {"upsample", "f32<2x4x5x3>", "factor=2x2 mode=bilinear", "f32<2x8x10x3>"},
    {"upsample", "f32<2x16x16x3 masked 4>", "factor=4x4", MASKED},
    {"upsample_grad", "f32<2x8x15x3>", "factor=2x3", "f32<2x4x5x3>"},
    {"upsample_grad", MASKED, "factor=4x4", "f32<2x16x16x3 masked 4>"},
    {"batch_norm", "f32<2x4x4x8>; f32[8]; f32[8]; f32[]; f32[8]; f32[8]", "", "f32<2x4x4x8>"},
    {"batch_norm", MASKED "; f32[3]; f32[3]; i32[]", "", MASKED},
    {"layer_norm", MASKED "; f32[3]; f32[3]", "eps=1e-6", MASKED},
    {"layer_norm", "f32<2x8 per_image>", "", "f32<2x8 per_image>"},
    {"group_norm", "f32<2x4x4x8>; f32[8]; f32[8]", "groups=4", "f32<2x4x4x8>"},
    {"instance_norm", "f32<2x2x1x8>", "", "f32<2x2x1x8>"},
    {"grn", MASKED "; f32[3]; f32[3]", "", MASKED},
    {"global_avg_pool", MASKED, "", "f32<2x3 per_image>"},
    {"global_avg_pool", "f32<2x3 per_image>", "", "f32<2x3 per_image>"},
    {"dropout", IMAGE, "rate=0.5 stream=1", IMAGE},
    {"drop_path", MASKED, "rate=0.999 stream=1", MASKED},
    {"sum", MASKED, "over=row", "f32<2x64x64x1 masked 1>"},
    {"sum", "f32<2x8 per_image>", "over=row", "f32<2x1 per_image>"},
    {"sum", MASKED, "over=image", "f32<2x3 per_image>"},
    {"sum", "f32<2x4x4x8>", "over=image groups=4", "f32<2x4 per_image>"},
    {"sum", MASKED, "over=batch", "f32[3]"},
    {"sum", "bf16<2x4x4x8>", "over=batch", "f32[8]"},
    {"sum", "f32<2x8 per_image>", "over=group groups=2", "f32<2x2 per_image>"},
    {"sum", "f32[8]", "over=all", "f32[]"},
    {"sum", "f32<flat>", "over=all", "f32[]"},
    {"sum", "f32<flat>", "over=segment", "f32<segments>"},
    {"moments", MASKED, "over=batch", "f32[]; f32[3]; f32[3]"},
    {"moments", "f32<2x4x4x8>", "over=row", "f32[]; f32<2x4x4x1>; f32<2x4x4x1>"},
    {"moments", "f32<2x4x4x8>", "over=image groups=2",
     "f32[]; f32<2x2 per_image>; f32<2x2 per_image>"},
    {"rstd", "f32[8]; f32[]", "eps=1e-5", "f32[8]"},
    {"rstd", "f32<2x4x4x1>; f32[]", "eps=0", "f32<2x4x4x1>"},
    {"normalise", MASKED "; f32[3]; f32[3]; f32[3]; f32[3]", "", MASKED},
    {"normalise", "f32<2x4x4x8>; f32<2x8 per_image>; f32<2x8 per_image>", "", "f32<2x4x4x8>"},
    {"normalise", "f32<2x4x4x8>; f32<2x4x4x1>; f32<2x4x4x1>; -; f32[8]", "", "f32<2x4x4x8>"},
    {"normalise", "f32<2x8 per_image>; f32<2x1 per_image>; f32<2x1 per_image>", "",
     "f32<2x8 per_image>"},
    {"log_softmax", "f32<2x8 per_image>", "", "f32<2x8 per_image>"},
    {"log_softmax", MASKED, "", MASKED},
    {"log_softmax_grad", "f32<2x8 per_image>; f32<2x8 per_image>", "", "f32<2x8 per_image>"},
    {"concat", "f32<2x4x4x8>", "", "f32<2x4x4x8>"},
    {"concat", MASKED "; f32<2x64x64x5 masked 1>; " MASKED, "", "f32<2x64x64x11 masked 1>"},
    {"slice", "f32<2x4x4x8>", "start=5 channels=3", "f32<2x4x4x3>"},
    {"slice_grad", "f32<2x4x4x3>", "start=5 channels=8", "f32<2x4x4x8>"},
    {"channel_shuffle", "f32<2x4x4x8>", "groups=2", "f32<2x4x4x8>"},
    {"repeat_channels", "f32<2x2 per_image>", "times=4", "f32<2x8 per_image>"},
    {"flatten", "f32<2x4x5x8>", "", "f32<2x160 per_image>"},
    {"flatten", "f32<2x8 per_image>", "", "f32<2x8 per_image>"},
    {"unflatten", "f32<2x160 per_image>", "size=4x5", "f32<2x4x5x8>"},
    {"squeeze", "f32<2x1x1x8>", "", "f32<2x8 per_image>"},
    {"mask", IMAGE "; i32[2x2]", "", MASKED},
    {"densify", "f32<2x16x16x8 masked 4>; f32[8]", "", "f32<2x16x16x8>"},
    {"gather", "f32<2x16x16x8>", "stride=4", "f32<2x16x16x8 masked 4>"},
    {"hidden", "i32[2x2]", "size=16x16", "f32<2x16x16x1>"},
    {"patch_normalise", IMAGE, "patch=32", IMAGE},
    {"collect", WEIGHT "; f32[8]", "", "f32<flat>"},
};

static void legal_ops_get_their_types(void) {
    CHECK_ALL(legal);
}

static void every_op_has_a_case(void) {
    for (int op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = op_info((Op)op);
        int cases = (info->flags & OP_ACTIVATION) != 0;
        for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
            cases += strcmp(legal[i].op, info->name) == 0;
        if (cases == 0)
            fprintf(stderr, "no case for %s\n", info->name);
        CU_ASSERT_TRUE(cases > 0);
    }
}

static void activations_keep_the_type(void) {
    for (int op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = op_info((Op)op);
        if (!(info->flags & OP_ACTIVATION))
            continue;
        bool gradient = info->operand_count == 2;
        check(&(Case){info->name, gradient ? MASKED "; " MASKED : MASKED, "", MASKED});
    }
    check(&(Case){"relu_grad", MASKED "; " IMAGE, "",
                  "dy of relu_grad must be " MASKED ", this is " IMAGE});
}

static const Case illegal_sources[] = {
    {"input", "f32<2x64x64x4>:", "name=image",
     "the image is " IMAGE ", the stated type is f32<2x64x64x4>"},
    {"input", "f32[2x2]:", "name=cells",
     "the list of cells is i32[2x2], the stated type is f32[2x2]"},
    {"input", "f32<3x64x64x4 masked 1>:", "name=other",
     "f32<3x64x64x4 masked 1> does not line up with the cells of the image"},
    {"input", "f32<2x64x4 masked 1>:", "name=other",
     "f32<2x64x4 masked 1> does not line up with the cells of the image"},
    {"input", "f32<2x32x32x4 masked 1>:", "name=other",
     "f32<2x32x32x4 masked 1> does not line up with the cells of the image"},
    {"scalar", "i32[]:", "name=x", "a named scalar is f32[] or u32[], the stated type is i32[]"},
    {"scalar", "f32[1]:", "name=x", "a named scalar is f32[] or u32[], the stated type is f32[1]"},
    {"constant", "f32<2x3 per_image>:", "value=1",
     "a constant has a plain type, the stated type is f32<2x3 per_image>"},
    {"param", "f32[8]:", "segment=a", "there is no segment \"a\""},
    {"param", "f32[9]:", "segment=b", "the segment is f32[8], the stated type is f32[9]"},
    {"state", "f32[8]:", "name=a", "there is no state \"a\""},
    {"state", "f32[]:", "name=m", "the state is f32[8], the stated type is f32[]"},
    {"parameters", "f32[8]:", "",
     "the list of all parameters is f32<flat>, the stated type is f32[8]"},
    {"segment_table", "f32<segments>:", "column=size",
     "the segment table has the columns decays and lr_scale, not size"},
    {"segment_table", "f32<flat>:", "column=decays",
     "a column of the segment table is f32<segments>, the stated type is f32<flat>"},
    {"bernoulli", "f32[2]: u32[]; f32[]", "rate=0 stream=0",
     "step of bernoulli must be u32[], this is f32[]"},
    {"bernoulli", "u32[2]: u32[]; u32[]", "rate=0 stream=0",
     "random factors are f32, the stated type is u32[2]"},
    {"bernoulli", "f32[2]: u32[]; u32[]", "rate=1 stream=0",
     "rate must be at least 0 and less than 1, this is 1"},
    {"bernoulli", "f32[2]: u32[]; u32[]", "rate=nan stream=0",
     "rate must be at least 0 and less than 1, this is nan"},
    {"bernoulli", "f32[2]: u32[]; u32[]", "rate=0 stream=4294967296",
     "stream must be from 0 to 2^32 - 1, this is 4294967296"},
    {"broadcast", "f32[8]: f32<2x4x4x8>", "", "f32<2x4x4x8> does not spread over f32[8]"},
    {"commit", "f32[9]", "region=state name=m", "x of commit must be f32[8], this is f32[9]"},
    {"commit", "f32[8]", "region=state name=n", "there is no state \"n\""},
    {"commit", "f32[8]", "region=params", "x of commit must be f32<flat>, this is f32[8]"},
    {"commit", "f32<flat>", "region=params name=b",
     "region params is committed whole, without name"},
    {"commit", "f32[8]", "region=scratch", "the regions are params and state, not scratch"},
    {"collect", WEIGHT, "", "collect needs one gradient for each of 2 segments, there are 1"},
    {"collect", WEIGHT "; f32[9]", "", "gradients of collect must be f32[8], this is f32[9]"},
    {"add", "f32[8]", "", "add needs b"},
    {"output", "-", "name=y", "output needs x"},
};

static void illegal_sources_and_sinks(void) {
    CHECK_ALL(illegal_sources);
}

static const Case illegal_contractions[] = {
    {"conv", IMAGE "; f32[3x3x4x8]", SAME,
     "weight of conv must be f32[3x3x3x8], this is f32[3x3x4x8]"},
    {"conv", IMAGE "; f32[3x5x3x8]", SAME,
     "weight of conv must be f32[3x3x3x8], this is f32[3x5x3x8]"},
    {"conv", IMAGE "; f32[3x3x8]", SAME, "the weight must have 4 dimensions, this is f32[3x3x8]"},
    {"conv", IMAGE "; i32[3x3x3x8]", SAME, "conv needs floating-point numbers, weight holds i32"},
    {"conv", "f32[8]; " WEIGHT, SAME, "conv needs a tensor, this is 8"},
    {"conv", "f32<2x8x8x30>; " WEIGHT, SAME " groups=8", "groups = 8 does not divide 30 channels"},
    {"conv", "f32<2x8x8x6>; f32[3x3x2x8]", SAME " groups=3",
     "groups = 3 does not divide 8 channels"},
    {"conv", IMAGE "; " WEIGHT, SAME " groups=0", "groups must be at least 1, this is 0"},
    {"conv", IMAGE "; " WEIGHT, "kernel=3x3 stride=1x0 pad=1x1 dilation=1x1",
     "stride must be at least 1, this is [1, 0]"},
    {"conv", IMAGE "; " WEIGHT, "kernel=3x3 stride=1x1 pad=-1x-1 dilation=1x1",
     "pad must be at least 0, this is -1"},
    {"conv", IMAGE "; " WEIGHT, "kernel=3x3 stride=1x1 pad=1x1 dilation=3000000000x1",
     "dilation must be at most 2^31 - 1, this is [3000000000, 1]"},
    {"conv", IMAGE "; " WEIGHT, "kernel=3x3 stride=1 pad=1x1 dilation=1x1",
     "stride takes 2 numbers, one per direction, not 1"},
    {"conv", "f32<2x4x4x3>; f32[7x7x3x8]", "kernel=7x7 stride=1x1 pad=1x1 dilation=1x1",
     "a kernel of 7 x 7 does not fit into the map of 4 x 4, padded to 6 x 6"},
    {"conv", "f32<2x4x4x3>; " WEIGHT, "kernel=3x3 stride=1x1 pad=0x0 dilation=4x4",
     "a kernel of 9 x 9, counted with its gaps, does not fit into the map of 4 x 4"},
    {"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=1x1 pad=0x0 dilation=2x2",
     "the map shrinks from 64 x 64 to 60 x 60 and no longer lines up with the cells | pad = 2 "
     "keeps it"},
    {"conv", MASKED "; f32[3x5x3x8]", "kernel=3x5 stride=1x1 pad=0x0 dilation=1x1",
     "the map shrinks from 64 x 64 to 62 x 60 and no longer lines up with the cells | pad = [1, 2] "
     "keeps it"},
    {"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=1x1 pad=3x3 dilation=1x1",
     "the map grows from 64 x 64 to 68 x 68 and no longer lines up with the cells | pad = 1 keeps "
     "it"},
    {"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=2x2 pad=0x0 dilation=1x1",
     "the map shrinks from 64 x 64 to 31 x 31 and no longer lines up with the cells | pad = 1 "
     "keeps it"},
    {"conv", MASKED "; f32[2x2x3x8]", "kernel=2x2 stride=1x1 pad=0x0 dilation=1x1",
     "the map shrinks from 64 x 64 to 63 x 63 and no longer lines up with the cells"},
    {"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=2x1 pad=1x1 dilation=1x1",
     "stride = [2, 1] differs by direction; on the way to a feature it must be the same in all"},
    {"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=3x3 pad=1x1 dilation=1x1",
     "stride = 3 is not a power of two, so the map leaves the cells"},
    {"conv", "f32<2x2x2x3 masked 32>; " WEIGHT, HALF,
     "stride = 2 makes the map coarser than the cells"},
    {"conv", "f32<2x3 per_image>; " WEIGHT, SAME,
     "not supported: on 3 x 1 x 1 conv takes kernel = 1, stride = 1, pad = 0 only"},
    {"conv", IMAGE "; " WEIGHT, SAME " dense=true",
     "conv with dense = true needs a masked map, this is f32<2x64x64x3>"},
    {"conv", "f32<2x3 per_image>; f32[1x1x3x8]", POINT " dense=true",
     "conv with dense = true needs a masked map, this is f32<2x3 per_image>"},
    {"conv", MASKED "; " WEIGHT, HALF " dense=true", "dense = true needs stride = 1, this is 2"},
    {"conv_transpose", "f32<2x64x64x8 masked 1>; " WEIGHT, SAME " size=64x64 dense=true",
     "conv_transpose with dense = true needs a dense map, this is f32<2x64x64x8 masked 1>"},
    {"conv_transpose", "f32<2x24x24x8>; " WEIGHT, SAME " size=24x24 dense=true",
     "24 x 24 does not line up with the cells of the image"},
    {"conv_weight_grad", MASKED "; f32<2x64x64x8 masked 1>", SAME " dense=true",
     "dy of conv_weight_grad must be f32<2x64x64x8>, this is f32<2x64x64x8 masked 1>"},
    {"token_taps", "f32[4]; " WEIGHT, "", "token of token_taps must be f32[3], this is f32[4]"},
    {"token_taps", "f32[4]; f32[4x8]", "",
     "token_taps needs a weight, [kernel.., in, out], this is f32[4x8]"},
    {"token_taps_grad", "f32[3x3x2x8]; " WEIGHT, "",
     "dy of token_taps_grad must be f32[3x3x1x8], this is f32[3x3x2x8]"},
    {"token_taps_weight_grad", "f32[3]; " WEIGHT, "",
     "token_taps_weight_grad needs what taps give, [kernel.., 1, out], this is f32[3x3x3x8]"},
    {"token_taps_weight_grad", "f32[3x3]; f32[3x3x1x8]", "",
     "token of token_taps_weight_grad must be f32[9], this is f32[3x3]"},
    {"conv_transpose", "f32<2x32x32x8>; " WEIGHT, HALF " size=65x63",
     "output_pad must be at least 0 and less than stride = 2, this is [2, 0]"},
    {"conv_transpose", "f32<2x32x32x8>; " WEIGHT, HALF " size=62x62",
     "output_pad must be at least 0 and less than stride = 2, this is -1"},
    {"conv_transpose", "f32<2x32x32x7>; " WEIGHT, HALF " size=64x64",
     "weight of conv_transpose must be f32[3x3x3x7], this is f32[3x3x3x8]"},
    {"conv_transpose", MASKED "; " WEIGHT, HALF " size=128x128",
     "weight of conv_transpose must be f32[3x3x3x3], this is f32[3x3x3x8]"},
    {"conv_transpose", "f32<2x64x64x8 masked 1>; " WEIGHT, HALF " size=128x128",
     "stride 1 cannot come from a window of stride 2"},
    {"conv_weight_grad", IMAGE "; f32<2x32x32x8>", HALF " groups=2",
     "groups = 2 does not divide 3 channels"},
    {"conv_weight_grad", IMAGE "; f32<2x32x32x8>", HALF " groups=3",
     "groups = 3 does not divide 8 channels"},
    {"conv_weight_grad", IMAGE "; f32<2x31x32x8>", HALF,
     "dy of conv_weight_grad must be f32<2x32x32x8>, this is f32<2x31x32x8>"},
    {"conv_weight_grad", IMAGE "; f32<2x32x32x8 masked 2>", HALF,
     "dy of conv_weight_grad must be f32<2x32x32x8>, this is f32<2x32x32x8 masked 2>"},
    {"linear", IMAGE "; f32[4x8]", "", "weight of linear must be f32[3x8], this is f32[4x8]"},
    {"linear", IMAGE "; f32[3x8]", "transpose=true",
     "weight of linear must be f32[3x3], this is f32[3x8]"},
    {"linear", IMAGE "; f32[3]", "", "the weight must have 2 dimensions, this is f32[3]"},
    {"linear", "f32<flat>; f32[3x8]", "", "linear needs a tensor, this is all parameters"},
    {"linear_weight_grad", IMAGE "; f32<2x64x64x8 masked 1>", "",
     "dy of linear_weight_grad must be f32<2x64x64x8>, this is f32<2x64x64x8 masked 1>"},
};

static void illegal_contractions_are_refused(void) {
    CHECK_ALL(illegal_contractions);
}

static const Case illegal_windows[] = {
    {"max_pool", IMAGE, "kernel=3x3 stride=2x2 pad=2x2 dilation=1x1",
     "pad = 2 is more than half of kernel = 3"},
    {"max_pool", "f32<2x8 per_image>", HALF,
     "max_pool needs a map with height and width, this is 8 x 1 x 1"},
    {"max_pool", MASKED, "kernel=3x3 stride=2x2 pad=0x0 dilation=1x1",
     "the map shrinks from 64 x 64 to 31 x 31 and no longer lines up with the cells | pad = 1 "
     "keeps it"},
    {"max_pool", MASKED "; " IMAGE, HALF, "by of max_pool must be " MASKED ", this is " IMAGE},
    {"avg_pool", "f32<2x3x3x8>", "kernel=4x4 stride=1x1 pad=0x0",
     "a kernel of 4 x 4 does not fit into the map of 3 x 3"},
    {"avg_pool", MASKED, "kernel=2x2 stride=1x1 pad=0x0",
     "the map shrinks from 64 x 64 to 63 x 63 and no longer lines up with the cells"},
    {"max_pool_grad", IMAGE "; " IMAGE, HALF,
     "dy of max_pool_grad must be f32<2x32x32x3>, this is " IMAGE},
    {"avg_pool_grad", "f32<2x2x2x3>", "kernel=2x2 stride=2x2 pad=0x0 size=6x4",
     "6 x 4 does not become 2 x 2 under this window"},
    {"upsample", IMAGE, "factor=2x2 mode=cubic", "mode must be nearest or bilinear, this is cubic"},
    {"upsample", "f32<2x3 per_image>", "factor=2x2",
     "upsample needs a map with height and width, this is 3 x 1 x 1"},
    {"upsample", "f32<2x16x16x3 masked 4>", "factor=2x2 mode=bilinear",
     "not supported: bilinear upsample has no masked form | mode = \"nearest\" has one"},
    {"upsample", "f32<2x16x16x3 masked 4>", "factor=3x3",
     "factor = 3 is not a power of two, so the map leaves the cells"},
    {"upsample", "f32<2x16x16x3 masked 4>", "factor=2x4",
     "factor = [2, 4] differs by direction; on the way to a feature it must be the same in all"},
    {"upsample", "f32<2x16x16x3 masked 4>", "factor=8x8",
     "factor = 8 makes the map larger than the image"},
    {"upsample_grad", "f32<2x9x8x3>", "factor=2x2", "factor = 2 does not divide 9 x 8"},
    {"upsample_grad", "f32<2x2x2x3 masked 32>", "factor=2x2",
     "f32<2x1x1x3 masked 64> does not line up with the cells of the image"},
};

static void illegal_windows_are_refused(void) {
    CHECK_ALL(illegal_windows);
}

static const Case illegal_norms[] = {
    {"batch_norm", IMAGE "; f32[4]; f32[3]; f32[]", "",
     "running_mean of batch_norm must be f32[3], this is f32[4]"},
    {"batch_norm", IMAGE "; f32[3]; f32[3]; f32[1]", "",
     "batches of batch_norm must be f32[], this is f32[1]"},
    {"batch_norm", IMAGE "; f32[3]; f32[3]", "", "batch_norm needs batches"},
    {"batch_norm", IMAGE "; f32[3]; f32[3]; f32[]", "momentum=1.5",
     "momentum must be from 0 to 1, this is 1.5"},
    {"layer_norm", IMAGE "; f32[4]", "", "weight of layer_norm must be f32[3], this is f32[4]"},
    {"layer_norm", IMAGE, "eps=-1", "eps must be at least 0, this is -1"},
    {"layer_norm", IMAGE, "eps=inf", "eps must be at least 0, this is inf"},
    {"group_norm", "f32<2x4x4x30>", "groups=8", "groups = 8 does not divide 30 channels"},
    {"group_norm", "f32<2x4x4x30>", "groups=-1", "groups must be at least 1, this is -1"},
    {"instance_norm", "f32<2x30 per_image>", "",
     "instance_norm needs more than one position per image, this is 30 x 1 x 1"},
    {"instance_norm", "f32<2x1x1x30>", "",
     "instance_norm needs more than one position per image, this is 30 x 1 x 1"},
    {"grn", IMAGE "; f32[3]", "", "grn needs bias"},
    {"sum", IMAGE, "over=column", "sum does not go over \"column\""},
    {"sum", IMAGE, "over=row groups=3", "sum over row has no groups"},
    {"sum", IMAGE, "over=image groups=2", "groups = 2 does not divide 3 channels"},
    {"sum", IMAGE, "over=group groups=3",
     "a sum over group needs a value per image, this is " IMAGE},
    {"sum", "f32<2x8 per_image>", "over=group", "a sum over group needs groups"},
    {"sum", "f32[8]", "over=batch", "sum needs a tensor, this is 8"},
    {"sum", "f32[8]", "over=segment", "a sum over segment needs a flat value, this is f32[8]"},
    {"moments", IMAGE, "over=all", "moments does not go over \"all\""},
    {"rstd", "f32[]; f32[8]", "eps=0", "count of rstd must be f32[], this is f32[8]"},
    {"normalise", IMAGE "; f32[4]; f32[4]", "", "the mean f32[4] does not fit " IMAGE},
    {"normalise", IMAGE "; f32[3]; f32<2x3 per_image>", "",
     "rstd of normalise must be f32[3], this is f32<2x3 per_image>"},
    {"normalise", IMAGE "; f32<2x64x64x1 masked 1>; f32<2x64x64x1 masked 1>", "",
     "the mean f32<2x64x64x1 masked 1> does not fit " IMAGE},
    {"normalise", IMAGE "; f32[3]; f32[3]; f32[]", "",
     "weight of normalise must be f32[3], this is f32[]"},
    {"dropout", IMAGE, "rate=1 stream=0", "rate must be at least 0 and less than 1, this is 1"},
};

static void illegal_norms_and_reductions(void) {
    CHECK_ALL(illegal_norms);
}

static const Case illegal_moves[] = {
    {"concat", "f32<2x16x16x32>; f32<2x8x8x64>", "",
     "concat needs equal height and width: 32 x 16 x 16 and 64 x 8 x 8"},
    {"concat", "f32<2x16x16x32>; f32<2x64 per_image>", "",
     "concat needs equal height and width: 32 x 16 x 16 and 64 x 1 x 1"},
    {"concat", IMAGE "; " MASKED, "",
     "concat cannot mix a masked map with one that is not: 3 x 64 x 64 not masked and 3 x 64 x 64 "
     "masked"},
    {"concat", "f32<2x16x16x3 masked 4>; f32<2x32x32x3 masked 2>", "",
     "concat needs equal height and width: 3 x 16 x 16 and 3 x 32 x 32"},
    {"concat", "", "", "concat needs x"},
    {"concat", "f32<1x2000000000 per_image>; f32<1x2000000000 per_image>", "",
     "concat would have more than 2^31 - 1 channels"},
    {"slice", "f32<2x4x4x8>", "start=6 channels=3", "channels 6 to 8 are beyond the 8 there are"},
    {"slice", "f32<2x4x4x8>", "start=-1 channels=3", "start must be at least 0, this is -1"},
    {"slice", "f32<2x4x4x8>", "start=0 channels=0", "channels must be at least 1, this is 0"},
    {"slice_grad", "f32<2x4x4x3>", "start=6 channels=8",
     "channels 6 to 8 are beyond the 8 there are"},
    {"channel_shuffle", "f32<2x4x4x8>", "groups=3", "groups = 3 does not divide 8 channels"},
    {"repeat_channels", "f32<2x4x4x8>", "times=0", "times must be at least 1, this is 0"},
    {"flatten", MASKED, "", "not supported: flatten has no masked form"},
    {"unflatten", "f32<2x160 per_image>", "size=7x5", "7 x 5 does not divide 160 channels"},
    {"unflatten", IMAGE, "size=7x5", "unflatten needs a value per image, this is " IMAGE},
    {"squeeze", IMAGE, "", "squeeze needs a map of one position, this is " IMAGE},
    {"mask", "f32<2x32x32x3>; i32[2x2]", "",
     "f32<2x32x32x3> at stride 1 does not line up with the cells of the image"},
    {"mask", IMAGE "; i32[2x3]", "", "cells of mask must be i32[2x2], this is i32[2x3]"},
    {"mask", MASKED "; i32[2x2]", "", "mask needs a dense map, this is " MASKED},
    {"densify", IMAGE "; f32[3]", "", "densify needs a masked map, this is " IMAGE},
    {"densify", MASKED "; f32[4]", "", "token of densify must be f32[3], this is f32[4]"},
    {"gather", "f32<2x16x16x8>", "stride=2",
     "f32<2x16x16x8> at stride 2 does not line up with the cells of the image"},
    {"gather", "f32<2x1x1x8>", "stride=64",
     "f32<2x1x1x8> at stride 64 does not line up with the cells of the image"},
    {"hidden", "i32[2x2]", "size=16x32", "16 x 32 does not line up with the cells of the image"},
    {"hidden", "i32[2x2]", "size=65x65", "65 x 65 does not line up with the cells of the image"},
    {"patch_normalise", IMAGE, "patch=24", "patch = 24 does not divide 64 x 64"},
    {"patch_normalise", "f32<2x64x64x1>", "patch=1", "a patch of one number has no variance"},
};

static void illegal_moves_and_masks(void) {
    CHECK_ALL(illegal_moves);
}

static const Case too_large[] = {
    {"upsample", "f32<2x40000x40000x1>", "factor=2x2",
     "the result, 1 x 80000 x 80000, has more than 2^31 - 1 numbers"},
    {"upsample", "f32<2x2147483647x1x1>", "factor=2147483647x2147483647",
     "the result, 1 x 4611686014132420609 x 2147483647, has more than 2^31 - 1 numbers"},
    {"conv", "f32<2x1000x1000x1>; f32[1x1x1x3000]", POINT,
     "the result, 3000 x 1000 x 1000, has more than 2^31 - 1 numbers"},
    {"conv", "f32<2x8x8x1>; f32[3x3x1x1]",
     "kernel=3x3 stride=1x1 pad=2147483647x2147483647 dilation=1x1",
     "the result, 1 x 4294967300 x 4294967300, has more than 2^31 - 1 numbers"},
    {"conv", "f32<2x8x8x1>; f32[3x3x1x1]",
     "kernel=2147483647x3 stride=1x1 pad=0x0 dilation=2147483647x1",
     "weight of conv must be f32[2147483647x3x1x1], this is f32[3x3x1x1]"},
    {"avg_pool", "f32<2x8x8x1>",
     "kernel=2147483647x3 stride=2147483647x1 pad=1073741823x0 ceil_mode=true", "f32<2x1x6x1>"},
    {"flatten", "f32<2x60000x60000x3>", "",
     "the result, 10800000000 x 1 x 1, has more than 2^31 - 1 numbers"},
    {"repeat_channels", "f32<2x2147483647 per_image>", "times=2147483647",
     "the result, 4611686014132420609 x 1 x 1, has more than 2^31 - 1 numbers"},
    {"relu", "f32<2147483647x1024x1024x1>", "",
     "the result, 1 x 1024 x 1024, is too large for a batch of 2147483647"},
    {"constant", "f32[65536x65536]:", "value=0",
     "the result, 65536 x 65536, has more than 2^31 - 1 numbers"},
    {"linear", "f32<2x60000x1x3>; f32[3x60000]", "",
     "the result, 60000 x 60000 x 1, has more than 2^31 - 1 numbers"},
};

static void sizes_that_overflow(void) {
    CHECK_ALL(too_large);
}

/* The broadcasting table: rows spread over columns ('<'), are the same ('='), or do not fit ('.').
 */
static void broadcasting_table(void) {
    static const char *const types[] = {
        "f32[]",
        "f32[8]",
        "f32[2x8]",
        "f32<2x8 per_image>",
        "f32<2x1 per_image>",
        "f32<3x8 per_image>",
        "f32<2x64x64x8>",
        "f32<2x64x64x1>",
        "f32<2x64x64x8 masked 1>",
        "f32<2x64x64x1 masked 1>",
        "f32<2x32x32x8 masked 2>",
        "f32<flat>",
        "f32<segments>",
        "i32[]",
    };
    static const char *const table[] = {
        "=<<<<<<<<<<<<.", /* [] */
        ".=.<.<<.<.<...", /* [8] */
        "..=...........", /* [2x8] */
        "...=..<.<.<...", /* 2x8 per_image */
        "...<=.<<<<<...", /* 2x1 per_image */
        ".....=........", /* 3x8 per_image */
        "......=.......", /* dense */
        "......<=......", /* dense, 1 channel */
        "........=.....", /* masked 1 */
        "........<=....", /* masked 1, 1 channel */
        "..........=...", /* masked 2 */
        "...........=..", /* flat */
        "...........<=.", /* segments */
        ".............=", /* i32 */
    };
    int count = sizeof types / sizeof *types;
    Graph *graph = create();
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            Type a = operand(graph, types[i])->type, b = operand(graph, types[j])->type, common;
            bool fits = table[i][j] != '.' || table[j][i] != '.';
            bool found = rules_broadcast(&a, &b, &common);
            if (found != fits)
                fprintf(stderr, "%s with %s\n", types[i], types[j]);
            CU_ASSERT_EQUAL(found, fits);
            if (found)
                CU_ASSERT_TRUE(type_equal(&common, table[i][j] != '.' ? &b : &a));
        }
    }
    arena_destroy(graph->arena);
}

static const Case mismatches[] = {
    {"add", "f32<2x16x16x32>; f32<2x16x16x64>", "",
     "+ needs equal shapes: left 32 x 16 x 16, right 64 x 16 x 16"},
    {"sub", "f32<2x16x16x32>; f32<2x1 per_image>", "", "f32<2x16x16x32>"},
    {"sub", "f32<2x16x16x32>; f32<2x31 per_image>", "",
     "- needs equal shapes: left 32 x 16 x 16, right 31 x 1 x 1"},
    {"mul", "f32[8]; f32<2x16x16x32>", "", "* needs equal shapes: left 8, right 32 x 16 x 16"},
    {"div", MASKED "; " IMAGE, "",
     "/ cannot mix a masked map with one that is not: left 3 x 64 x 64 masked, right 3 x 64 x 64 "
     "not masked"},
    {"add", "f32[]; i32[]", "", "+ needs numbers of one kind: left f32, right i32"},
    {"select", "f32<2x16x16x1>; f32<2x32 per_image>; f32[]", "",
     "select needs equal shapes: left 1 x 16 x 16, right 32 x 1 x 1"},
    {"add", "f32<2x4 per_image>; f32<2x16x16x1>", "",
     "+ needs equal shapes: left 4 x 1 x 1, right 1 x 16 x 16"},
};

static void mismatches_are_said_from_left_to_right(void) {
    CHECK_ALL(mismatches);
}

/* n, kernel, stride, pad, dilation, ceil -> size, as PyTorch has it. */
static void window_sizes(void) {
    static const struct {
        int64_t n, kernel, stride, pad, dilation;
        bool ceil_mode;
        int64_t size;
    } cases[] = {
        {224, 7, 2, 3, 1, false, 112}, {112, 3, 2, 1, 1, false, 56}, {6, 3, 2, 0, 1, false, 2},
        {6, 3, 2, 0, 1, true, 3},      {5, 2, 2, 0, 1, true, 3},     {5, 1, 2, 1, 1, true, 3},
        {4, 2, 3, 1, 1, true, 2},      {3, 2, 3, 1, 1, true, 2},     {2, 3, 1, 0, 1, false, 0},
        {2, 3, 2, 0, 1, true, 0},      {7, 3, 1, 0, 3, false, 1},    {6, 3, 1, 0, 3, false, 0},
        {1, 1, 1, 0, 1, false, 1},     {9, 3, 4, 0, 1, true, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t size = rules_window_size(cases[i].n, cases[i].kernel, cases[i].stride, cases[i].pad,
                                         cases[i].dilation, cases[i].ceil_mode);
        if (size != cases[i].size)
            fprintf(stderr, "window %zu: %lld\n", i, (long long)size);
        CU_ASSERT_EQUAL(size, cases[i].size);
    }
}

/* Every masked conv that the rule accepts keeps each output position inside the cell of its
 * centre: the hint's pad does too. */
static void hints_lead_to_legal_ops(void) {
    for (int64_t kernel = 1; kernel <= 9; kernel++) {
        for (int64_t stride = 1; stride <= 8; stride *= 2) {
            Graph *graph = create();
            Node *node = make(graph, &(Case){"avg_pool", MASKED, "", ""});
            node_set_ints(node, "kernel", (int64_t[]){kernel, kernel}, 2);
            node_set_ints(node, "stride", (int64_t[]){stride, stride}, 2);
            node_set_ints(node, "pad", (int64_t[]){0, 0}, 2);
            RuleError error = {0};
            if (!rules_infer(graph, node, &error) && error.hint) {
                CU_ASSERT_EQUAL(strncmp(error.hint, "pad = ", 6), 0);
                int64_t pad = strtoll(error.hint + 6, NULL, 10);
                node_set_ints(node, "pad", (int64_t[]){pad, pad}, 2);
                CU_ASSERT_TRUE(rules_infer(graph, node, &error));
            }
            if (!error.hint && error.message) /* only an even window at stride 1 has no pad */
                CU_ASSERT_TRUE(kernel % 2 == 0 && stride == 1);
            arena_destroy(graph->arena);
        }
    }
}

static void errors_say_which_part(void) {
    static const struct {
        Case row;
        RulePart part;
        int index;
    } cases[] = {
        {{"conv", "f32<2x8x8x30>; " WEIGHT, SAME " groups=8", ""}, RULE_ATTRIBUTE, 4},
        {{"conv", IMAGE "; f32[3x3x4x8]", SAME, ""}, RULE_OPERAND, 1},
        {{"conv", MASKED "; " WEIGHT, "kernel=3x3 stride=1x1 pad=0x0 dilation=1x1", ""},
         RULE_OP,
         0},
        {{"concat", IMAGE "; " IMAGE "; f32[3]", "", ""}, RULE_OPERAND, 2},
        {{"add", IMAGE "; f32[4]", "", ""}, RULE_OPERAND, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Graph *graph = create();
        RuleError error = {0};
        CU_ASSERT_FALSE(rules_infer(graph, make(graph, &cases[i].row), &error));
        CU_ASSERT_EQUAL(error.part, cases[i].part);
        CU_ASSERT_EQUAL(error.index, cases[i].index);
        arena_destroy(graph->arena);
    }
}

static void graphs_without_cells_have_no_mask(void) {
    Graph *graph = create();
    graph->geometry.keep = 0;
    static const Case cases[] = {
        {"mask", IMAGE "; i32[2x2]", "",
         "mask needs a graph with visible cells, this one has none"},
        {"hidden", "i32[2x2]", "size=16x16",
         "hidden needs a graph with visible cells, this one has none"},
        {"gather", "f32<2x16x16x8>", "stride=4",
         "f32<2x16x16x8> at stride 4 does not line up with the cells of the image"},
        {"input", "i32[2x2]:", "name=cells",
         "the graph has no visible cells, so no input \"cells\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CU_ASSERT_STRING_EQUAL(outcome(graph, make(graph, &cases[i])), cases[i].expected);
    arena_destroy(graph->arena);
}

CU_TestInfo ir_rules[] = {
    {"legal ops get their types", legal_ops_get_their_types},
    {"every op has a case", every_op_has_a_case},
    {"activations keep the type", activations_keep_the_type},
    {"illegal sources and sinks", illegal_sources_and_sinks},
    {"illegal contractions", illegal_contractions_are_refused},
    {"illegal windows", illegal_windows_are_refused},
    {"illegal norms and reductions", illegal_norms_and_reductions},
    {"illegal moves and masks", illegal_moves_and_masks},
    {"sizes that overflow", sizes_that_overflow},
    {"broadcasting table", broadcasting_table},
    {"mismatches are said from left to right", mismatches_are_said_from_left_to_right},
    {"window sizes", window_sizes},
    {"hints lead to legal ops", hints_lead_to_legal_ops},
    {"errors say which part", errors_say_which_part},
    {"graphs without cells have no mask", graphs_without_cells_have_no_mask},
    CU_TEST_INFO_NULL,
};
