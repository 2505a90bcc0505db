#include "ir/graph.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

#include "base/fatal.h"
#include "base/text.h"
#include "ir/stage.h"

/* A name that is or was taken. Suffixes 2 .. next - 1 of it are all taken. */
typedef struct NameEntry {
    const char *name;
    Value *value; /* NULL: free again */
    int64_t next;
    UT_hash_handle hh;
} NameEntry;

/* A source node by what it reads: "param layer1.conv1.weight". */
typedef struct SourceEntry {
    const char *key;
    Node *node; /* NULL: removed */
    UT_hash_handle hh;
} SourceEntry;

/* A segment or a state slot by name. */
typedef struct IndexEntry {
    const char *name;
    int index;
    UT_hash_handle hh;
} IndexEntry;

struct NameTable {
    NameEntry *values;
    SourceEntry *sources;
    IndexEntry *segments, *states;
};

static const char *copy_string(Arena *arena, const char *text) {
    return text ? arena_copy_text(arena, text, strlen(text)) : NULL;
}

Graph *graph_create(Arena *arena, const char *network, Geometry geometry) {
    Graph *graph = arena_new(arena, Graph);
    graph->arena = arena;
    graph->network = copy_string(arena, network);
    graph->stage = stage_name(STAGE_frontend);
    graph->geometry = geometry;
    graph->names = arena_new(arena, struct NameTable);
    return graph;
}

int64_t graph_grid(const Graph *graph, int d) {
    const Geometry *geometry = &graph->geometry;
    return geometry->ratio ? geometry->image[d] / geometry->ratio : 0;
}

int64_t graph_cells(const Graph *graph) {
    int64_t cells = graph->geometry.ratio ? 1 : 0;
    for (int d = 0; d < graph->geometry.space; d++)
        cells = type_multiply(cells, graph_grid(graph, d));
    return cells;
}

static int64_t masked_rows(const Graph *graph, const Type *type) {
    int64_t side = graph->geometry.ratio / type->stride;
    int64_t rows = type_multiply(type->batch, graph->geometry.keep);
    for (int d = 0; d < type->rank; d++)
        rows = type_multiply(rows, side);
    return rows;
}

int64_t graph_rows(const Graph *graph, const Type *type) {
    switch (type->form) {
    case FORM_DENSE:
        return type_multiply(type->batch, type_positions(type));
    case FORM_MASKED:
        return masked_rows(graph, type);
    case FORM_PER_IMAGE:
        return type->batch;
    case FORM_PLAIN:
    case FORM_FLAT:
    case FORM_SEGMENTS:
        break;
    }
    return 1;
}

/* The first element behind all segments. */
static int64_t segments_end(const Graph *graph) {
    if (graph->segments.count == 0)
        return 0;
    const Segment *last = &graph->segments.items[graph->segments.count - 1];
    int64_t end;
    if (__builtin_add_overflow(last->offset, type_plain_elements(&last->type), &end))
        return INT64_MAX;
    return end;
}

int64_t graph_elements(const Graph *graph, const Type *type) {
    switch (type->form) {
    case FORM_PLAIN:
        return type_plain_elements(type);
    case FORM_FLAT:
        return segments_end(graph);
    case FORM_SEGMENTS:
        return (int64_t)graph->segments.count;
    case FORM_DENSE:
    case FORM_MASKED:
    case FORM_PER_IMAGE:
        break;
    }
    return type_multiply(graph_rows(graph, type), type->channels);
}

static int find_index(IndexEntry *entries, const char *name) {
    IndexEntry *entry;
    HASH_FIND_STR(entries, name, entry);
    return entry ? entry->index : -1;
}

static void add_index(Arena *arena, IndexEntry **entries, const char *name, size_t index) {
    IndexEntry *entry = arena_new(arena, IndexEntry);
    entry->name = name;
    entry->index = (int)index;
    HASH_ADD_KEYPTR(hh, *entries, entry->name, strlen(entry->name), entry);
}

int graph_segment_index(const Graph *graph, const char *name) {
    return find_index(graph->names->segments, name);
}

int graph_state_index(const Graph *graph, const char *name) {
    return find_index(graph->names->states, name);
}

Segment *graph_add_segment(Graph *graph, Segment segment) {
    if (graph_segment_index(graph, segment.name) >= 0)
        return NULL;
    segment.name = copy_string(graph->arena, segment.name);
    segment.offset = segments_end(graph);
    add_index(graph->arena, &graph->names->segments, segment.name, graph->segments.count);
    vector_push(graph->arena, &graph->segments, segment);
    return &graph->segments.items[graph->segments.count - 1];
}

