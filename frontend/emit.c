#include "frontend/emit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/rules.h"

/* ---- Arguments ---- */

static size_t find_argument(const LayerCall *call, const char *name) {
    for (size_t i = 0; i < CALLEE_MOST_PARAMETERS && call->info->parameters[i].name; i++)
        if (strcmp(call->info->parameters[i].name, name) == 0)
            return i;
    invariant(false, "op %s has no argument %s", call->info->name, name);
}

bool emit_given(const LayerCall *call, const char *name) {
    return call->values[find_argument(call, name)].kind != DATUM_UNSET;
}

Span emit_span(const LayerCall *call, const char *name) {
    size_t index = find_argument(call, name);
    return call->values[index].kind == DATUM_UNSET ? call->span : call->spans[index];
}

static Datum refuse(LayerCall *call, const char *name, const char *wanted, Datum value) {
    call->failed = true;
    return evaluate_fail(call->evaluator, emit_span(call, name), "%s must be %s, this is %s", name,
                         wanted, datum_text(call->evaluator->arena, value));
}

/* The argument's value, or what stands for it: a default, or another argument's value. */
static Datum value_of(const LayerCall *call, const char *name) {
    size_t index = find_argument(call, name);
    const char *standard = call->info->parameters[index].standard;
    if (call->values[index].kind != DATUM_UNSET || !standard || standard[0] == '\0')
        return call->values[index];
    if (strcmp(standard, "true") == 0 || strcmp(standard, "false") == 0)
        return datum_boolean(standard[0] == 't');
    char *end;
    double number = strtod(standard, &end);
    if (*end == '\0')
        return datum_number(number);
    if (standard[0] == '"')
        return datum_string(
            arena_copy_text(call->evaluator->arena, standard + 1, strlen(standard) - 2));
    return value_of(call, standard);
}

static ArgumentKind kind_of(const LayerCall *call, const char *name) {
    return call->info->parameters[find_argument(call, name)].kind;
}

/* A whole number from `least`, or a report. */
static int64_t whole(LayerCall *call, const char *name, Datum value, Datum shown, int least) {
    bool pair = kind_of(call, name) == ARGUMENT_WINDOW || kind_of(call, name) == ARGUMENT_MARGIN;
    if (value.kind != DATUM_NUMBER) {
        refuse(call, name, pair ? "a number or [height, width]" : "a whole number", shown);
        return least;
    }
    if (value.number == floor(value.number) && value.number > INT32_MAX) {
        refuse(call, name, "at most 2^31 - 1", shown);
        return least;
    }
    if (!number_is_whole(value.number)) {
        refuse(call, name, "a whole number", shown);
        return least;
    }
    if (value.number < least) {
        refuse(call, name, least ? "at least 1" : "at least 0", shown);
        return least;
    }
    return (int64_t)value.number;
}

int64_t emit_count(LayerCall *call, const char *name) {
    Datum value = value_of(call, name);
    return whole(call, name, value, value, 1);
}

void emit_pair(LayerCall *call, const char *name, int64_t pair[2]) {
    Datum value = value_of(call, name);
    int least = kind_of(call, name) == ARGUMENT_WINDOW;
    pair[0] = pair[1] = least;
    if (value.kind != DATUM_LIST) {
        pair[0] = pair[1] = whole(call, name, value, value, least);
        return;
    }
    if (value.list->count != 2) {
        refuse(call, name, "a number or [height, width]", value);
        return;
    }
    for (int d = 0; d < 2 && !call->failed; d++)
        pair[d] = whole(call, name, value.list->items[d], value, least);
}

/* The bounds of a number by its kind, in words if it is outside. */
static const char *number_problem(ArgumentKind kind, double number) {
    if (kind == ARGUMENT_RATE && !(number >= 0 && number < 1))
        return "at least 0 and less than 1";
    if (kind == ARGUMENT_SHARE && !(number >= 0 && number <= 1))
        return "from 0 to 1";
    if (kind == ARGUMENT_SPREAD && !(number >= 0))
        return "at least 0";
    if (kind == ARGUMENT_POSITIVE && !(number > 0))
        return "more than 0";
    return fabs(number) > 1e30 ? "a number that single precision can hold" : NULL;
}

