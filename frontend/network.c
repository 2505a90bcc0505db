/* From a network's name to its graph: the network chosen, its parameters, its features and head. */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "frontend/emit.h"
#include "frontend/naming.h"
#include "frontend/program.h"
#include "ir/rules.h"
#include "ir/stage.h"

/* ---- The network chosen ---- */

static const FrontendNetwork *find_network(const FrontendFile *file, const char *name) {
    for (size_t i = 0; i < file->networks.count; i++)
        if (strcmp(file->networks.items[i].name, name) == 0)
            return &file->networks.items[i];
    return NULL;
}

/* The names of the networks that can be chosen: "a, b and 3 more". */
static const char *list_choices(const FrontendFile *file) {
    enum { MOST_NAMED = 12 };
    Text out = text_create(file->arena);
    size_t named = 0, more = 0;
    for (size_t i = 0; i < file->networks.count; i++) {
        if (file->networks.items[i].template || file->networks.items[i].included)
            continue;
        if (named < MOST_NAMED)
            text_append(&out, "%s%s", named ? ", " : "", file->networks.items[i].name);
        else
            more++;
        named++;
    }
    if (more)
        text_append(&out, " and %zu more", more);
    return out.data;
}

static void report_no_choice(const FrontendFile *file, Diagnostics *diagnostics, size_t found) {
    const char *name = file->sources.items.items[0].name;
    if (found > 1) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s has %zu networks: %s",
                           name, found, list_choices(file));
        diagnostics_hint(diagnostics, "choose one with --network NAME");
    } else if (file->networks.count > 0) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "%s itself has no network that is complete", name);
        diagnostics_hint(diagnostics, "choose one with --network NAME; what has no value is given "
                                      "with --set name=expression");
    } else {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s has no network", name);
    }
}

const FrontendNetwork *frontend_choose(FrontendFile *file, Diagnostics *diagnostics,
                                       const char *network) {
    if (network) {
        const FrontendNetwork *found = find_network(file, network);
        if (found)
            return found;
        VECTOR(const char *) names = {0};
        for (size_t i = 0; i < file->networks.count; i++)
            vector_push(file->arena, &names, file->networks.items[i].name);
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "%s has no network called %s", file->sources.items.items[0].name,
                           network);
        const char *nearest = text_nearest(network, names.items, names.count);
        if (nearest)
            diagnostics_hint(diagnostics, "did you mean %s?", nearest);
        else if (names.count)
            diagnostics_hint(diagnostics, "it has %s", list_choices(file));
        return NULL;
    }
    const FrontendNetwork *only = NULL;
    size_t found = 0;
    for (size_t i = 0; i < file->networks.count; i++)
        if (!file->networks.items[i].template && !file->networks.items[i].included)
            only = &file->networks.items[i], found++;
    if (found == 1)
        return only;
    report_no_choice(file, diagnostics, found);
    return NULL;
}

/* ---- Its parameters ---- */

typedef struct Build {
    Evaluator evaluator;
    const Definition *network, *base;
    const FrontendOptions *options;
    Frame *frame;
    Datum image; /* [channels, height, width] */
    Span image_span;
    Value *image_value;
} Build;

/* Evaluates an expression outside any body. */
static Datum evaluate_outside(Build *build, const Expr *expr) {
    Frame *frame = build->evaluator.frame;
    static const Definition nothing = {.name = ""};
    Frame empty = {.definition = &nothing};
    build->evaluator.frame = &empty;
    Datum value = evaluate(&build->evaluator, expr);
    build->evaluator.frame = frame;
    return value;
}

static void give(Build *build, size_t parameter, Datum value, Span span) {
    if (parameter == 0) {
        build->image = value;
        build->image_span = span;
    } else {
        build->frame->slots[parameter] = value;
    }
}

