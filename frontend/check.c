/* The check of names in the whole file, also in blocks never called and branches not taken. Gives
 * every variable of a body its slot. */
#include <string.h>

#include "base/text.h"
#include "frontend/callee.h"
#include "frontend/functions.h"
#include "frontend/layers.h"

enum { MOST_PARAMETERS = 200, MOST_VARIATIONS = 100 };

typedef struct Checker {
    FrontendFile *file;
    Definition *definition; /* NULL outside any body */
    Table *slots;           /* name -> index + 1 */
    bool *set;              /* by slot: set on some way to the present statement */
    int loops;              /* `for` around the present statement */
} Checker;

static void report(const Checker *checker, Span span, const char *message) {
    sources_report(&checker->file->sources, SEVERITY_ERROR, span, "%s", message);
}

static void hint(const Checker *checker, const char *text) {
    diagnostics_hint(checker->file->sources.diagnostics, "%s", text);
}

static int32_t find_slot(const Checker *checker, const char *name) {
    uintptr_t found = checker->slots ? (uintptr_t)table_get(checker->slots, name) : 0;
    return (int32_t)found - 1;
}

/* Adds a variable, or one more place where it is set, and returns its slot. */
static int32_t add_setting(Checker *checker, const char *name, Span span) {
    Arena *arena = checker->file->arena;
    int32_t slot = find_slot(checker, name);
    if (slot < 0) {
        slot = (int32_t)checker->definition->variables.count;
        Variable variable = {name, NULL};
        vector_push(arena, &checker->definition->variables, variable);
        table_put(checker->slots, name, (void *)(uintptr_t)(slot + 1));
    }
    Setting *setting = arena_new(arena, Setting);
    setting->span = span;
    Variable *variable = &checker->definition->variables.items[slot];
    setting->next = variable->settings;
    variable->settings = setting;
    return slot;
}

static void collect_body(Checker *checker, Body *body);

static void collect_statement(Checker *checker, Statement *statement) {
    for (size_t i = 0; i < statement->targets.count; i++) {
        Target *target = &statement->targets.items[i];
        target->slot = add_setting(checker, target->name, target->span);
    }
    if (statement->body)
        collect_body(checker, statement->body);
    for (size_t i = 0; i < statement->branches.count; i++)
        collect_body(checker, statement->branches.items[i].body);
    if (statement->otherwise)
        collect_body(checker, statement->otherwise);
}

static void collect_body(Checker *checker, Body *body) {
    for (size_t i = 0; i < body->statements.count; i++)
        collect_statement(checker, body->statements.items[i]);
}

static void check_expr(Checker *checker, Expr *expr);

/* The place where a variable is set first in the text. */
static Span first_setting(const Variable *variable) {
    const Setting *setting = variable->settings;
    while (setting->next)
        setting = setting->next;
    return setting->span;
}

static void report_unknown_name(Checker *checker, Span span, const char *name) {
    if (checker->file->damaged || (checker->definition && checker->definition->damaged))
        return;
    if (strcmp(name, "None") == 0) {
        report(checker, span, "there is no None");
        hint(checker, "leave the argument out, or use a value of its own such as 0 or identity");
        return;
    }
    VECTOR(const char *) more = {0};
    vector_push(checker->file->arena, &more, "true");
    vector_push(checker->file->arena, &more, "false");
    for (size_t i = 0; checker->definition && i < checker->definition->variables.count; i++)
        vector_push(checker->file->arena, &more, checker->definition->variables.items[i].name);
    callee_report_unknown(checker->file, span, name, "no variable, block or op is called",
                          more.items, more.count);
}

static void mark_read(Checker *checker, int32_t slot) {
    if (slot >= 0 && (size_t)slot < checker->definition->parameters.count)
        checker->definition->parameters.items[slot].read = true;
}

/* A variable that has a value on no way to here. */
static bool check_set(Checker *checker, int32_t slot, Span span, const char *name) {
    if (slot < 0 || checker->set[slot])
        return true;
    const Sources *sources = &checker->file->sources;
    Span first = first_setting(&checker->definition->variables.items[slot]);
    sources_report(sources, SEVERITY_ERROR, span, "%s has no value here", name);
    diagnostics_note(sources->diagnostics, "%s sets it", sources_line(sources, first, span));
    return false;
}