const Segment *graph_find_segment(const Graph *graph, const char *name) {
    int index = graph_segment_index(graph, name);
    return index < 0 ? NULL : &graph->segments.items[index];
}

StateSlot *graph_add_state(Graph *graph, StateSlot state) {
    if (graph_state_index(graph, state.name) >= 0)
        return NULL;
    state.name = copy_string(graph->arena, state.name);
    add_index(graph->arena, &graph->names->states, state.name, graph->states.count);
    vector_push(graph->arena, &graph->states, state);
    return &graph->states.items[graph->states.count - 1];
}

const StateSlot *graph_find_state(const Graph *graph, const char *name) {
    int index = graph_state_index(graph, name);
    return index < 0 ? NULL : &graph->states.items[index];
}

static bool drop_segments(Graph *graph, Part part) {
    Segment *items = graph->segments.items;
    size_t count = graph->segments.count;
    memset(&graph->segments, 0, sizeof graph->segments);
    graph->names->segments = NULL;
    for (size_t i = 0; i < count; i++) {
        if (items[i].part != part)
            graph_add_segment(graph, items[i]);
    }
    return graph->segments.count < count;
}

static bool drop_states(Graph *graph, Part part) {
    StateSlot *items = graph->states.items;
    size_t count = graph->states.count;
    memset(&graph->states, 0, sizeof graph->states);
    graph->names->states = NULL;
    for (size_t i = 0; i < count; i++) {
        if (items[i].part != part)
            graph_add_state(graph, items[i]);
    }
    return graph->states.count < count;
}

bool graph_drop_part(Graph *graph, Part part) {
    bool segments = drop_segments(graph, part), states = drop_states(graph, part);
    return segments || states;
}

static void link_before(Graph *graph, Node *node, Node *before) {
    node->next = before;
    node->previous = before ? before->previous : graph->last;
    *(node->previous ? &node->previous->next : &graph->first) = node;
    *(before ? &before->previous : &graph->last) = node;
}

static void unlink_node(Graph *graph, Node *node) {
    *(node->previous ? &node->previous->next : &graph->first) = node->next;
    *(node->next ? &node->next->previous : &graph->last) = node->previous;
    node->previous = node->next = NULL;
}

Node *graph_insert(Graph *graph, Op op, Value *const *operands, int count, Node *before) {
    const OpInfo *info = op_info(op);
    invariant(count >= 0 && (info->variadic || count <= info->operand_count), "%d operands for %s",
              count, info->name);
    Node *node = arena_new(graph->arena, Node);
    node->op = op;
    node->operand_count = count > info->operand_count ? count : info->operand_count;
    node->operands = arena_new_array(graph->arena, Value *, (size_t)node->operand_count);
    for (int i = 0; i < count; i++)
        node->operands[i] = operands[i];
    for (int i = 0; i < info->attribute_count; i++)
        node->attributes[i] = info->attributes[i].standard;
    for (int i = 0; i < info->result_count; i++) {
        node->results[i].node = node;
        node->results[i].index = i;
    }
    link_before(graph, node, before);
    return node;
}

static NameEntry *find_name(const Graph *graph, const char *name, size_t length) {
    NameEntry *entry;
    HASH_FIND(hh, graph->names->values, name, length, entry);
    return entry;
}

static NameEntry *name_entry(Graph *graph, const char *name) {
    Arena *arena = graph->arena;
    NameEntry *entry = find_name(graph, name, strlen(name));
    if (entry)
        return entry;
    entry = arena_new(arena, NameEntry);
    entry->name = copy_string(arena, name);
    entry->next = 2;
    HASH_ADD_KEYPTR(hh, graph->names->values, entry->name, strlen(entry->name), entry);
    return entry;
}

/* Makes the name of a value free again. If it is "base_7", 7 becomes a candidate of base again, so
 * that a new suffix is the smallest free one whatever was named before. */
static void release_name(Graph *graph, Value *value) {
    if (!value->name)
        return;
    NameEntry *entry = find_name(graph, value->name, strlen(value->name));
    value->name = NULL;
    if (!entry || entry->value != value)
        return;
    entry->value = NULL;
    const char *mark = strrchr(entry->name, '_');
    if (!mark || mark[1] < '1' || mark[1] > '9')
        return;
    char *end;
    long long suffix = strtoll(mark + 1, &end, 10);
    NameEntry *base = find_name(graph, entry->name, (size_t)(mark - entry->name));
    if (*end == '\0' && base && suffix >= 2 && suffix < base->next)
        base->next = suffix;
}

