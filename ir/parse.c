#include "ir/parse.h"

#include <inttypes.h>
#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

#include "ir/header.h"
#include "ir/print.h"
#include "ir/rules.h"
#include "ir/scan.h"
#include "ir/verify.h"

/* A value that the text defines. */
typedef struct Definition {
    const char *name;
    Value *value; /* NULL: its line has an error, uses of it are not reported */
    uint32_t line;
    UT_hash_handle hh;
} Definition;

/* An operand or result as the text has it. */
typedef struct Mention {
    ScanSpan span;
    const char *name; /* NULL: absent, written _ */
    Value *value;     /* of an operand; NULL: absent */
} Mention;

typedef VECTOR(Mention) MentionList;

typedef struct Parser {
    Scanner scanner;
    Graph *graph;
    Definition *definitions;
    MentionList results, operands; /* of the current line; the room is used again */
    VECTOR(Location) locations;    /* of the nodes, in the .cnn */
    int errors;                    /* that there were before this text */
    bool any_op, ended, stopped;
} Parser;

/* What the current line says of an op. */
typedef struct Statement {
    Op op;
    const OpInfo *info;
    ScanSpan name_span;
    Type types[OP_MAX_RESULTS];
    ScanSpan type_spans[OP_MAX_RESULTS];
    Attribute attributes[OP_MAX_ATTRIBUTES];
    ScanSpan attribute_spans[OP_MAX_ATTRIBUTES];
    Location location;
} Statement;

/* ---- The head -------------------------------------------------------------------------------- */

/* sparkc KIND VERSION */
static bool parse_version(Scanner *scanner, const char *kind, int expected) {
    if (!scan_line(scanner)) {
        scan_error(scanner, scan_text_end(scanner), "this file is empty");
        return false;
    }
    if (!scan_take_word(scanner, "sparkc") || !scan_take_word(scanner, kind)) {
        scan_error(scanner, scan_whole_line(scanner),
                   "this is no %s of sparkc: its first line must be sparkc %s %d", kind, kind,
                   expected);
        return false;
    }
    const char *begin = scan_place(scanner);
    char *version = scan_name(scanner, "the version");
    if (!version)
        return false;
    if (strcmp(version, arena_format(scanner->arena, "%d", expected)) == 0)
        return scan_line_end(scanner);
    scan_error(scanner, scan_since(scanner, begin),
               "written by another version of sparkc: this text has version %s, this sparkc reads "
               "version %d",
               version, expected);
    scan_hint(scanner, "regenerate it from the network: sparkc ir MODEL.cnn --after PASS");
    return false;
}

/* The next line, which must start with `word`. */
static bool parse_head_word(Scanner *scanner, const char *word) {
    if (scan_line(scanner))
        return scan_expect_word(scanner, word);
    scan_error(scanner, scan_text_end(scanner), "the text ends where its %s must stand", word);
    return false;
}

/* WORD NAME */
static char *parse_head_name(Scanner *scanner, const char *word) {
    char *name = parse_head_word(scanner, word) ? scan_name(scanner, "a name") : NULL;
    return name && scan_line_end(scanner) ? name : NULL;
}

static bool parse_row(Scanner *scanner, const HeaderRow *row, Attribute *values, ScanSpan *spans) {
    return scan_attributes(scanner, row->owner, row->attributes, row->count, values, spans) &&
           scan_line_end(scanner);
}

/* The caret of the attribute that `error` is about; the whole line if it was left out. */
static bool report_row(Scanner *scanner, const HeaderRow *row, HeaderError error,
                       const ScanSpan *spans) {
    if (!error.message)
        return true;
    bool given = spans[error.index].begin;
    scan_error(scanner, given ? spans[error.index] : scan_whole_line(scanner), "%s: %s",
               row->attributes[error.index].name, error.message);
    return false;
}

static bool parse_geometry(Scanner *scanner, Geometry *geometry) {
    Attribute values[OP_MAX_ATTRIBUTES];
    ScanSpan spans[OP_MAX_ATTRIBUTES];
    return parse_head_word(scanner, header_geometry.owner) &&
           parse_row(scanner, &header_geometry, values, spans) &&
           report_row(scanner, &header_geometry,
                      header_to_geometry(scanner->arena, values, geometry), spans);
}