/* The arguments of a variant, those of the network it varies before its own. */
static void give_variant(Build *build, const Definition *variant) {
    VECTOR(const Definition *) steps = {0};
    for (const Definition *step = variant; step != build->base;
         step = program_find(build->evaluator.file, step->base))
        vector_push(build->evaluator.arena, &steps, step);
    for (size_t i = steps.count; i-- > 0;) {
        const ArgumentList *arguments = &steps.items[i]->arguments;
        size_t places = 0;
        for (size_t k = 0; k < arguments->count; k++) {
            const Argument *argument = &arguments->items[k];
            size_t index = argument->name
                               ? (size_t)definition_parameter(build->base, argument->name)
                               : ++places;
            give(build, index, evaluate_outside(build, argument->value), argument->value->span);
        }
    }
}

/* The texts of --set as one source, a line each. */
static uint32_t add_settings(Build *build) {
    FrontendFile *file = build->evaluator.file;
    Text text = text_create(file->arena);
    for (size_t i = 0; i < build->options->setting_count; i++)
        text_append(&text, "%s%s", i ? "\n" : "", build->options->settings[i]);
    SourceFile source = {
        .name = arena_copy_text(file->arena, "--set", 5), .text = text.data, .length = text.length};
    return sources_add(&file->sources, source);
}

static bool give_settings(Build *build) {
    FrontendFile *file = build->evaluator.file;
    ArgumentList given;
    if (build->options->setting_count == 0)
        return true;
    uint32_t source = add_settings(build);
    if (file->sources.items.items[source].length > PROGRAM_MOST_BYTES) {
        diagnostics_report(build->evaluator.diagnostics, SEVERITY_ERROR, (Location){0},
                           "--set has more than %d bytes", PROGRAM_MOST_BYTES);
        return false;
    }
    if (!program_parse_settings(file, source, &given))
        return false;
    int before = diagnostics_error_count(build->evaluator.diagnostics);
    check_outside(file, &given);
    if (diagnostics_error_count(build->evaluator.diagnostics) != before)
        return false;
    for (size_t i = 0; i < given.count; i++) {
        const Argument *argument = &given.items[i];
        int index = definition_parameter(build->base, argument->name);
        if (index < 0) {
            check_report_parameter(file, build->base, build->network->name, argument->name,
                                   argument->name_span);
            return false;
        }
        give(build, (size_t)index, evaluate_outside(build, argument->value), argument->value->span);
    }
    return true;
}

/* "1x64x256" as a list of three numbers. */
static bool give_input(Build *build) {
    FrontendFile *file = build->evaluator.file;
    const char *input = build->options->input;
    if (!input)
        return true;
    Datum *items = arena_new_array(file->arena, Datum, 3);
    const char *at = input;
    int count = 0;
    for (; count < 3 && *at >= '0' && *at <= '9'; count++) {
        double number = 0;
        while (*at >= '0' && *at <= '9')
            number = number * 10 + (*at++ - '0');
        items[count] = datum_number(number);
        if (count < 2 && *at == 'x')
            at++;
    }
    SourceFile source = {.name = arena_copy_text(file->arena, "--input", 7),
                         .text = arena_copy_text(file->arena, input, strlen(input)),
                         .length = strlen(input)};
    uint32_t number = sources_add(&file->sources, source);
    Span span = {number, 0, (uint32_t)strlen(input)};
    if (count != 3 || *at != '\0') {
        evaluate_fail(&build->evaluator, span,
                      "expected channels x height x width, such as 3x224x224");
        return false;
    }
    give(build, 0, datum_list(file->arena, items, 3), span);
    return true;
}

/* Reports the parameters that nothing gives a value. */
static bool check_complete(Build *build) {
    Text missing = text_create(build->evaluator.arena);
    size_t count = 0;
    for (size_t i = 0; i < build->base->parameters.count; i++) {
        const Parameter *parameter = &build->base->parameters.items[i];
        bool given =
            i == 0 ? build->image.kind != DATUM_UNSET : build->frame->slots[i].kind != DATUM_UNSET;
        if (!given && !parameter->standard)
            text_append(&missing, "%s%s", count++ ? ", " : "", parameter->name);
    }
    if (count == 0)
        return true;
    evaluate_fail(&build->evaluator, build->network->name_span,
                  "network %s is a template: %s %s no value", build->network->name, missing.data,
                  count == 1 ? "has" : "have");
    evaluate_hint(&build->evaluator,
                  "vary it: network my_%s = %s(...), or give the values with --set",
                  build->network->name, build->network->name);
    return false;
}