void graph_name(Graph *graph, Value *value, const char *name) {
    release_name(graph, value);
    NameEntry *base = name_entry(graph, name ? name : op_info(value->node->op)->name);
    NameEntry *entry = base;
    while (entry->value) {
        char *candidate = arena_format(graph->arena, "%s_%" PRId64, base->name, base->next++);
        entry = name_entry(graph, candidate);
    }
    entry->value = value;
    value->name = entry->name;
}

/* The attribute that says what a source node reads, or -1: the first text of its row. */
static int source_attribute(Op op) {
    const OpInfo *info = op_info(op);
    bool source = (info->flags & OP_SOURCE) && info->attribute_count > 0;
    return source && info->attributes[0].kind == ATTRIBUTE_TEXT ? 0 : -1;
}

static SourceEntry *find_source(const Graph *graph, const char *key) {
    SourceEntry *entry;
    HASH_FIND_STR(graph->names->sources, key, entry);
    return entry;
}

static char *source_key(const Graph *graph, Op op, const char *name) {
    return arena_format(graph->arena, "%s %s", op_info(op)->name, name);
}

static void forget_source(Graph *graph, Node *node) {
    int place = source_attribute(node->op);
    if (place < 0)
        return;
    char *key = source_key(graph, node->op, node->attributes[place].text);
    SourceEntry *entry = find_source(graph, key);
    if (entry && entry->node == node)
        entry->node = NULL;
}

static void index_source(Graph *graph, Node *node) {
    int place = source_attribute(node->op);
    if (place < 0)
        return;
    Arena *arena = graph->arena;
    char *key = source_key(graph, node->op, node->attributes[place].text);
    SourceEntry *entry = find_source(graph, key);
    if (!entry) {
        entry = arena_new(arena, SourceEntry);
        entry->key = key;
        HASH_ADD_KEYPTR(hh, graph->names->sources, entry->key, strlen(entry->key), entry);
    }
    entry->node = node;
}

Node *graph_find_source(const Graph *graph, Op op, const char *name) {
    SourceEntry *entry = find_source(graph, source_key(graph, op, name));
    return entry ? entry->node : NULL;
}

Value *graph_find_input(const Graph *graph, const char *name) {
    Node *node = graph_find_source(graph, OP_input, name);
    return node ? &node->results[0] : NULL;
}

Node *graph_find_output(const Graph *graph, const char *name) {
    graph_each(graph, node) {
        if (node->op == OP_output && strcmp(node_text(node, "name"), name) == 0)
            return node;
    }
    return NULL;
}

void graph_remove(Graph *graph, Node *node) {
    forget_source(graph, node);
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        release_name(graph, &node->results[i]);
    unlink_node(graph, node);
}

void graph_replace_uses(Graph *graph, Value *old, Value *new_value) {
    graph_each(graph, node) {
        for (int i = 0; i < node->operand_count; i++) {
            if (node->operands[i] == old)
                node->operands[i] = new_value;
        }
    }
}

void graph_clear_marks(Graph *graph) {
    graph_each(graph, node) node->mark = 0;
}

Value *node_operand(const Node *node, int index) {
    return index < node->operand_count ? node->operands[index] : NULL;
}

static const Attribute *attribute_of(const Node *node, const char *name) {
    int index = op_attribute_index(node->op, name);
    invariant(index >= 0, "%s has no attribute %s", op_info(node->op)->name, name);
    return &node->attributes[index];
}

static const Attribute *attribute_of_kind(const Node *node, const char *name, AttributeKind kind) {
    const Attribute *attribute = attribute_of(node, name);
    invariant(attribute->kind == kind, "%s.%s is of another kind", op_info(node->op)->name, name);
    return attribute;
}

static bool is_text(AttributeKind kind) {
    return kind == ATTRIBUTE_TEXT || kind == ATTRIBUTE_WORD;
}

int64_t node_int(const Node *node, const char *name) {
    return attribute_of_kind(node, name, ATTRIBUTE_INT)->integer;
}

bool node_bool(const Node *node, const char *name) {
    return attribute_of_kind(node, name, ATTRIBUTE_BOOL)->integer != 0;
}

double node_float(const Node *node, const char *name) {
    return attribute_of_kind(node, name, ATTRIBUTE_FLOAT)->real;
}

const char *node_text(const Node *node, const char *name) {
    const Attribute *attribute = attribute_of(node, name);
    invariant(is_text(attribute->kind), "%s.%s is no text", op_info(node->op)->name, name);
    return attribute->text;
}