static void check_name(Checker *checker, Expr *expr) {
    const char *name = expr->name.text;
    expr->name.slot = find_slot(checker, name);
    mark_read(checker, expr->name.slot);
    Callee callee = callee_find(checker->file, name);
    if (callee.kind == CALLEE_BLOCK || callee.kind == CALLEE_LAYER)
        return;
    if (expr->name.slot >= 0) {
        check_set(checker, expr->name.slot, expr->span, name);
        return;
    }
    if (callee.kind == CALLEE_FUNCTION) {
        sources_report(&checker->file->sources, SEVERITY_ERROR, expr->span,
                       "%s is a function of numbers and takes its arguments at once", name);
        return;
    }
    if (program_find(checker->file, name)) {
        sources_report(&checker->file->sources, SEVERITY_ERROR, expr->span,
                       "%s is a network, it is no value", name);
        hint(checker, "put what is shared into a block");
        return;
    }
    report_unknown_name(checker, expr->span, name);
}

static void check_arguments(Checker *checker, ArgumentList *arguments) {
    for (size_t i = 0; i < arguments->count; i++)
        check_expr(checker, arguments->items[i].value);
}

static void report_unknown_callee(Checker *checker, const Call *call) {
    if (checker->file->damaged)
        return;
    const Definition *network = program_find(checker->file, call->name);
    if (network) {
        sources_report(&checker->file->sources, SEVERITY_ERROR, call->name_span,
                       "%s is a network, it cannot be called", call->name);
        hint(checker, "put what is shared into a block");
        return;
    }
    callee_report_unknown(checker->file, call->name_span, call->name, "no block or op is called",
                          NULL, 0);
}

static void check_call(Checker *checker, Call *call, bool piped) {
    if (diagnostics_full(checker->file->sources.diagnostics))
        return;
    check_arguments(checker, &call->arguments);
    call->slot = find_slot(checker, call->name);
    mark_read(checker, call->slot);
    Callee callee = callee_find(checker->file, call->name);
    if (call->slot >= 0) {
        if (callee.kind == CALLEE_NONE)
            check_set(checker, call->slot, call->name_span, call->name);
        return;
    }
    if (callee.kind == CALLEE_NONE) {
        if (!(checker->definition && checker->definition->damaged))
            report_unknown_callee(checker, call);
        return;
    }
    callee_check(checker->file, &callee, call, piped);
}

static void check_label(Checker *checker, Label *label) {
    for (size_t i = 0; i < label->pieces.count; i++)
        if (label->pieces.items[i].kind == PIECE_EXPR)
            check_expr(checker, label->pieces.items[i].expr);
}

static void check_pipe(Checker *checker, Expr *expr) {
    check_expr(checker, expr->pipe.first);
    for (size_t i = 0; i < expr->pipe.stages.count; i++) {
        const PipeStage *stage = &expr->pipe.stages.items[i];
        if (stage->label)
            check_label(checker, stage->label);
        check_call(checker, stage->call, true);
    }
}

static void check_expr(Checker *checker, Expr *expr) {
    if (diagnostics_full(checker->file->sources.diagnostics))
        return;
    switch (expr->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_BOOLEAN:
        break;
    case EXPR_NAME:
        check_name(checker, expr);
        break;
    case EXPR_GROUP:
    case EXPR_NEGATE:
    case EXPR_NOT:
        check_expr(checker, expr->inner);
        break;
    case EXPR_LIST:
        for (size_t i = 0; i < expr->list.count; i++)
            check_expr(checker, expr->list.items[i]);
        break;
    case EXPR_CALL:
        check_call(checker, expr->call, false);
        break;
    case EXPR_CHAIN:
        check_expr(checker, expr->chain.first);
        for (size_t i = 0; i < expr->chain.links.count; i++)
            check_expr(checker, expr->chain.links.items[i].operand);
        break;
    case EXPR_POWER:
    case EXPR_COMPARE:
    case EXPR_RANGE:
        check_expr(checker, expr->binary.left);
        check_expr(checker, expr->binary.right);
        break;
    case EXPR_CONDITIONAL:
        for (size_t i = 0; i < expr->conditional.arms.count; i++) {
            check_expr(checker, expr->conditional.arms.items[i].condition);
            check_expr(checker, expr->conditional.arms.items[i].value);
        }
        check_expr(checker, expr->conditional.otherwise);
        break;
    case EXPR_PIPE:
        check_pipe(checker, expr);
        break;
    case EXPR_INDEX:
        check_expr(checker, expr->index.base);
        check_expr(checker, expr->index.index);
        break;
    case EXPR_MEMBER:
        check_expr(checker, expr->member.base);
        break;
    }
}

static void mark_set(Checker *checker, const TargetList *targets) {
    for (size_t i = 0; i < targets->count; i++)
        checker->set[targets->items[i].slot] = true;
}