/* ---- Its image ---- */

static bool is_extent(Datum datum) {
    return datum.kind == DATUM_NUMBER && number_is_whole(datum.number) && datum.number >= 1;
}

static bool make_image(Build *build) {
    Evaluator *evaluator = &build->evaluator;
    const Expr *standard = build->base->parameters.items[0].standard;
    if (build->image.kind == DATUM_UNSET)
        give(build, 0, evaluate_outside(build, standard), standard->span);
    Datum image = build->image;
    if (datum_is_unknown(image))
        return false;
    bool fits = image.kind == DATUM_LIST && image.list->count == 3;
    for (size_t i = 0; fits && i < 3; i++)
        fits = is_extent(image.list->items[i]);
    if (!fits) {
        evaluate_fail(evaluator, build->image_span,
                      "the image is [channels, height, width] in whole numbers, this is %s",
                      datum_text(evaluator->arena, image));
        return false;
    }
    const Datum *sizes = image.list->items;
    if (sizes[0].number * sizes[1].number * sizes[2].number > INT32_MAX) {
        evaluate_fail(evaluator, build->image_span, "the image has more than 2^31 - 1 numbers");
        return false;
    }
    Geometry geometry = {.batch = 1,
                         .space = 2,
                         .image = {(int64_t)sizes[1].number, (int64_t)sizes[2].number},
                         .channels = (int64_t)sizes[0].number};
    evaluator->graph = graph_create(evaluator->arena, build->network->name, geometry);
    evaluator->graph->stage = stage_name(STAGE_frontend);
    Node *node = graph_insert(evaluator->graph, OP_input, NULL, 0, NULL);
    node->location =
        sources_locate(&evaluator->file->sources, build->base->parameters.items[0].span);
    node->results[0].type = type_dense(DTYPE_F32, 1, 2, geometry.image, geometry.channels);
    node_set_text(evaluator->graph, node, "name", "image");
    NodeRecord record = {.span = build->base->parameters.items[0].span,
                         .path = "",
                         .label = "image",
                         .last = true,
                         .stride = {{1, 1}, {1, 1}}};
    vector_push(evaluator->arena, &evaluator->records, record);
    node->mark = (int64_t)evaluator->records.count;
    build->image_value = &node->results[0];
    build->frame->slots[0] = datum_tensor(build->image_value);
    return true;
}

/* ---- Its features ---- */

static const char *stride_text(Arena *arena, Stride stride) {
    if (stride.positions == 1 || stride.positions == 0)
        return arena_format(arena, "%" PRId64, stride.pixels);
    return arena_format(arena, "%" PRId64 "/%" PRId64, stride.pixels, stride.positions);
}

/* A feature's stride: one power of two from 2, twice the one before. */
static bool check_stride(Evaluator *evaluator, size_t index) {
    Feature *feature = &evaluator->features.items[index];
    Arena *arena = evaluator->arena;
    const Stride *stride = emit_record(evaluator, feature->value)->stride;
    if (stride[0].pixels != stride[1].pixels || stride[0].positions != stride[1].positions) {
        evaluate_fail(evaluator, feature->span,
                      "a feature has one stride in both directions, this one %s down and %s across",
                      stride_text(arena, stride[0]), stride_text(arena, stride[1]));
        return false;
    }
    feature->stride = stride[0];
    int64_t pixels = stride[0].pixels;
    if (stride[0].positions != 1 || pixels < 2 || (pixels & (pixels - 1)) != 0) {
        evaluate_fail(evaluator, feature->span,
                      "the stride of a feature is a power of two from 2 up, this one has %s",
                      stride_text(arena, stride[0]));
        return false;
    }
    if (index == 0 || pixels == 2 * evaluator->features.items[index - 1].stride.pixels)
        return true;
    const Feature *before = &evaluator->features.items[index - 1];
    evaluate_fail(evaluator, feature->span,
                  "features must double in stride: this one has %" PRId64
                  ", the one before %" PRId64,
                  pixels, before->stride.pixels);
    evaluate_note(evaluator, "that is at %s",
                  sources_line(&evaluator->file->sources, before->span, feature->span));
    return false;
}