const int64_t *node_ints(const Node *node, const char *name, int *count) {
    const Attribute *attribute = attribute_of_kind(node, name, ATTRIBUTE_INTS);
    *count = attribute->count;
    return attribute->ints;
}

static Attribute *settable(Node *node, const char *name, AttributeKind kind) {
    return (Attribute *)attribute_of_kind(node, name, kind);
}

void node_set_int(Node *node, const char *name, int64_t value) {
    settable(node, name, ATTRIBUTE_INT)->integer = value;
}

void node_set_bool(Node *node, const char *name, bool value) {
    settable(node, name, ATTRIBUTE_BOOL)->integer = value;
}

void node_set_float(Node *node, const char *name, double value) {
    settable(node, name, ATTRIBUTE_FLOAT)->real = value;
}

void node_set_text(Graph *graph, Node *node, const char *name, const char *value) {
    Attribute *attribute = (Attribute *)attribute_of(node, name);
    invariant(is_text(attribute->kind), "%s.%s is no text", op_info(node->op)->name, name);
    const char *copy = copy_string(graph->arena, value);
    forget_source(graph, node);
    attribute->text = copy;
    index_source(graph, node);
}

void node_set_ints(Node *node, const char *name, const int64_t *values, int count) {
    Attribute *attribute = settable(node, name, ATTRIBUTE_INTS);
    invariant(count >= 0 && count <= ATTRIBUTE_MAX_INTS, "%d numbers in a list", count);
    attribute->count = count;
    for (int i = 0; i < ATTRIBUTE_MAX_INTS; i++)
        attribute->ints[i] = i < count ? values[i] : 0;
}

/* Which node of a copy stands for a node of the original. */
typedef struct CopyEntry {
    const Node *original;
    Node *copy;
    UT_hash_handle hh;
} CopyEntry;

static Node *find_copy(CopyEntry *copies, const Node *original) {
    CopyEntry *entry;
    HASH_FIND_PTR(copies, &original, entry);
    invariant(entry != NULL, "an operand's node is not in the graph");
    return entry->copy;
}

/* A node without its operands, names of results included. */
static Node *copy_node(Graph *graph, const Node *node) {
    const OpInfo *info = op_info(node->op);
    Node *copy = graph_insert(graph, node->op, NULL, 0, NULL);
    copy->operand_count = node->operand_count;
    copy->operands = arena_new_array(graph->arena, Value *, (size_t)node->operand_count);
    copy->location = node->location;
    copy->mark = node->mark;
    for (int i = 0; i < info->attribute_count; i++) {
        copy->attributes[i] = node->attributes[i];
        if (is_text(node->attributes[i].kind))
            copy->attributes[i].text = copy_string(graph->arena, node->attributes[i].text);
    }
    for (int i = 0; i < info->result_count; i++) {
        copy->results[i].type = node->results[i].type;
        if (node->results[i].name)
            graph_name(graph, &copy->results[i], node->results[i].name);
    }
    index_source(graph, copy);
    return copy;
}

static void copy_nodes(const Graph *graph, Graph *result) {
    Arena *arena = result->arena;
    CopyEntry *copies = NULL;
    const char *file = NULL, *file_copy = NULL; /* neighbours are mostly from one file */
    graph_each(graph, node) {
        CopyEntry *entry = arena_new(arena, CopyEntry);
        entry->original = node;
        entry->copy = copy_node(result, node);
        HASH_ADD_PTR(copies, original, entry);
        if (node->location.file != file) {
            file = node->location.file;
            file_copy = copy_string(arena, file);
        }
        entry->copy->location.file = file_copy;
    }
    Node *copy = result->first;
    graph_each(graph, node) {
        for (int i = 0; i < node->operand_count; i++) {
            const Value *operand = node->operands[i];
            if (operand)
                copy->operands[i] = &find_copy(copies, operand->node)->results[operand->index];
        }
        copy = copy->next;
    }
}

Graph *graph_copy(const Graph *graph, Arena *arena) {
    Graph *result = graph_create(arena, graph->network, graph->geometry);
    result->stage = copy_string(arena, graph->stage);
    for (size_t i = 0; i < graph->segments.count; i++) {
        Segment *segment = graph_add_segment(result, graph->segments.items[i]);
        invariant(segment != NULL, "two segments of one name");
        segment->offset = graph->segments.items[i].offset;
    }
    for (size_t i = 0; i < graph->states.count; i++)
        graph_add_state(result, graph->states.items[i]);
    copy_nodes(graph, result);
    return result;
}