/* Marks what a body sets; a loop's body may read what an earlier turn has set. */
static void mark_body_set(Checker *checker, const Body *body) {
    for (size_t i = 0; i < body->statements.count; i++) {
        const Statement *statement = body->statements.items[i];
        mark_set(checker, &statement->targets);
        if (statement->body)
            mark_body_set(checker, statement->body);
        for (size_t k = 0; k < statement->branches.count; k++)
            mark_body_set(checker, statement->branches.items[k].body);
        if (statement->otherwise)
            mark_body_set(checker, statement->otherwise);
    }
}

static void check_body(Checker *checker, const Body *body, bool ends);

static void check_place(Checker *checker, const Statement *statement, bool last) {
    bool network = checker->definition->kind == DEFINITION_NETWORK;
    if (statement->kind == STATEMENT_RETURN && network) {
        report(checker, statement->span, "a network has no return");
        hint(checker, "mark its maps with `feature x`, logits go into head { }");
    } else if (statement->kind == STATEMENT_FEATURE && !network) {
        report(checker, statement->span, "a block has no feature");
        hint(checker, "return the map and mark it in the network");
    } else if (statement->kind == STATEMENT_HEAD && !network) {
        report(checker, statement->span, "a block has no head");
        hint(checker, "the head stands in the network, as its last statement");
    } else if (statement->kind == STATEMENT_HEAD && !last) {
        report(checker, statement->span, "the head is the last statement of a network");
    }
}

/* `last`: nothing runs after this statement. */
static void check_statement(Checker *checker, const Statement *statement, bool last) {
    check_place(checker, statement, last);
    if (statement->expr)
        check_expr(checker, statement->expr);
    mark_set(checker, &statement->targets);
    if (statement->kind == STATEMENT_FOR) {
        if (checker->loops++ == 0)
            mark_body_set(checker, statement->body);
        check_body(checker, statement->body, false);
        checker->loops--;
    }
    for (size_t i = 0; i < statement->branches.count; i++) {
        check_expr(checker, statement->branches.items[i].condition);
        check_body(checker, statement->branches.items[i].body, last);
    }
    if (statement->otherwise)
        check_body(checker, statement->otherwise, last);
}

static void check_body(Checker *checker, const Body *body, bool ends) {
    for (size_t i = 0; i < body->statements.count; i++)
        check_statement(checker, body->statements.items[i],
                        ends && i + 1 == body->statements.count);
}

static void check_parameters(Checker *checker) {
    Definition *definition = checker->definition;
    if (definition->parameters.count == 0) {
        report(checker, definition->name_span,
               definition->kind == DEFINITION_BLOCK
                   ? "a block needs an input, its first parameter"
                   : "a network needs an image, its first parameter");
        return;
    }
    if (definition->parameters.count > MOST_PARAMETERS) {
        sources_report(&checker->file->sources, SEVERITY_ERROR, definition->name_span,
                       "%s has more than %d parameters", definition->name, MOST_PARAMETERS);
        return;
    }
    for (size_t i = 0; i < definition->parameters.count; i++) {
        const Parameter *parameter = &definition->parameters.items[i];
        if (find_slot(checker, parameter->name) >= 0) {
            sources_report(&checker->file->sources, SEVERITY_ERROR, parameter->span,
                           "the parameter %s is there twice", parameter->name);
            return;
        }
        add_setting(checker, parameter->name, parameter->span);
    }
    if (definition->kind == DEFINITION_BLOCK && definition->parameters.items[0].standard)
        report(checker, definition->parameters.items[0].standard->span,
               "the input of a block has no default: a call without it waits for it");
}

static void check_defaults(Checker *checker) {
    ParameterList *parameters = &checker->definition->parameters;
    for (size_t i = 0; i < parameters->count; i++) {
        if (parameters->items[i].standard)
            check_expr(checker, parameters->items[i].standard);
        checker->set[i] = true;
    }
}

static void warn_unread(Checker *checker) {
    const ParameterList *parameters = &checker->definition->parameters;
    if (checker->definition->damaged || diagnostics_full(checker->file->sources.diagnostics))
        return;
    for (size_t i = 0; i < parameters->count; i++)
        if (!parameters->items[i].read)
            sources_report(&checker->file->sources, SEVERITY_WARNING, parameters->items[i].span,
                           "nothing reads the parameter %s", parameters->items[i].name);
}

static void note_hidden(Checker *checker) {
    const Definition *definition = checker->definition;
    if (definition->kind == DEFINITION_BLOCK &&
        (layer_find(definition->name) || function_find(definition->name)))
        sources_report(&checker->file->sources, SEVERITY_NOTE, definition->name_span,
                       "block %s hides the %s of that name", definition->name,
                       layer_find(definition->name) ? "op" : "function");
}

