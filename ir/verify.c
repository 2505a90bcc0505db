#include "ir/verify.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

#include "base/integer.h"
#include "ir/print.h"
#include "ir/rules.h"
#include "ir/stage.h"

/* A text or a node that was seen. */
typedef struct Seen {
    const char *text;
    const Node *node;
    UT_hash_handle hh;
} Seen;

typedef struct Verifier {
    const Graph *graph;
    Diagnostics *diagnostics;
    Arena *arena; /* dies with the verification */
    int stage;    /* a Stage, or -1 */
    Seen *names;  /* of values */
    Seen *nodes;  /* that were walked */
    Seen *sinks;  /* outputs and what is committed */
} Verifier;

static bool all_named(const Node *node) {
    bool named = true;
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        named = named && node->results[i].name;
    for (int i = 0; i < node->operand_count; i++)
        named = named && (!node->operands[i] || node->operands[i]->name);
    return named;
}

/* The node as it is printed, or, where names are missing, its op. */
static const char *node_line(Verifier *verifier, const Node *node) {
    if (!all_named(node))
        return op_info(node->op)->name;
    Text line = text_create(verifier->arena);
    Node shown = *node;
    shown.location.file = NULL; /* it stands before the message */
    print_node(&line, &shown);
    return line.data;
}

/* Reports an error of a node, or of the graph if it is NULL. */
__attribute__((format(printf, 3, 4))) static void complain(Verifier *verifier, const Node *node,
                                                           const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *message = arena_vformat(verifier->arena, format, arguments);
    va_end(arguments);
    if (!node) {
        diagnostics_report(verifier->diagnostics, SEVERITY_ERROR, (Location){0}, "%s", message);
        return;
    }
    diagnostics_report(verifier->diagnostics, SEVERITY_ERROR, node->location, "%s: %s",
                       node_line(verifier, node), message);
}

/* Adds a text to a set; false if it is there already. */
static bool add_text(Arena *arena, Seen **set, const char *text) {
    Seen *seen;
    HASH_FIND_STR(*set, text, seen);
    if (seen)
        return false;
    seen = arena_new(arena, Seen);
    seen->text = text;
    HASH_ADD_KEYPTR(hh, *set, seen->text, strlen(seen->text), seen);
    return true;
}

static void add_node(Arena *arena, Seen **set, const Node *node) {
    Seen *seen = arena_new(arena, Seen);
    seen->node = node;
    HASH_ADD_PTR(*set, node, seen);
}

static bool was_walked(const Verifier *verifier, const Node *node) {
    Seen *seen;
    HASH_FIND_PTR(verifier->nodes, &node, seen);
    return seen != NULL;
}

static bool in_range(int64_t number, int64_t least, int64_t most) {
    return number >= least && number <= most;
}

static bool extents_fit(const Geometry *geometry) {
    if (!in_range(geometry->space, 1, TYPE_MAX_SPACE) || !in_range(geometry->batch, 1, INT32_MAX) ||
        !in_range(geometry->channels, 1, INT32_MAX))
        return false;
    int64_t elements = geometry->channels;
    for (int d = 0; d < geometry->space; d++) {
        if (!in_range(geometry->image[d], 1, INT32_MAX))
            return false;
        elements = type_multiply(elements, geometry->image[d]);
    }
    return elements <= INT32_MAX;
}

/* False if the geometry is so wrong that nothing else can be checked. */
static bool check_geometry(Verifier *verifier) {
    const Geometry *geometry = &verifier->graph->geometry;
    if (!extents_fit(geometry)) {
        complain(verifier, NULL, "geometry: batch, image and channels are not possible sizes");
        return false;
    }
    if (geometry->ratio != 0 && !integer_is_power_of_two(geometry->ratio)) {
        complain(verifier, NULL, "geometry: ratio %" PRId64 " is not a power of two",
                 geometry->ratio);
        return false;
    }
    for (int d = 0; geometry->ratio && d < geometry->space; d++) {
        if (geometry->image[d] % geometry->ratio != 0) {
            complain(verifier, NULL,
                     "geometry: image extent %" PRId64 " is not a multiple of the "
                     "ratio %" PRId64,
                     geometry->image[d], geometry->ratio);
            return false;
        }
    }
    if (in_range(geometry->keep, 0, graph_cells(verifier->graph)))
        return true;
    complain(verifier, NULL, "geometry: keep %" PRId64 " is not from 0 to the %" PRId64 " cells",
             geometry->keep, graph_cells(verifier->graph));
    return false;
}

