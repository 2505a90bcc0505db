#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "passes/report.h"
#include "runtime/weights.h"
#include "tools/command.h"
#include "tools/inspect/receptive.h"
#include "tools/network.h"
#include "tools/options.h"

typedef struct CheckOptions {
    Options common;
    bool json;
} CheckOptions;

static const struct argp_option option_table[] = {OPTIONS_JSON, {0}};

static error_t parse(int key, char *argument, struct argp_state *state) {
    (void)argument;
    CheckOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!options->common.model)
            argp_error(state, "name a .cnn file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn",
    "Prints shapes, parameters, multiply-adds (whole pictures and masked), receptive field and the "
    "masked rule of each layer; of all networks of the file unless --network chooses."
    "\vExamples:\n"
    "  sparkc check models/tutorial.cnn\n"
    "  sparkc check models/resnet.cnn --network resnet50 --mask-ratio 0.75\n"
    "  sparkc check models/convnext.cnn --network convnext_tiny --json \\\n"
    "    --input 3x288x288\n",
    options_program,
    NULL,
    NULL};

/* What is known of one network. */
typedef struct Check {
    Arena *arena;
    const char *name;
    const Graph *graph; /* as the front end made it */
    Graph *pretraining; /* masked, with decoder and loss */
    Report report;
    const ReceptiveEntry *fields;
    size_t field_count;
} Check;

static const char *part_name(Part part) {
    static const char *const names[] = {[PART_ENCODER] = "encoder",
                                        [PART_HEAD] = "head",
                                        [PART_DENSIFY] = "densify",
                                        [PART_DECODER] = "decoder",
                                        [PART_TRAINING] = "training"};
    return names[part];
}

static int64_t parameters_of(const Graph *graph, Part part) {
    int64_t count = 0;
    for (size_t i = 0; i < graph->segments.count; i++) {
        if (graph->segments.items[i].part == part)
            count += (int64_t)weights_count(&graph->segments.items[i]);
    }
    return count;
}

/* The parameters of a part: the head's are gone from the pretraining graph. */
static int64_t part_parameters(const Check *check, Part part) {
    return parameters_of(part == PART_HEAD ? check->graph : check->pretraining, part);
}

static const Node *find_node(const Graph *graph, const char *name) {
    graph_each(graph, node) {
        if (node->results[0].name && strcmp(node->results[0].name, name) == 0)
            return node;
    }
    return NULL;
}

/* The elements of the parameters that a layer's op reads. */
static int64_t layer_parameters(const Check *check, const ReportLayer *layer) {
    const Graph *graph = layer->part == PART_HEAD ? check->graph : check->pretraining;
    const Node *node = find_node(graph, layer->name);
    int64_t count = 0;
    for (int i = 0; node && i < node->operand_count; i++) {
        const Value *operand = node->operands[i];
        if (operand && operand->node->op == OP_param)
            count += graph_elements(graph, &operand->type);
    }
    return count;
}

static const ReceptiveField *layer_field(const Check *check, const ReportLayer *layer) {
    for (size_t i = 0; i < check->field_count; i++) {
        if (strcmp(check->fields[i].name, layer->name) == 0)
            return &check->fields[i].field;
    }
    return NULL;
}

/* "64 x 56 x 56". */
static char *shape_text(Arena *arena, const Type *type) {
    Text text = text_create(arena);
    text_append(&text, "%" PRId64, type->channels);
    for (int d = 0; type_has_space(type) && d < type->rank; d++)
        text_append(&text, " x %" PRId64, type->extent[d]);
    return text.data;
}

/* "43", "43 x 11" if the directions differ, "image", or "-" outside the network. */
static const char *field_text(const Check *check, const ReportLayer *layer) {
    const ReceptiveField *field = layer_field(check, layer);
    const Geometry *geometry = &check->graph->geometry;
    bool square = true;
    if (!field || field->whole_image)
        return field ? "image" : "-";
    Text text = text_create(check->arena);
    for (int d = 1; d < geometry->space; d++)
        square = square && field->extent[d] == field->extent[0];
    for (int d = 0; d < (square ? 1 : geometry->space); d++)
        text_append(&text, "%s%" PRId64, d > 0 ? " x " : "", field->extent[d]);
    return text.data;
}

static void print_layer(const Check *check, const ReportLayer *layer) {
    printf("%-36s %-15s %-18s %10" PRId64 " %13" PRId64 " %13" PRId64 " %9s  %s\n", layer->name,
           op_info(layer->op)->name, shape_text(check->arena, &layer->before),
           layer_parameters(check, layer), layer->macs_dense, layer->macs_masked,
           field_text(check, layer), layer->rule);
}

static void print_geometry(const Check *check) {
    const Geometry *geometry = &check->pretraining->geometry;
    printf("%s: image %" PRId64, check->name, geometry->channels);
    for (int d = 0; d < geometry->space; d++)
        printf(" x %" PRId64, geometry->image[d]);
    printf(", stride %" PRId64 ", cells", geometry->ratio);
    for (int d = 0; d < geometry->space; d++)
        printf("%s %" PRId64, d > 0 ? " x" : "", graph_grid(check->pretraining, d));
    printf(", %" PRId64 " of %" PRId64 " visible\n", geometry->keep,
           graph_cells(check->pretraining));
}