double emit_number(LayerCall *call, const char *name) {
    Datum value = value_of(call, name);
    if (value.kind != DATUM_NUMBER) {
        refuse(call, name, "a number", value);
        return 0;
    }
    const char *problem = number_problem(kind_of(call, name), value.number);
    if (problem)
        refuse(call, name, problem, value);
    return value.number;
}

bool emit_boolean(LayerCall *call, const char *name) {
    Datum value = value_of(call, name);
    if (value.kind != DATUM_BOOLEAN)
        refuse(call, name, "true or false", value);
    return value.kind == DATUM_BOOLEAN && value.boolean;
}

const char *emit_mode(LayerCall *call, const char *name, const char *const *modes) {
    Datum value = value_of(call, name);
    for (size_t i = 0; value.kind == DATUM_STRING && modes[i]; i++)
        if (strcmp(modes[i], value.string) == 0)
            return modes[i];
    refuse(call, name, arena_format(call->evaluator->arena, "\"%s\" or \"%s\"", modes[0], modes[1]),
           value);
    return modes[0];
}

/* ---- Nodes ---- */

NodeRecord *emit_record(const Evaluator *evaluator, const Value *value) {
    return &evaluator->records.items[value->node->mark - 1];
}

/* The result of a new source node, whose type is stated. */
static Value *source_node(LayerCall *call, Op op, Type type) {
    Evaluator *evaluator = call->evaluator;
    Node *node = graph_insert(evaluator->graph, op, NULL, 0, NULL);
    node->location = sources_locate(&evaluator->file->sources, call->span);
    node->results[0].type = type;
    return &node->results[0];
}

Node *emit_node(LayerCall *call, Op op, Value *const *operands, int count) {
    Evaluator *evaluator = call->evaluator;
    if (call->failed || evaluator->aborted)
        return NULL;
    if (++evaluator->layers > EVALUATE_MOST_LAYERS) {
        evaluate_fail(evaluator, call->span, "a network has at most %d layers",
                      EVALUATE_MOST_LAYERS);
        evaluator->aborted = true;
        return NULL;
    }
    Node *node = graph_insert(evaluator->graph, op, operands, count, NULL);
    node->location = sources_locate(&evaluator->file->sources, call->span);
    NodeRecord record = {.span = call->span,
                         .site = evaluator->site,
                         .path = evaluator->scope->path,
                         .label = call->label_text};
    vector_push(evaluator->arena, &evaluator->records, record);
    node->mark = (int64_t)evaluator->records.count;
    return node;
}

/* The place in the text that a rule complains about. */
static Span error_span(const LayerCall *call, const Node *node, const RuleError *error) {
    if (error->part == RULE_ATTRIBUTE) {
        const char *name = op_info(node->op)->attributes[error->index].name;
        if (strcmp(name, "size") == 0)
            name = "output_pad";
        for (size_t i = 0; i < CALLEE_MOST_PARAMETERS && call->info->parameters[i].name; i++)
            if (strcmp(call->info->parameters[i].name, name) == 0)
                return emit_span(call, name);
    }
    if (error->part == RULE_OPERAND && call->further_count > 0 && error->index > 0 &&
        (size_t)error->index <= call->further_count)
        return call->further_spans[error->index - 1];
    return error->part == RULE_OPERAND && error->index == 0 ? call->name_span : call->span;
}

/* Results with space keep the stride of the first operand that has it. */
static void inherit_stride(const Evaluator *evaluator, Node *node) {
    NodeRecord *record = emit_record(evaluator, &node->results[0]);
    for (int i = 0; i < node->operand_count; i++) {
        const Value *operand = node->operands[i];
        if (!operand || operand->node->mark == 0 || !type_has_space(&operand->type))
            continue;
        memcpy(record->stride, emit_record(evaluator, operand)->stride, sizeof record->stride);
        return;
    }
}

Value *emit_finish(LayerCall *call, Node *node) {
    RuleError error;
    if (!node || call->failed)
        return NULL;
    if (!rules_infer(call->evaluator->graph, node, &error)) {
        call->failed = true;
        evaluate_fail(call->evaluator, error_span(call, node, &error), "%s", error.message);
        if (error.hint)
            evaluate_hint(call->evaluator, "%s", error.hint);
        return NULL;
    }
    inherit_stride(call->evaluator, node);
    return &node->results[0];
}