/* The image must be a multiple of the last stride. */
static bool check_image(Build *build) {
    Evaluator *evaluator = &build->evaluator;
    int64_t ratio = evaluator->features.items[evaluator->features.count - 1].stride.pixels;
    for (int d = 0; d < 2; d++) {
        int64_t extent = evaluator->graph->geometry.image[d];
        if (extent % ratio == 0)
            continue;
        int64_t below = extent / ratio * ratio;
        evaluate_fail(evaluator, build->image_span,
                      "%" PRId64 " is not a multiple of the network's stride %" PRId64, extent,
                      ratio);
        if (below > 0)
            evaluate_hint(evaluator, "the nearest are %" PRId64 " and %" PRId64, below,
                          below + ratio);
        else
            evaluate_hint(evaluator, "the nearest is %" PRId64, ratio);
        return false;
    }
    evaluator->graph->geometry.ratio = ratio;
    return true;
}

enum { MARK_USED = 1, MARK_ENCODER = 2 };

/* Whether a result is exactly image / stride in a direction. */
static bool is_aligned(const Evaluator *evaluator, const Value *value, int d) {
    Stride stride = emit_record(evaluator, value)->stride[d];
    int64_t pixels, image;
    return !__builtin_mul_overflow(value->type.extent[d], stride.pixels, &pixels) &&
           !__builtin_mul_overflow(evaluator->graph->geometry.image[d], stride.positions, &image) &&
           pixels == image && stride.pixels > 0;
}

/* The pads that keep a window's result at input / stride, or NULL. */
static const char *keeping_pad(Arena *arena, const Node *node) {
    bool pool = node->op == OP_max_pool || node->op == OP_avg_pool;
    if (!pool && node->op != OP_conv)
        return NULL;
    int count;
    const int64_t *kernel = node_ints(node, "kernel", &count);
    const int64_t *stride = node_ints(node, "stride", &count);
    bool dilated = op_attribute_index(node->op, "dilation") >= 0;
    const int64_t *dilation = dilated ? node_ints(node, "dilation", &count) : NULL;
    int64_t pads[2];
    for (int d = 0; d < 2; d++) {
        int64_t n = node->operands[0]->type.extent[d];
        int64_t reach = (dilation ? dilation[d] : 1) * (kernel[d] - 1) + 1;
        pads[d] = reach > stride[d] ? (reach - stride[d] + 1) / 2 : 0;
        int64_t size =
            rules_window_size(n, kernel[d], stride[d], pads[d], dilation ? dilation[d] : 1, false);
        if (n % stride[d] != 0 || size != n / stride[d] || (pool && pads[d] > reach / 2))
            return NULL;
    }
    if (pads[0] == pads[1])
        return arena_format(arena, "%" PRId64, pads[0]);
    return arena_format(arena, "[%" PRId64 ", %" PRId64 "]", pads[0], pads[1]);
}

static bool is_window(Op op) {
    return op == OP_conv || op == OP_max_pool || op == OP_avg_pool || op == OP_conv_transpose ||
           op == OP_upsample;
}

/* Reports a node on the way to a feature whose map does not line up. */
static void report_misaligned(Evaluator *evaluator, const Node *node) {
    const NodeRecord *record = emit_record(evaluator, &node->results[0]);
    const Type *from = &node->operands[0]->type, *to = &node->results[0].type;
    evaluator->site = record->site;
    bool shrinks = to->extent[0] < from->extent[0] || to->extent[1] < from->extent[1];
    evaluate_fail(evaluator, record->span,
                  "the map %s from %" PRId64 " x %" PRId64 " to %" PRId64 " x %" PRId64
                  " and no longer lines up with the cells",
                  shrinks ? "shrinks" : "grows", from->extent[0], from->extent[1], to->extent[0],
                  to->extent[1]);
    const char *pad = keeping_pad(evaluator->arena, node);
    if (pad)
        evaluate_hint(evaluator, "pad = %s keeps it", pad);
    evaluator->site = NULL;
}