Graph *parse_head(Scanner *scanner, const char *kind, int version) {
    Geometry geometry = {0};
    const char *network =
        parse_version(scanner, kind, version) ? parse_head_name(scanner, "network") : NULL;
    const char *stage = network ? parse_head_name(scanner, "stage") : NULL;
    if (!stage || !parse_geometry(scanner, &geometry))
        return NULL;
    Graph *graph = graph_create(scanner->arena, network, geometry);
    graph->stage = stage;
    return graph;
}

/* ---- The tables ------------------------------------------------------------------------------ */

/* A type without batch and positions. */
static bool parse_plain_type(Scanner *scanner, Type *type) {
    const char *begin = scan_place(scanner);
    if (!scan_type(scanner, type))
        return false;
    if (type->form != FORM_PLAIN)
        scan_error(scanner, scan_since(scanner, begin), "expected a plain type such as f32[64]");
    return !scanner->failed;
}

/* NAME :, the beginning of a table line. */
static bool parse_entry(Scanner *scanner, Mention *mention) {
    const char *begin = scan_place(scanner);
    mention->name = scan_name(scanner, "a name");
    mention->span = scan_since(scanner, begin);
    return mention->name && scan_expect(scanner, ':');
}

/* Tables stand before the ops and have an end. */
static bool check_table(Scanner *scanner, bool allowed, const char *what, size_t count,
                        size_t most) {
    if (!allowed)
        scan_error(scanner, scan_whole_line(scanner), "a %s must stand before the first op", what);
    if (count >= most)
        scan_error(scanner, scan_whole_line(scanner), "more than %zu %ss", most, what);
    return !scanner->failed;
}

static void report_taken(Scanner *scanner, const char *what, const Mention *mention) {
    scan_error(scanner, mention->span, "a second %s is called %s", what, mention->name);
}

/* The shape in files: behind "from", or the stored one. */
static bool parse_file_shape(Scanner *scanner, const Graph *graph, Segment *segment) {
    Type file = segment->type;
    const char *begin = scan_place(scanner);
    if (scan_take_word(scanner, "from") && !parse_plain_type(scanner, &file))
        return false;
    int64_t elements = graph_elements(graph, &segment->type);
    if (graph_elements(graph, &file) != elements)
        scan_error(scanner, scan_since(scanner, begin),
                   "the shape in files must have the %" PRId64 " elements of the stored one",
                   elements);
    segment->file_rank = file.rank;
    memcpy(segment->file_shape, file.extent, sizeof segment->file_shape);
    return !scanner->failed;
}

/* segment NAME : TYPE [from TYPE] {...} */
static void parse_segment(Scanner *scanner, Graph *graph, bool allowed) {
    Segment segment = {0};
    Mention mention;
    Attribute values[OP_MAX_ATTRIBUTES];
    ScanSpan spans[OP_MAX_ATTRIBUTES];
    if (!check_table(scanner, allowed, "segment", graph->segments.count, PARSE_MOST_SEGMENTS) ||
        !parse_entry(scanner, &mention) || !parse_plain_type(scanner, &segment.type) ||
        !parse_file_shape(scanner, graph, &segment) ||
        !parse_row(scanner, &header_segment, values, spans) ||
        !report_row(scanner, &header_segment, header_to_segment(scanner->arena, values, &segment),
                    spans))
        return;
    segment.name = mention.name;
    if (!graph_add_segment(graph, segment))
        report_taken(scanner, "segment", &mention);
}

/* state NAME : TYPE {...} */
static void parse_state(Scanner *scanner, Graph *graph, bool allowed) {
    StateSlot state = {0};
    Mention mention;
    Attribute values[OP_MAX_ATTRIBUTES];
    ScanSpan spans[OP_MAX_ATTRIBUTES];
    if (!check_table(scanner, allowed, "state", graph->states.count, PARSE_MOST_STATES) ||
        !parse_entry(scanner, &mention) || !scan_type(scanner, &state.type) ||
        !parse_row(scanner, &header_state, values, spans) ||
        !report_row(scanner, &header_state, header_to_state(scanner->arena, values, &state), spans))
        return;
    state.name = mention.name;
    if (!graph_add_state(graph, state))
        report_taken(scanner, "state", &mention);
}

bool parse_table_line(Scanner *scanner, Graph *graph, bool allowed) {
    if (scan_take_word(scanner, header_segment.owner))
        parse_segment(scanner, graph, allowed);
    else if (scan_take_word(scanner, header_state.owner))
        parse_state(scanner, graph, allowed);
    else
        return false;
    return true;
}

