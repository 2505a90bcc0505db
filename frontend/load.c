/* Reading a file and its includes: texts, trees, and the one table of definitions. */
#include <string.h>

#include "base/text.h"
#include "frontend/parser.h"
#include "frontend/program.h"

Definition *program_find(const FrontendFile *file, const char *name) {
    return table_get(file->names, name);
}

int definition_parameter(const Definition *definition, const char *name) {
    for (size_t i = 0; i < definition->parameters.count; i++)
        if (strcmp(definition->parameters.items[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* A file to read: its path for messages, its one absolute name, and where it is included. */
typedef struct Wanted {
    const char *shown, *resolved;
    Span span; /* of the include's string */
    bool included;
} Wanted;

typedef struct Loader {
    FrontendFile *file;
    VECTOR(Wanted) wanted;
    Table *seen; /* resolved names */
} Loader;

/* Reports that a file cannot be read; the names that it defines are unknown from here on. */
static void complain(Loader *loader, const Wanted *wanted, const char *error) {
    loader->file->damaged = true;
    if (wanted->included)
        sources_report(&loader->file->sources, SEVERITY_ERROR, wanted->span,
                       "%s cannot be read: %s", wanted->shown, error);
    else
        diagnostics_report(loader->file->sources.diagnostics, SEVERITY_ERROR, (Location){0},
                           "%s cannot be read: %s", wanted->shown, error);
}

/* The folder part of a path, with its slash; "" if it has none. */
static const char *folder_of(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? arena_copy_text(arena, path, (size_t)(slash - path) + 1) : "";
}

static bool has_part(const char *path, const char *part) {
    size_t length = strlen(part);
    for (const char *at = path; (at = strstr(at, part)); at += length)
        if ((at == path || at[-1] == '/') && (at[length] == '\0' || at[length] == '/'))
            return true;
    return false;
}

static void refuse_include(Loader *loader, Span span) {
    sources_report(&loader->file->sources, SEVERITY_ERROR, span,
                   "an included file lies in the folder of this file or below it");
}

static void want_include(Loader *loader, const SourceFile *source, const Token *include) {
    FrontendFile *file = loader->file;
    const char *path = include->text, *error = NULL;
    if (path[0] == '\0' || path[0] == '/' || has_part(path, "..")) {
        refuse_include(loader, include->span);
        return;
    }
    const char *folder = folder_of(file->arena, source->resolved);
    Wanted wanted = {.span = include->span, .included = true};
    wanted.shown = arena_format(file->arena, "%s%s", folder_of(file->arena, source->name), path);
    wanted.resolved = file->access.resolve(file->access.context, file->arena,
                                           arena_format(file->arena, "%s%s", folder, path), &error);
    if (!wanted.resolved) {
        complain(loader, &wanted, error);
        return;
    }
    if (strncmp(wanted.resolved, folder, strlen(folder)) != 0) {
        refuse_include(loader, include->span);
        return;
    }
    vector_push(file->arena, &loader->wanted, wanted);
}

static void define_all(FrontendFile *file, const Parser *parser, bool included) {
    for (size_t i = 0; i < parser->definitions.count; i++) {
        Definition *definition = parser->definitions.items[i];
        Definition *first = program_find(file, definition->name);
        definition->included = included;
        if (first) {
            sources_report(&file->sources, SEVERITY_ERROR, definition->name_span,
                           "%s is defined twice", definition->name);
            diagnostics_note(file->sources.diagnostics, "the first is at %s",
                             sources_line(&file->sources, first->name_span, definition->name_span));
            continue;
        }
        table_put(file->names, definition->name, definition);
        vector_push(file->arena, &file->definitions, definition);
    }
}

static bool parse(Parser *parser, FrontendFile *file, uint32_t source, bool settings) {
    *parser = (Parser){.arena = file->arena, .sources = &file->sources, .settings = settings};
    if (!sources_check_characters(&file->sources, source))
        return false;
    tokens_open(&parser->tokens, file->arena, &file->sources, source);
    int result = parser_parse(parser);
    tokens_close(&parser->tokens);
    return result == 0 && !parser->failed;
}

bool program_parse_settings(FrontendFile *file, uint32_t source, ArgumentList *given) {
    Parser parser;
    int before = diagnostics_error_count(file->sources.diagnostics);
    bool fine = parse(&parser, file, source, true);
    *given = parser.given;
    return fine && diagnostics_error_count(file->sources.diagnostics) == before;
}

static void load(Loader *loader, const Wanted *wanted) {
    FrontendFile *file = loader->file;
    if (table_get(loader->seen, wanted->resolved))
        return;
    if (file->sources.items.count == PROGRAM_MOST_FILES) {
        sources_report(&file->sources, SEVERITY_ERROR, wanted->span,
                       "more than %d files are included", PROGRAM_MOST_FILES);
        loader->wanted.count = 0;
        return;
    }
    table_put(loader->seen, wanted->resolved, loader);
    SourceFile source = {.name = wanted->shown, .resolved = wanted->resolved};
    const char *error = NULL;
    char *text = file->access.read(file->access.context, file->arena, wanted->resolved,
                                   PROGRAM_MOST_BYTES, &source.length, &error);
    if (!text) {
        complain(loader, wanted, error);
        return;
    }
    source.text = text;
    uint32_t number = sources_add(&file->sources, source);
    Parser parser;
    if (!parse(&parser, file, number, false) && parser.definitions.count == 0)
        file->damaged = true;
    file->damaged |= parser.damaged_file || parser.tokens.stopped;
    define_all(file, &parser, wanted->included);
    for (size_t i = 0; i < parser.includes.count; i++)
        want_include(loader, &source, &parser.includes.items[i]);
    for (size_t i = 0; i < parser.include_spans.count; i++)
        vector_push(file->arena, &file->includes, parser.include_spans.items[i]);
}

static bool is_template(FrontendFile *file, const Definition *network) {
    const Definition *base = program_base(file, network);
    for (size_t i = 0; base && i < base->parameters.count; i++) {
        const Parameter *parameter = &base->parameters.items[i];
        if (parameter->standard)
            continue;
        bool given = false;
        for (const Definition *step = network; step != base;
             step = program_find(file, step->base)) {
            size_t places = 0;
            for (size_t k = 0; k < step->arguments.count; k++) {
                const char *name = step->arguments.items[k].name;
                given |= name ? strcmp(name, parameter->name) == 0 : ++places == i;
            }
        }
        if (!given)
            return true;
    }
    return false;
}

static void list_networks(FrontendFile *file) {
    for (size_t i = 0; i < file->definitions.count; i++) {
        const Definition *definition = file->definitions.items[i];
        if (definition->kind == DEFINITION_BLOCK)
            continue;
        FrontendNetwork network = {definition->name, is_template(file, definition),
                                   definition->included,
                                   sources_locate(&file->sources, definition->name_span)};
        vector_push(file->arena, &file->networks, network);
    }
}

FrontendFile *frontend_read(Arena *arena, Diagnostics *diagnostics, const char *path,
                            const FrontendAccess *access) {
    FrontendFile *file = arena_new(arena, FrontendFile);
    file->arena = arena;
    file->sources = (Sources){.arena = arena, .diagnostics = diagnostics};
    file->access = access ? *access : access_disk();
    file->names = table_create(arena);
    file->remarks = table_create(arena);
    int before = diagnostics_error_count(diagnostics);
    Loader loader = {.file = file, .seen = table_create(arena)};
    Wanted first = {.shown = path};
    const char *error = NULL;
    first.resolved = file->access.resolve(file->access.context, arena, path, &error);
    if (!first.resolved) {
        complain(&loader, &first, error);
        return NULL;
    }
    vector_push(arena, &loader.wanted, first);
    for (size_t i = 0; i < loader.wanted.count; i++) {
        Wanted next = loader.wanted.items[i];
        load(&loader, &next);
    }
    file->file_count = (uint32_t)file->sources.items.count;
    check_program(file);
    if (diagnostics_error_count(diagnostics) != before)
        return NULL;
    list_networks(file);
    return file;
}

const FrontendNetwork *frontend_networks(const FrontendFile *file, size_t *count) {
    *count = file->networks.count;
    return file->networks.items;
}

/* The text of file `number` without its include statements and byte order mark. */
static void append_file(Text *text, const FrontendFile *file, uint32_t number) {
    const SourceFile *source = &file->sources.items.items[number];
    size_t from = text_starts_with(source->text, "\xEF\xBB\xBF") ? 3 : 0;
    for (size_t i = 0; i < file->includes.count; i++) {
        Span span = file->includes.items[i];
        if (span.file != number)
            continue;
        text_append_bytes(text, source->text + from, span.begin - from);
        from = span.end;
    }
    text_append_bytes(text, source->text + from, source->length - from);
}

const char *frontend_flatten(const FrontendFile *file) {
    Text text = text_create(file->arena);
    for (uint32_t i = 0; i < file->file_count; i++) {
        if (i > 0)
            text_append(&text, "\n");
        append_file(&text, file, i);
    }
    return text.data;
}