/* The encoder's maps: each lines up with the cells, and none is flattened. Reports the first that
 * is not right. */
static bool check_encoder(Evaluator *evaluator, const bool *encoder) {
    graph_each(evaluator->graph, node) {
        const Value *result = &node->results[0];
        if (node->mark == 0 || !encoder[node->mark - 1])
            continue;
        if (node->op == OP_flatten) {
            evaluator->site = emit_record(evaluator, result)->site;
            evaluate_fail(evaluator, emit_record(evaluator, result)->span,
                          "flatten belongs in the head, this one is on the way to a feature");
            evaluator->site = NULL;
            return false;
        }
        if (!type_has_space(&result->type) || !is_window(node->op))
            continue;
        if (!is_aligned(evaluator, result, 0) || !is_aligned(evaluator, result, 1)) {
            report_misaligned(evaluator, node);
            return false;
        }
    }
    return true;
}

/* ---- The finished graph ---- */

static void add_output(Evaluator *evaluator, Value *value, const char *name, Span span) {
    Node *node = graph_insert(evaluator->graph, OP_output, (Value *[]){value}, 1, NULL);
    node->location = sources_locate(&evaluator->file->sources, span);
    node_set_text(evaluator->graph, node, "name", name);
}

/* Names every result: after the labels, or after its op inside them. */
static void name_values(Evaluator *evaluator) {
    Arena *arena = evaluator->arena;
    graph_each(evaluator->graph, node) {
        if (op_info(node->op)->result_count == 0 || node->results[0].name)
            continue;
        if (node->mark == 0) {
            graph_name(evaluator->graph, &node->results[0], NULL);
            continue;
        }
        const NodeRecord *record = &evaluator->records.items[node->mark - 1];
        const char *own = op_info(node->op)->name;
        if (record->label)
            own = record->last ? record->label : naming_join(arena, record->label, own);
        bool deep = strlen(record->path) > EVALUATE_LONGEST_NAME;
        graph_name(evaluator->graph, &node->results[0],
                   naming_join(arena, deep ? "" : record->path, own));
    }
}

/* Gives parameters and states their names and tables. */
static void add_holdings(Evaluator *evaluator) {
    Graph *graph = evaluator->graph;
    for (size_t i = 0; i < evaluator->holdings.count; i++) {
        Holding *holding = &evaluator->holdings.items[i];
        const char *name = naming_join(evaluator->arena, holding->layer->name, holding->suffix);
        Part part = holding->node->mark & MARK_ENCODER ? PART_ENCODER : PART_HEAD;
        if (holding->is_state) {
            holding->state.name = name;
            holding->state.part = part;
            graph_add_state(graph, holding->state);
            node_set_text(graph, holding->node, "name", name);
        } else {
            holding->segment.name = name;
            holding->segment.part = part;
            graph_add_segment(graph, holding->segment);
            node_set_text(graph, holding->node, "segment", name);
        }
        graph_name(graph, &holding->node->results[0], name);
    }
}

/* Marks what outputs need, from the end to the start: USED by anything, ENCODER by a feature. */
static void mark_needs(Evaluator *evaluator) {
    for (Node *node = evaluator->graph->last; node; node = node->previous) {
        if (node->op == OP_output && text_starts_with(node_text(node, "name"), "feature."))
            node->mark |= MARK_ENCODER;
        for (int i = 0; i < node->operand_count; i++)
            if (node->operands[i])
                node->operands[i]->node->mark |= MARK_USED | (node->mark & MARK_ENCODER);
    }
}

static void warn_unused(Evaluator *evaluator) {
    size_t index = 0;
    graph_each(evaluator->graph, node) {
        bool recorded = !(op_info(node->op)->flags & OP_SOURCE) && node->op != OP_output;
        if (!recorded)
            continue;
        const NodeRecord *record = &evaluator->records.items[++index];
        if (!(node->mark & MARK_USED) && node->op != OP_slice)
            evaluate_remark(evaluator, SEVERITY_WARNING, record->span,
                            "nothing uses the result of this layer");
    }
}