Value *emit_simple(LayerCall *call, Op op, Value *const *operands, int count) {
    return emit_finish(call, emit_node(call, op, operands, count));
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static Stride scale_stride(Stride stride, int64_t times, int64_t over) {
    int64_t pixels, positions;
    if (__builtin_mul_overflow(stride.pixels, times, &pixels) ||
        __builtin_mul_overflow(stride.positions, over, &positions) || pixels == 0)
        return (Stride){0, 0};
    int64_t divisor = common_divisor(pixels, positions);
    return (Stride){pixels / divisor, positions / divisor};
}

void emit_stride(const Evaluator *evaluator, Value *result, const Value *x, const int64_t times[2],
                 const int64_t over[2]) {
    if (!result || !type_has_space(&x->type))
        return;
    const Stride *from = emit_record(evaluator, x)->stride;
    Stride *to = emit_record(evaluator, result)->stride;
    for (int d = 0; d < 2; d++)
        to[d] = scale_stride(from[d], times[d], over[d]);
}

/* ---- Parameters ---- */

LayerName *emit_layer(LayerCall *call, const char *const *parameters, size_t count) {
    return naming_layer(call->evaluator, call->info->name, call->label, call->label_text,
                        call->name_span, parameters, count);
}

static Value *add_holding(LayerCall *call, Holding holding, Op op, Type type) {
    Value *value = source_node(call, op, type);
    holding.node = value->node;
    vector_push(call->evaluator->arena, &call->evaluator->holdings, holding);
    return value;
}

Value *emit_vector(LayerCall *call, LayerName *layer, const char *suffix, Role role,
                   int64_t channels, double init) {
    Type type = type_vector(DTYPE_F32, channels);
    Segment segment = {.role = role,
                       .type = type,
                       .layout = LAYOUT_AS_IS,
                       .file_rank = 1,
                       .file_shape = {channels},
                       .init = {INIT_CONSTANT, init, 0},
                       .lr_scale = 1};
    return add_holding(call, (Holding){.layer = layer, .suffix = suffix, .segment = segment},
                       OP_param, type);
}

Value *emit_weight(LayerCall *call, LayerName *layer, Layout layout, int rank,
                   const int64_t *file_shape, double deviation) {
    int64_t stored[TYPE_MAX_RANK] = {0}, elements = 1;
    for (int d = 0; d < rank; d++) {
        /* out and in go last, kernel first */
        stored[d < 2 ? rank - 1 - d : d - 2] = file_shape[d];
        if (__builtin_mul_overflow(elements, file_shape[d], &elements) || elements > INT32_MAX) {
            call->failed = true;
            evaluate_fail(call->evaluator, call->span,
                          "the weight of %s has more than 2^31 - 1 numbers", call->info->name);
            return NULL;
        }
    }
    Type type = type_plain(DTYPE_F32, rank, stored);
    Segment segment = {.role = ROLE_WEIGHT,
                       .type = type,
                       .layout = layout,
                       .file_rank = rank,
                       .init = {INIT_NORMAL, deviation, 0},
                       .decays = true,
                       .lr_scale = 1};
    memcpy(segment.file_shape, file_shape, (size_t)rank * sizeof *file_shape);
    return add_holding(call, (Holding){.layer = layer, .suffix = "weight", .segment = segment},
                       OP_param, type);
}

Value *emit_state(LayerCall *call, LayerName *layer, const char *suffix, int64_t channels,
                  double init) {
    Type type = channels ? type_vector(DTYPE_F32, channels) : type_scalar(DTYPE_F32);
    Holding holding = {
        .layer = layer, .suffix = suffix, .is_state = true, .state = {.type = type, .init = init}};
    return add_holding(call, holding, OP_state, type);
}

Datum emit_result(LayerCall *call, Value *value) {
    if (!value || call->failed)
        return datum_unknown;
    emit_record(call->evaluator, value)->last = true;
    return datum_tensor(value);
}