/* The product of extents that must be at least 1; 0 if one is not. */
static int64_t shape_elements(const int64_t *shape, int rank) {
    int64_t elements = 1;
    for (int d = 0; d < rank; d++)
        elements = shape[d] < 1 ? 0 : type_multiply(elements, shape[d]);
    return elements;
}

static bool is_plain(const Type *type) {
    return type->form == FORM_PLAIN && in_range(type->rank, 0, TYPE_MAX_RANK) &&
           in_range(shape_elements(type->extent, type->rank), 1, INT32_MAX);
}

static void check_segment(Verifier *verifier, const Segment *segment, int64_t offset) {
    const char *name = segment->name;
    if (!is_plain(&segment->type) || segment->type.dtype != DTYPE_F32) {
        complain(verifier, NULL,
                 "segment %s: %s is not a plain f32 type of at most 2^31 - 1 "
                 "elements",
                 name, type_text(verifier->arena, &segment->type));
        return;
    }
    int64_t elements = shape_elements(segment->type.extent, segment->type.rank);
    if (!in_range(segment->file_rank, 0, TYPE_MAX_RANK) ||
        shape_elements(segment->file_shape, segment->file_rank) != elements)
        complain(verifier, NULL, "segment %s: the shape in files has another number of elements",
                 name);
    if (segment->offset != offset)
        complain(verifier, NULL,
                 "segment %s: starts at %" PRId64 ", not behind the one before, at "
                 "%" PRId64,
                 name, segment->offset, offset);
    if (!isfinite(segment->lr_scale) || segment->lr_scale < 0)
        complain(verifier, NULL, "segment %s: lr_scale %g is not a finite number from 0 up", name,
                 segment->lr_scale);
    if (!isfinite(segment->init.a) || !isfinite(segment->init.b))
        complain(verifier, NULL, "segment %s: its initial values are not finite", name);
}

static void check_tables(Verifier *verifier) {
    const Graph *graph = verifier->graph;
    int64_t offset = 0;
    Seen *segments = NULL, *states = NULL;
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        check_segment(verifier, segment, offset);
        if (!add_text(verifier->arena, &segments, segment->name))
            complain(verifier, NULL, "segment %s: a second one of this name", segment->name);
        if (is_plain(&segment->type))
            offset += shape_elements(segment->type.extent, segment->type.rank);
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *state = &graph->states.items[i];
        bool whole = state->type.form == FORM_FLAT || state->type.form == FORM_SEGMENTS;
        if (!whole && !is_plain(&state->type))
            complain(verifier, NULL, "state %s: %s is no type of a state", state->name,
                     type_text(verifier->arena, &state->type));
        if (!add_text(verifier->arena, &states, state->name))
            complain(verifier, NULL, "state %s: a second one of this name", state->name);
    }
}

/* False if the operands are such that the op's rule cannot be asked. */
static bool check_operands(Verifier *verifier, const Node *node) {
    const OpInfo *info = op_info(node->op);
    if (node->operand_count < info->operand_count ||
        (!info->variadic && node->operand_count > info->operand_count)) {
        complain(verifier, node, "%d operands, %s takes %d", node->operand_count, info->name,
                 info->operand_count);
        return false;
    }
    bool fine = true;
    for (int i = 0; i < node->operand_count; i++) {
        const Value *operand = node->operands[i];
        if (!operand)
            continue;
        if (!was_walked(verifier, operand->node)) {
            complain(verifier, node, "operand %d, %%%s, is not computed before", i + 1,
                     operand->name ? operand->name : "?");
            fine = false;
        } else if (!in_range(operand->index, 0, op_info(operand->node->op)->result_count - 1) ||
                   operand != &operand->node->results[operand->index]) {
            complain(verifier, node, "operand %d is no result of its node", i + 1);
            fine = false;
        }
    }
    return fine;
}

static bool has_form(const Node *node, Form form) {
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i] && node->operands[i]->type.form == form)
            return true;
    }
    return false;
}

/* The gradient of a weight between a masked map and a dense one says so. */
static bool may_mix(const Node *node) {
    return node->op == OP_conv_weight_grad && node_bool(node, "dense");
}

static void check_types(Verifier *verifier, const Node *node) {
    Node fresh = *node;
    RuleError error = {0};
    if (!rules_infer(verifier->graph, &fresh, &error)) {
        complain(verifier, node, "%s", error.message);
        return;
    }
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        if (!type_equal(&fresh.results[i].type, &node->results[i].type))
            complain(verifier, node, "the type of result %d must be %s", i + 1,
                     type_text(verifier->arena, &fresh.results[i].type));
    }
    if (has_form(node, FORM_DENSE) && has_form(node, FORM_MASKED) && !may_mix(node))
        complain(verifier, node, "mixes dense and masked operands");
}