/* ---- Names of values ------------------------------------------------------------------------- */

static Definition *find_definition(const Parser *parser, const char *name) {
    Definition *definition;
    HASH_FIND_STR(parser->definitions, name, definition);
    return definition;
}

/* Makes the names of the current line's results known; the values follow once there is a node. */
static void define_results(Parser *parser) {
    Arena *arena = parser->scanner.arena;
    for (size_t i = 0; i < parser->results.count; i++) {
        const Mention *mention = &parser->results.items[i];
        Definition *definition = find_definition(parser, mention->name);
        if (definition) {
            scan_error(&parser->scanner, mention->span,
                       "%%%s is defined twice, first at line %" PRIu32, mention->name,
                       definition->line);
            continue;
        }
        definition = arena_new(arena, Definition);
        definition->name = mention->name;
        definition->line = parser->scanner.number;
        HASH_ADD_KEYPTR(hh, parser->definitions, definition->name, strlen(definition->name),
                        definition);
    }
}

static void report_undefined(Parser *parser, const Mention *mention) {
    Scanner *scanner = &parser->scanner;
    VECTOR(const char *) names = {0};
    Definition *definition, *following;
    HASH_ITER(hh, parser->definitions, definition, following) {
        if (definition->line != scanner->number)
            vector_push(scanner->arena, &names, definition->name);
    }
    const char *nearest = text_nearest(mention->name, names.items, names.count);
    scan_error(scanner, mention->span, "no line above defines %%%s", mention->name);
    if (nearest)
        scan_hint(scanner, "did you mean %%%s?", nearest);
}

/* Finds the values of the operands. False if one is missing, reported here or where it should
 * have been defined. */
static bool resolve_operands(Parser *parser) {
    bool fine = true;
    for (size_t i = 0; i < parser->operands.count && !parser->scanner.failed; i++) {
        Mention *mention = &parser->operands.items[i];
        if (!mention->name)
            continue;
        const Definition *definition = find_definition(parser, mention->name);
        if (!definition || definition->line == parser->scanner.number)
            report_undefined(parser, mention);
        mention->value = definition ? definition->value : NULL;
        fine = fine && mention->value;
    }
    return fine;
}

/* ---- Ops ------------------------------------------------------------------------------------- */

/* %NAME, and _ where a value may be absent. */
static bool parse_mention(Scanner *scanner, bool absent_allowed, Mention *mention) {
    *mention = (Mention){.name = NULL};
    const char *begin = scan_place(scanner);
    if (!absent_allowed || !scan_take_word(scanner, "_")) {
        if (!scan_take(scanner, '%')) {
            scan_expected(scanner, "a value such as %conv1");
            return false;
        }
        mention->name = scan_name(scanner, "the name of a value");
        if (!mention->name)
            return false;
    }
    mention->span = scan_since(scanner, begin);
    return true;
}

static bool parse_mentions(Scanner *scanner, bool absent_allowed, MentionList *list) {
    do {
        Mention mention;
        if (!parse_mention(scanner, absent_allowed, &mention))
            return false;
        vector_push(scanner->arena, list, mention);
    } while (scan_take(scanner, ','));
    return true;
}

/* TYPE {, TYPE}, one for each result */
static bool parse_types(Parser *parser, Statement *statement) {
    Scanner *scanner = &parser->scanner;
    if (parser->results.count > OP_MAX_RESULTS) {
        const Mention *extra = &parser->results.items[OP_MAX_RESULTS];
        scan_error(scanner, extra->span, "no op has more than %d results", OP_MAX_RESULTS);
        return false;
    }
    for (size_t i = 0; i < parser->results.count; i++) {
        if (i > 0 && !scan_expect(scanner, ','))
            return false;
        const char *begin = scan_place(scanner);
        if (!scan_type(scanner, &statement->types[i]))
            return false;
        statement->type_spans[i] = scan_since(scanner, begin);
    }
    return true;
}

/* The results, with the sign behind them. */
static bool parse_results(Parser *parser, Statement *statement) {
    Scanner *scanner = &parser->scanner;
    if (scan_peek(scanner) != '%')
        return true;
    bool fine = parse_mentions(scanner, false, &parser->results);
    define_results(parser);
    return fine && !scanner->failed && scan_expect(scanner, ':') &&
           parse_types(parser, statement) && scan_expect(scanner, '=');
}