/* Which records the features need. */
static const bool *find_encoder(Evaluator *evaluator) {
    bool *encoder = arena_new_array(evaluator->arena, bool, evaluator->records.count);
    for (size_t i = 0; i < evaluator->features.count; i++)
        encoder[evaluator->features.items[i].value->node->mark - 1] = true;
    for (Node *node = evaluator->graph->last; node; node = node->previous) {
        if (node->mark == 0 || !encoder[node->mark - 1])
            continue;
        for (int i = 0; i < node->operand_count; i++)
            if (node->operands[i] && node->operands[i]->node->mark > 0)
                encoder[node->operands[i]->node->mark - 1] = true;
    }
    return encoder;
}

static bool check_features(Build *build) {
    Evaluator *evaluator = &build->evaluator;
    for (size_t i = 0; i < evaluator->features.count; i++)
        if (!check_stride(evaluator, i))
            return false;
    if (evaluator->features.count == 0)
        return true;
    return check_image(build) && check_encoder(evaluator, find_encoder(evaluator));
}

static bool check_outputs(Build *build) {
    Evaluator *evaluator = &build->evaluator;
    if (evaluator->features.count > 0 || evaluator->logits)
        return true;
    evaluate_fail(evaluator, build->base->name_span, "network %s has neither a feature nor a head",
                  build->base->name);
    evaluate_hint(evaluator, "`feature x` marks a map that the decoder sees");
    return false;
}

static Graph *finish(Build *build) {
    Evaluator *evaluator = &build->evaluator;
    name_values(evaluator);
    for (size_t i = 0; i < evaluator->features.count; i++) {
        const Feature *feature = &evaluator->features.items[i];
        add_output(evaluator, feature->value, arena_format(evaluator->arena, "feature.%zu", i),
                   feature->span);
    }
    if (evaluator->logits)
        add_output(evaluator, evaluator->logits, "logits", evaluator->logits_span);
    graph_clear_marks(evaluator->graph);
    mark_needs(evaluator);
    add_holdings(evaluator);
    warn_unused(evaluator);
    graph_clear_marks(evaluator->graph);
    return evaluator->graph;
}

static Build *start(FrontendFile *file, Diagnostics *diagnostics, const FrontendNetwork *chosen,
                    const FrontendOptions *options) {
    Build *build = arena_new(file->arena, Build);
    build->options = options;
    build->network = program_find(file, chosen->name);
    build->base = program_base(file, build->network);
    Evaluator *evaluator = &build->evaluator;
    evaluator->arena = file->arena;
    evaluator->file = file;
    evaluator->diagnostics = diagnostics;
    evaluator->reported = table_create(file->arena);
    evaluator->names = table_create(file->arena);
    evaluator->scope = arena_new(file->arena, Scope);
    evaluator->scope->path = "";
    build->frame = evaluator->frame = &evaluator->frames[0];
    build->frame->definition = build->base;
    build->frame->capacity = build->base->variables.count;
    build->frame->slots = arena_new_array(file->arena, Datum, build->frame->capacity);
    build->frame->result = datum_unknown;
    return build;
}

Graph *frontend_build(FrontendFile *file, Diagnostics *diagnostics,
                      const FrontendOptions *options) {
    const FrontendNetwork *chosen = frontend_choose(file, diagnostics, options->network);
    if (!chosen)
        return NULL;
    Build *build = start(file, diagnostics, chosen, options);
    Evaluator *evaluator = &build->evaluator;
    if (build->network != build->base)
        give_variant(build, build->network);
    if (!give_settings(build) || !give_input(build) || !check_complete(build) || !make_image(build))
        return NULL;
    if (evaluator->failed ||
        !evaluate_defaults(evaluator, build->frame, build->base->name_span, build->base->name))
        return NULL;
    evaluate_body(evaluator, build->base->body);
    naming_close(evaluator);
    if (evaluator->failed || !check_outputs(build) || !check_features(build))
        return NULL;
    return finish(build);
}