static const Part parts[] = {PART_ENCODER, PART_HEAD, PART_DENSIFY, PART_DECODER};
enum { PART_COUNT = sizeof parts / sizeof *parts };

static void print_text(const Check *check) {
    print_geometry(check);
    printf("%-36s %-15s %-18s %10s %13s %13s %9s  %s\n", "layer", "op", "shape", "parameters",
           "MACs dense", "MACs masked", "field", "masked rule");
    for (size_t i = 0; i < check->report.layers.count; i++)
        print_layer(check, &check->report.layers.items[i]);
    printf("parameters:");
    for (int i = 0; i < PART_COUNT; i++)
        printf("%s %s %" PRId64, i > 0 ? "," : "", part_name(parts[i]),
               part_parameters(check, parts[i]));
    printf("\nmultiply-adds, encoder to decoder: %" PRId64 " dense, %" PRId64 " masked\n\n",
           check->report.macs_dense, check->report.macs_masked);
}

static json_t *extents_json(int count, const int64_t *extents) {
    json_t *list = json_array();
    for (int d = 0; d < count; d++)
        json_array_append_new(list, json_integer(extents[d]));
    return list;
}

static json_t *layer_json(const Check *check, const ReportLayer *layer) {
    const Type *type = &layer->before;
    const ReceptiveField *field = layer_field(check, layer);
    json_t *shape = extents_json(type_has_space(type) ? type->rank : 0, type->extent);
    json_array_insert_new(shape, 0, json_integer(type->channels));
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:s}", "name", layer->name, "op",
        op_info(layer->op)->name, "part", part_name(layer->part), "shape", shape, "parameters",
        (json_int_t)layer_parameters(check, layer), "macs_dense", (json_int_t)layer->macs_dense,
        "macs_masked", (json_int_t)layer->macs_masked, "receptive_field",
        field ? extents_json(check->graph->geometry.space, field->extent) : json_null(), "rule",
        layer->rule);
}

static json_t *check_json(const Check *check) {
    const Geometry *geometry = &check->pretraining->geometry;
    json_t *layers = json_array(), *parameters = json_object();
    json_t *image = extents_json(geometry->space, geometry->image);
    json_array_insert_new(image, 0, json_integer(geometry->channels));
    for (size_t i = 0; i < check->report.layers.count; i++)
        json_array_append_new(layers, layer_json(check, &check->report.layers.items[i]));
    for (int i = 0; i < PART_COUNT; i++)
        json_object_set_new(parameters, part_name(parts[i]),
                            json_integer(part_parameters(check, parts[i])));
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "network", check->name,
                     "image", image, "stride", (json_int_t)geometry->ratio, "cells",
                     (json_int_t)graph_cells(check->pretraining), "visible",
                     (json_int_t)geometry->keep, "parameters", parameters, "macs_dense",
                     (json_int_t)check->report.macs_dense, "macs_masked",
                     (json_int_t)check->report.macs_masked, "layers", layers);
}

/* Fills `check`; false after errors, which are in the diagnostics. */
static bool examine(NetworkSource *source, const CheckOptions *options, Check *check) {
    PassOptions pass = options->common.pass;
    pass.entry = ENTRY_RECONSTRUCT;
    check->graph = network_graph(source, check->name, NULL);
    if (!check->graph || !report_create(check->graph, &pass, check->arena,
                                        network_diagnostics(source), &check->report))
        return false;
    check->pretraining = graph_copy(check->graph, check->arena);
    check->fields =
        receptive_fields(graph_copy(check->graph, check->arena), check->arena, &check->field_count);
    return passes_run(check->pretraining, &pass, "objective", network_diagnostics(source), NULL,
                      NULL);
}

/* Text is printed at once, JSON collected in `results`. */
static bool check_network(NetworkSource *source, const CheckOptions *options, Arena *arena,
                          const char *name, json_t *results) {
    Check check = {.arena = arena, .name = name};
    if (!examine(source, options, &check))
        return false;
    if (options->json)
        json_array_append_new(results, check_json(&check));
    else
        print_text(&check);
    return true;
}

static bool check_all(NetworkSource *source, const CheckOptions *options, Arena *arena,
                      json_t *results) {
    size_t count;
    bool fine = true;
    const FrontendNetwork *networks = network_list(source, &count);
    if (options->common.frontend.network)
        return check_network(source, options, arena, options->common.frontend.network, results);
    for (size_t i = 0; i < count; i++) {
        if (!networks[i].template && !networks[i].included)
            fine &= check_network(source, options, arena, networks[i].name, results);
    }
    return fine;
}

static bool run(const CheckOptions *options, Arena *arena, Diagnostics **diagnostics) {
    NetworkSource *source = network_open(arena, &options->common, diagnostics);
    if (!source)
        return false;
    json_t *results = json_array();
    bool fine = check_all(source, options, arena, results);
    if (options->json) {
        json_dumpf(results, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(results);
    return fine;
}

int command_check(int argc, char **argv) {
    Arena *arena = arena_create();
    CheckOptions options = {.common = options_default(arena)};
    options_parse(&argp, argc, argv, &options);
    Diagnostics *diagnostics;
    bool fine = run(&options, arena, &diagnostics);
    network_print(diagnostics);
    arena_destroy(arena);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