static bool parse_op_name(Scanner *scanner, Statement *statement) {
    const char *begin = scan_place(scanner);
    const char *name = scan_name(scanner, "an op");
    statement->name_span = scan_since(scanner, begin);
    if (!name)
        return false;
    statement->op = op_by_name(name);
    if (statement->op != OP_COUNT) {
        statement->info = op_info(statement->op);
        return true;
    }
    const char *names[OP_COUNT];
    for (int op = 0; op < OP_COUNT; op++)
        names[op] = op_info((Op)op)->name;
    const char *nearest = text_nearest(name, names, OP_COUNT);
    scan_error(scanner, statement->name_span, "no op is called %s", name);
    if (nearest)
        scan_hint(scanner, "did you mean %s?", nearest);
    return false;
}

/* Operands in parentheses. */
static bool parse_operands(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    if (!scan_expect(scanner, '('))
        return false;
    if (scan_take(scanner, ')'))
        return true;
    return parse_mentions(scanner, true, &parser->operands) && scan_expect(scanner, ')');
}

/* "conv takes 2 operands (x, weight), this has 1", the caret at the op. */
static void report_operand_count(Parser *parser, const Statement *statement) {
    const OpInfo *info = statement->info;
    Text list = text_create(parser->scanner.arena);
    for (int i = 0; i < info->operand_count; i++) {
        bool repeats = info->variadic && i == info->operand_count - 1;
        text_append(&list, "%s%s%s%s", i ? ", " : "", info->operands[i],
                    i >= info->required_count ? "?" : "", repeats ? "..." : "");
    }
    scan_error(&parser->scanner, statement->name_span, "%s takes the operands (%s), this has %zu",
               info->name, list.data, parser->operands.count);
}

static bool check_counts(Parser *parser, const Statement *statement) {
    const OpInfo *info = statement->info;
    size_t operands = parser->operands.count;
    if (operands < (size_t)info->required_count ||
        (operands > (size_t)info->operand_count && !info->variadic))
        report_operand_count(parser, statement);
    for (size_t i = 0; i < operands; i++) {
        const Mention *mention = &parser->operands.items[i];
        if (!mention->name && (i < (size_t)info->required_count || info->variadic))
            scan_error(&parser->scanner, mention->span, "this operand of %s must be there",
                       info->name);
    }
    if (parser->results.count != (size_t)info->result_count)
        scan_error(&parser->scanner, statement->name_span,
                   "%s has %d result%s, this line names %zu", info->name, info->result_count,
                   info->result_count == 1 ? "" : "s", parser->results.count);
    return !parser->scanner.failed;
}

/* [results : types =] op(operands) {attributes} @location */
static bool parse_statement(Parser *parser, Statement *statement) {
    Scanner *scanner = &parser->scanner;
    if (!parse_results(parser, statement) || !parse_op_name(scanner, statement) ||
        !parse_operands(parser) || !check_counts(parser, statement))
        return false;
    const OpInfo *info = statement->info;
    if (!scan_attributes(scanner, info->name, info->attributes, info->attribute_count,
                         statement->attributes, statement->attribute_spans))
        return false;
    if (scan_peek(scanner) == '@' && !scan_location(scanner, &statement->location))
        return false;
    return scan_line_end(scanner);
}

/* The node of a statement, with the types that the text gives it. */
static Node *build_node(Parser *parser, const Statement *statement) {
    Graph *graph = parser->graph;
    const OpInfo *info = statement->info;
    Value **operands = arena_new_array(graph->arena, Value *, parser->operands.count);
    for (size_t i = 0; i < parser->operands.count; i++)
        operands[i] = parser->operands.items[i].value;
    Node *node = graph_insert(graph, statement->op, operands, (int)parser->operands.count, NULL);
    node->location = scan_locate(&parser->scanner, statement->name_span);
    vector_push(graph->arena, &parser->locations, statement->location);
    for (int i = 0; i < info->attribute_count; i++) {
        AttributeKind kind = info->attributes[i].kind;
        if (kind == ATTRIBUTE_TEXT || kind == ATTRIBUTE_WORD)
            node_set_text(graph, node, info->attributes[i].name, statement->attributes[i].text);
        else
            node->attributes[i] = statement->attributes[i];
    }
    for (int i = 0; i < info->result_count; i++)
        node->results[i].type = statement->types[i];
    return node;
}