static void check_names(Verifier *verifier, const Node *node) {
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        const Value *value = &node->results[i];
        if (value->node != node || value->index != i)
            complain(verifier, node, "result %d does not know its node", i + 1);
        if (!value->name || !*value->name)
            complain(verifier, node, "result %d has no name", i + 1);
        else if (!add_text(verifier->arena, &verifier->names, value->name))
            complain(verifier, node, "a second value of the name %%%s", value->name);
    }
}

static void check_sink(Verifier *verifier, const Node *node) {
    bool output = node->op == OP_output;
    if (!output && node->op != OP_commit)
        return;
    const char *name = node_text(node, "name");
    const char *region = output ? "output" : node_text(node, "region");
    if (output && !*name)
        complain(verifier, node, "an output needs a name");
    if (!add_text(verifier->arena, &verifier->sinks,
                  arena_format(verifier->arena, "%s %s", region, name)))
        complain(verifier, node, output ? "a second output of this name" : "is committed twice");
}

/* What may occur from one stage on, or before one only. */
typedef struct Legality {
    const char *what;
    bool (*is)(const Node *node);
    Stage from, before; /* the first stage that may have it, the first that must not; 0: always */
} Legality;

static bool is_composite(const Node *node) {
    return (op_info(node->op)->flags & OP_COMPOSITE) != 0;
}

static bool is_gradient(const Node *node) {
    return (op_info(node->op)->flags & OP_AUTODIFF) != 0 || node->op == OP_collect;
}

static bool is_masking(const Node *node) {
    return node->op == OP_mask || node->op == OP_densify || node->op == OP_hidden;
}

static bool is_update(const Node *node) {
    return node->op == OP_commit && strcmp(node_text(node, "region"), "params") == 0;
}

static bool is_commit(const Node *node) {
    return node->op == OP_commit;
}

static const Legality legalities[] = {
    {"a commit", is_commit, STAGE_expand, 0},
    {"a composite", is_composite, 0, STAGE_expand},
    {"an op of the mask", is_masking, STAGE_sparsify, 0},
    {"an op of the backward pass", is_gradient, STAGE_autodiff, 0},
    {"an update of the parameters", is_update, STAGE_optimizer, 0},
};

static void check_stage(Verifier *verifier, const Node *node) {
    for (size_t i = 0; i < sizeof legalities / sizeof *legalities; i++) {
        const Legality *row = &legalities[i];
        if (!row->is(node))
            continue;
        if (row->from && verifier->stage < (int)row->from)
            complain(verifier, node, "%s occurs from the stage %s on, this is %s", row->what,
                     stage_name(row->from), verifier->graph->stage);
        if (row->before && verifier->stage >= (int)row->before)
            complain(verifier, node, "%s occurs before the stage %s only, this is %s", row->what,
                     stage_name(row->before), verifier->graph->stage);
    }
}

static void check_node(Verifier *verifier, const Node *node, const Node *previous) {
    if (node->previous != previous)
        complain(verifier, node, "is not linked to the node before it");
    check_names(verifier, node);
    if (check_operands(verifier, node))
        check_types(verifier, node);
    check_sink(verifier, node);
    check_stage(verifier, node);
}

static void check_nodes(Verifier *verifier) {
    const Node *previous = NULL;
    for (const Node *node = verifier->graph->first; node; node = node->next) {
        check_node(verifier, node, previous);
        add_node(verifier->arena, &verifier->nodes, node);
        previous = node;
    }
    if (verifier->graph->last != previous)
        complain(verifier, NULL, "the list of nodes does not end at its last node");
}

bool verify_graph(const Graph *graph, Diagnostics *diagnostics) {
    int errors = diagnostics_error_count(diagnostics);
    Verifier verifier = {.graph = graph,
                         .diagnostics = diagnostics,
                         .arena = arena_create(),
                         .stage = stage_find(graph->stage)};
    if (verifier.stage < 0)
        complain(&verifier, NULL, "no stage is called %s", graph->stage);
    if (check_geometry(&verifier)) {
        check_tables(&verifier);
        check_nodes(&verifier);
    }
    arena_destroy(verifier.arena);
    return diagnostics_error_count(diagnostics) == errors;
}