static void check_definition(FrontendFile *file, Definition *definition) {
    Checker checker = {.file = file, .definition = definition, .slots = table_create(file->arena)};
    note_hidden(&checker);
    check_parameters(&checker);
    collect_body(&checker, definition->body);
    checker.set = arena_new_array(file->arena, bool, definition->variables.count);
    if (definition->parameters.count > definition->variables.count)
        return;
    check_defaults(&checker);
    check_body(&checker, definition->body, true);
    warn_unread(&checker);
}

void check_outside(FrontendFile *file, const ArgumentList *arguments) {
    Checker checker = {.file = file};
    for (size_t i = 0; i < arguments->count; i++)
        check_expr(&checker, arguments->items[i].value);
}

const Definition *program_base(FrontendFile *file, const Definition *network) {
    const Definition *base = network;
    for (size_t steps = 0; base && base->kind == DEFINITION_VARIANT; steps++) {
        if (steps == MOST_VARIATIONS)
            return NULL;
        base = program_find(file, base->base);
    }
    return base && base->kind == DEFINITION_NETWORK ? base : NULL;
}

/* A variant of variants that never ends, or only beyond the limit. */
static void report_long_chain(FrontendFile *file, const Definition *variant) {
    const Definition *step = program_find(file, variant->base);
    size_t steps = 0;
    for (; step && step != variant && steps < MOST_VARIATIONS; steps++)
        step = step->kind == DEFINITION_VARIANT ? program_find(file, step->base) : NULL;
    if (step == variant)
        sources_report(&file->sources, SEVERITY_ERROR, variant->base_span,
                       "%s is a variant of itself", variant->name);
    else if (steps == MOST_VARIATIONS)
        sources_report(&file->sources, SEVERITY_ERROR, variant->base_span,
                       "a variant of a variant ... more than %d deep", MOST_VARIATIONS);
}

static void report_base(FrontendFile *file, const Definition *variant) {
    const Definition *base = program_find(file, variant->base);
    if (!base && file->damaged)
        return;
    if (!base) {
        VECTOR(const char *) names = {0};
        for (size_t i = 0; i < file->definitions.count; i++)
            if (file->definitions.items[i]->kind != DEFINITION_BLOCK &&
                file->definitions.items[i] != variant)
                vector_push(file->arena, &names, file->definitions.items[i]->name);
        sources_report(&file->sources, SEVERITY_ERROR, variant->base_span,
                       "no network is called %s", variant->base);
        const char *nearest = text_nearest(variant->base, names.items, names.count);
        if (nearest)
            diagnostics_hint(file->sources.diagnostics, "did you mean %s?", nearest);
    } else if (base->kind == DEFINITION_BLOCK) {
        sources_report(&file->sources, SEVERITY_ERROR, variant->base_span,
                       "%s is a block, a variant is of a network", variant->base);
    } else {
        report_long_chain(file, variant);
    }
}

void check_report_parameter(FrontendFile *file, const Definition *base, const char *network,
                            const char *name, Span span) {
    VECTOR(const char *) names = {0};
    for (size_t i = 0; i < base->parameters.count; i++)
        vector_push(file->arena, &names, base->parameters.items[i].name);
    sources_report(&file->sources, SEVERITY_ERROR, span, "%s has no parameter %s", network, name);
    const char *nearest = text_nearest(name, names.items, names.count);
    if (nearest)
        diagnostics_hint(file->sources.diagnostics, "did you mean %s?", nearest);
}

/* Checks the arguments of a variant against the parameters of the network it comes from. */
static void check_variant(FrontendFile *file, const Definition *variant) {
    check_outside(file, &variant->arguments);
    const Definition *base = program_base(file, variant);
    if (!base) {
        report_base(file, variant);
        return;
    }
    Callee callee = {CALLEE_BLOCK, variant->base, base, NULL, NULL};
    Call call = {variant->base, variant->base_span, variant->base_span, variant->arguments, -1};
    bool image = false; /* given by name: it then has no place of its own before the others */
    for (size_t i = 0; i < variant->arguments.count; i++) {
        const Argument *argument = &variant->arguments.items[i];
        int index = argument->name ? definition_parameter(base, argument->name) : -1;
        if (argument->name && index < 0) {
            check_report_parameter(file, base, variant->base, argument->name, argument->span);
            return;
        }
        image |= index == 0;
    }
    callee_check(file, &callee, &call, !image);
}

void check_program(FrontendFile *file) {
    for (size_t i = 0; i < file->definitions.count; i++) {
        Definition *definition = file->definitions.items[i];
        if (definition->kind == DEFINITION_VARIANT)
            check_variant(file, definition);
        else
            check_definition(file, definition);
    }
}