/* Puts what a shape rule says under the part of the line that it is about. */
static void report_rule(Parser *parser, const Statement *statement, const RuleError *error) {
    ScanSpan span = statement->name_span;
    if (error->part == RULE_OPERAND && (size_t)error->index < parser->operands.count)
        span = parser->operands.items[error->index].span;
    else if (error->part == RULE_ATTRIBUTE && statement->attribute_spans[error->index].begin)
        span = statement->attribute_spans[error->index];
    scan_error(&parser->scanner, span, "%s", error->message);
    if (error->hint)
        scan_hint(&parser->scanner, "%s", error->hint);
}

/* The types that the text gives must be those that follow from the operands. */
static void check_types(Parser *parser, const Statement *statement, const Node *node) {
    Scanner *scanner = &parser->scanner;
    for (int i = 0; i < statement->info->result_count; i++) {
        const Type *given = &statement->types[i], *inferred = &node->results[i].type;
        if (type_equal(given, inferred))
            continue;
        scan_error(scanner, statement->type_spans[i], "%s gives %s here, the text says %s",
                   statement->info->name, type_text(scanner->arena, inferred),
                   type_text(scanner->arena, given));
    }
}

/* Gives the results of a node their names, and the names their values. */
static void publish_results(Parser *parser, Node *node) {
    for (size_t i = 0; i < parser->results.count; i++) {
        const char *name = parser->results.items[i].name;
        graph_name(parser->graph, &node->results[i], name);
        find_definition(parser, name)->value = &node->results[i];
    }
}

static void parse_op(Parser *parser) {
    Statement statement = {0};
    RuleError error = {0};
    parser->any_op = true;
    parser->results.count = parser->operands.count = 0;
    if (!parse_statement(parser, &statement) || !resolve_operands(parser))
        return;
    Node *node = build_node(parser, &statement);
    if (!rules_infer(parser->graph, node, &error))
        report_rule(parser, &statement, &error);
    else
        check_types(parser, &statement, node);
    if (!parser->scanner.failed)
        publish_results(parser, node);
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* Ops are not read behind tables with errors: most would only complain of what they lack. */
static void parse_line(Parser *parser) {
    Scanner *scanner = &parser->scanner;
    if (parse_table_line(scanner, parser->graph, !parser->any_op))
        return;
    if (scan_take_word(scanner, "end"))
        parser->ended = scan_line_end(scanner);
    else if (parser->any_op || diagnostics_error_count(scanner->diagnostics) == parser->errors)
        parse_op(parser);
    else
        parser->stopped = true;
}

void parse_end(Scanner *scanner, bool ended) {
    if (!ended) {
        scanner->failed = scanner->number > SCAN_MOST_LINES;
        scan_error(scanner, scan_text_end(scanner),
                   "the text stops before its last line, end: it was cut off");
    } else if (scan_line(scanner)) {
        scan_error(scanner, scan_whole_line(scanner), "the text goes on behind its last line, end");
    }
}

/* Verifies the graph. Meanwhile the nodes are located where they stand in this text, so that
 * errors point there; afterwards where they come from in the .cnn. */
static bool verify(Parser *parser) {
    bool fine = verify_graph(parser->graph, parser->scanner.diagnostics);
    size_t next = 0;
    graph_each(parser->graph, node) node->location = parser->locations.items[next++];
    return fine;
}

Graph *parse_graph(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                   size_t length) {
    Parser parser = {.scanner = scan_create(arena, diagnostics, file, text, length),
                     .errors = diagnostics_error_count(diagnostics)};
    parser.graph = parse_head(&parser.scanner, "graph", PRINT_GRAPH_VERSION);
    if (!parser.graph)
        return NULL;
    while (!parser.ended && !parser.stopped && scan_line(&parser.scanner)) {
        parse_line(&parser);
        parser.stopped = parser.stopped || diagnostics_full(diagnostics);
    }
    if (!parser.stopped)
        parse_end(&parser.scanner, parser.ended);
    if (!parser.ended || diagnostics_error_count(diagnostics) > parser.errors)
        return NULL;
    return verify(&parser) ? parser.graph : NULL;
}

Graph *parse_graph_file(Arena *arena, Diagnostics *diagnostics, const char *path) {
    const char *error = NULL;
    size_t length = 0;
    char *text = text_read_file(arena, path, SCAN_LARGEST_FILE, &length, &error);
    if (text)
        return parse_graph(arena, diagnostics, path, text, length);
    diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s: %s", path, error);
    return NULL;
}
