/* Calls: which function a name stands for, its arguments, and blocks. */
#include <string.h>

#include "frontend/evaluate.h"
#include "frontend/functions.h"
#include "frontend/layers.h"
#include "frontend/naming.h"

/* A call being bound. */
typedef struct Binding {
    Evaluator *evaluator;
    const Call *call;
    const Label *label;
    const char *label_text;
    Callee callee;
    Datum input; /* DATUM_UNSET: none yet */
    Span input_span;
    BoundArgument *bound;
    size_t count, capacity, placed, parameters;
} Binding;

/* The value of the variable that a callee's name stands for; unset if there is none. */
static Datum variable_of(const Evaluator *evaluator, const Call *call) {
    return call->slot >= 0 ? evaluator->frame->slots[call->slot] : (Datum){0};
}

/* What the call goes to. A variable is meant only if it holds a function. */
static const Function *find_function(Evaluator *evaluator, const Call *call, Callee *callee) {
    Datum variable = variable_of(evaluator, call);
    if (variable.kind == DATUM_FUNCTION) {
        *callee = variable.function->callee;
        return variable.function;
    }
    *callee =
        variable.kind == DATUM_UNKNOWN ? (Callee){0} : callee_find(evaluator->file, call->name);
    if (callee->kind == CALLEE_NONE && variable.kind == DATUM_UNSET)
        evaluate_fail(evaluator, call->name_span, "%s has no value here", call->name);
    else if (callee->kind == CALLEE_NONE && variable.kind != DATUM_UNKNOWN)
        evaluate_fail(evaluator, call->name_span, "%s cannot be called, it is %s", call->name,
                      datum_text(evaluator->arena, variable));
    return NULL;
}

static void start_binding(Binding *binding, const Function *function) {
    Arena *arena = binding->evaluator->arena;
    binding->parameters = callee_parameters(&binding->callee);
    size_t earlier = function ? function->count : binding->parameters;
    binding->capacity = earlier + binding->call->arguments.count;
    binding->count = earlier;
    binding->bound = arena_new_array(arena, BoundArgument, binding->capacity);
    if (function && function->count)
        memcpy(binding->bound, function->bound, function->count * sizeof(BoundArgument));
    binding->placed = function ? function->placed : 0;
}

/* Puts an argument by place behind the earlier ones. */
static bool place(Binding *binding, Datum value, Span span) {
    size_t index = 1 + binding->placed++;
    if (index < binding->parameters && binding->bound[index].value.kind != DATUM_UNSET) {
        evaluate_fail(binding->evaluator, span, "%s is given twice",
                      callee_parameter(&binding->callee, index));
        evaluate_note(
            binding->evaluator, "the first is at %s",
            sources_line(&binding->evaluator->file->sources, binding->bound[index].span, span));
        return false;
    }
    if (index >= binding->parameters && !callee_open(&binding->callee)) {
        evaluate_fail(binding->evaluator, span, "%s takes %zu argument%s after its input",
                      binding->callee.name, binding->parameters - 1,
                      binding->parameters == 2 ? "" : "s");
        return false;
    }
    if (index >= binding->count)
        binding->count = index + 1;
    binding->bound[index] = (BoundArgument){value, span, false};
    return true;
}

static void set_input(Binding *binding, Datum value, Span span) {
    binding->input = value;
    binding->input_span = span;
}

/* Binds one argument. Returns false after an error. */
static bool bind_argument(Binding *binding, size_t number) {
    const Argument *argument = &binding->call->arguments.items[number];
    Datum value = evaluate(binding->evaluator, argument->value);
    Span span = argument->value->span;
    if (!argument->name) {
        bool may_be_input = binding->input.kind == DATUM_UNSET && number == 0;
        if (may_be_input && (datum_is_input(value) || value.kind == DATUM_UNKNOWN)) {
            set_input(binding, value, span);
            return true;
        }
        return place(binding, value, span);
    }
    int index = callee_parameter_index(&binding->callee, argument->name);
    if (index == 0) {
        set_input(binding, value, span);
        return true;
    }
    BoundArgument *bound = &binding->bound[index];
    for (size_t i = 0; i < number; i++)
        if (bound->value.kind != DATUM_UNSET && !bound->by_name &&
            bound->span.begin == binding->call->arguments.items[i].value->span.begin &&
            bound->span.file == argument->span.file) {
            evaluate_fail(binding->evaluator, argument->span, "%s is given twice", argument->name);
            return false;
        }
    *bound = (BoundArgument){value, span, true};
    return true;
}

static Datum waiting_function(const Binding *binding) {
    Function *function = arena_new(binding->evaluator->arena, Function);
    *function = (Function){binding->callee, binding->call->name_span, binding->placed,
                           binding->count, binding->bound};
    return (Datum){.kind = DATUM_FUNCTION, .function = function};
}

static const char *const kind_texts[] = {[ARGUMENT_TENSOR] = "a tensor",
                                         [ARGUMENT_TENSORS] = "a tensor or a list of tensors",
                                         [ARGUMENT_COUNT] = "a whole number",
                                         [ARGUMENT_WINDOW] = "a number or [height, width]",
                                         [ARGUMENT_MARGIN] = "a number or [height, width]",
                                         [ARGUMENT_BOOLEAN] = "true or false",
                                         [ARGUMENT_NUMBER] = "a number",
                                         [ARGUMENT_SPREAD] = "a number",
                                         [ARGUMENT_POSITIVE] = "a number",
                                         [ARGUMENT_SHARE] = "a number from 0 to 1",
                                         [ARGUMENT_RATE] = "a number from 0 up to 1",
                                         [ARGUMENT_MODE] = "a string",
                                         [ARGUMENT_COUNTS] = "a list of channel counts",
                                         [ARGUMENT_ANY] = "a value"};

/* Reports the first argument of an op or function that must be there and is not. */
static bool check_missing(Evaluator *evaluator, const ArgumentInfo *rows, size_t count,
                          const Datum *values, const char *name, Span span) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].standard || values[i].kind != DATUM_UNSET)
            continue;
        evaluate_fail(evaluator, span, "%s needs %s, %s", name, rows[i].name,
                      kind_texts[rows[i].kind]);
        return false;
    }
    return true;
}

static Datum refuse_input(const Binding *binding) {
    Evaluator *evaluator = binding->evaluator;
    Datum input = binding->input;
    if (datum_is_input(input) && input.kind == DATUM_LIST) {
        evaluate_fail(evaluator, binding->call->name_span,
                      "%s needs a tensor, this is a list of %zu", binding->callee.name,
                      input.list->count);
        evaluate_hint(evaluator, "name the parts: a, b = ...");
        return datum_unknown;
    }
    evaluate_fail(evaluator, binding->input_span, "the input of %s must be a tensor, this is %s",
                  binding->callee.name, datum_text(evaluator->arena, input));
    if (input.kind == DATUM_FUNCTION)
        evaluate_hint(evaluator, "%s has no input yet: write ... |> %s",
                      input.function->callee.name, input.function->callee.name);
    return datum_unknown;
}

static Datum call_layer(const Binding *binding) {
    Evaluator *evaluator = binding->evaluator;
    const LayerInfo *info = binding->callee.layer;
    LayerCall call = {.evaluator = evaluator,
                      .info = info,
                      .label = binding->label,
                      .label_text = binding->label_text,
                      .name_span = binding->call->name_span,
                      .span = binding->call->span};
    bool takes_list = info->parameters[0].kind == ARGUMENT_TENSORS;
    if (binding->input.kind != DATUM_TENSOR && !(takes_list && datum_is_input(binding->input)))
        return refuse_input(binding);
    call.values[0] = binding->input;
    call.spans[0] = binding->input_span;
    for (size_t i = 1; i < binding->parameters; i++) {
        call.values[i] = binding->bound[i].value;
        call.spans[i] = binding->bound[i].span;
        if (datum_is_unknown(call.values[i]))
            return datum_unknown;
    }
    size_t further =
        binding->count > binding->parameters ? binding->count - binding->parameters : 0;
    Datum *tensors = arena_new_array(evaluator->arena, Datum, further);
    Span *spans = arena_new_array(evaluator->arena, Span, further);
    for (size_t i = 0; i < further; i++) {
        tensors[i] = binding->bound[binding->parameters + i].value;
        spans[i] = binding->bound[binding->parameters + i].span;
        if (tensors[i].kind == DATUM_UNKNOWN)
            return datum_unknown;
    }
    call.further = tensors;
    call.further_spans = spans;
    call.further_count = further;
    if (!check_missing(evaluator, info->parameters, binding->parameters, call.values, info->name,
                       call.span))
        return datum_unknown;
    return info->emit(&call);
}

/* ---- Functions of numbers ---- */

static Datum call_function(Evaluator *evaluator, const Call *call, const Callee *callee,
                           const Datum *input, Span input_span) {
    const FunctionInfo *info = callee->function;
    size_t parameters = callee_parameters(callee), places = 0;
    Datum *list = arena_new_array(evaluator->arena, Datum, call->arguments.count + 1);
    FunctionCall bound = {.span = call->span};
    if (input) {
        bound.values[0] = list[0] = *input;
        bound.spans[0] = input_span;
        places = 1;
    }
    for (size_t i = 0; i < call->arguments.count; i++) {
        const Argument *argument = &call->arguments.items[i];
        int named = argument->name ? callee_parameter_index(callee, argument->name) : -1;
        size_t index = named >= 0 ? (size_t)named : places;
        Datum value = evaluate(evaluator, argument->value);
        if (datum_is_unknown(value))
            return datum_unknown;
        if (named < 0)
            list[places++] = value;
        if (index >= parameters)
            continue;
        if (bound.values[index].kind != DATUM_UNSET)
            return evaluate_fail(evaluator, argument->span, "%s is given twice", argument->name);
        bound.values[index] = value;
        bound.spans[index] = argument->value->span;
    }
    if (input && datum_is_unknown(*input))
        return datum_unknown;
    bound.count = places;
    if (info->open && places > 1)
        bound.values[0] = datum_list(evaluator->arena, list, places);
    if (!check_missing(evaluator, info->parameters, parameters, bound.values, info->name,
                       call->span))
        return datum_unknown;
    return info->evaluate(evaluator, info, &bound);
}

/* ---- Blocks ---- */

bool evaluate_defaults(Evaluator *evaluator, Frame *frame, Span span, const char *name) {
    const ParameterList *parameters = &frame->definition->parameters;
    for (size_t i = 0; i < parameters->count; i++) {
        const Parameter *parameter = &parameters->items[i];
        if (frame->slots[i].kind != DATUM_UNSET)
            continue;
        if (!parameter->standard) {
            evaluate_fail(evaluator, span, "%s needs %s", name, parameter->name);
            return false;
        }
        frame->slots[i] = evaluate(evaluator, parameter->standard);
    }
    return true;
}

/* An empty frame for a definition, at the present depth of calls. */
static Frame *open_frame(Evaluator *evaluator, const Definition *definition) {
    Frame *frame = &evaluator->frames[evaluator->calls];
    size_t count = definition->variables.count;
    if (frame->capacity < count) {
        frame->slots = arena_new_array(evaluator->arena, Datum, count * 2);
        frame->capacity = count * 2;
    }
    if (count)
        memset(frame->slots, 0, count * sizeof(Datum));
    frame->definition = definition;
    frame->returned = false;
    frame->result = datum_unknown;
    return frame;
}

static Datum run_block(Evaluator *evaluator, const Binding *binding, Frame *frame) {
    const Definition *block = binding->callee.block;
    const CallSite *site = evaluator->site;
    evaluator->site = site->parent;
    bool fine = evaluate_defaults(evaluator, frame, binding->call->span, block->name);
    evaluator->site = site;
    if (!fine)
        return datum_unknown;
    evaluate_body(evaluator, block->body);
    if (frame->returned || evaluator->aborted)
        return frame->result;
    evaluator->site = NULL;
    evaluate_fail(evaluator, block->name_span, "block %s ends without return", block->name);
    evaluator->site = site;
    Location at = sources_locate(&evaluator->file->sources, site->span);
    evaluate_note(evaluator, "called at %s:%u:%u%s%s", at.file, at.line, at.column,
                  site->label ? " as " : "", site->label ? site->label_text : "");
    return datum_unknown;
}

static Datum call_block(Binding *binding) {
    Evaluator *evaluator = binding->evaluator;
    const Definition *block = binding->callee.block;
    if (binding->input.kind != DATUM_UNKNOWN && !datum_is_input(binding->input))
        return refuse_input(binding);
    if (evaluator->calls == EVALUATE_DEEPEST_CALL) {
        evaluate_fail(evaluator, binding->call->span, "%s is called more than %d deep", block->name,
                      EVALUATE_DEEPEST_CALL);
        evaluate_hint(evaluator, "a block that calls itself needs an if that ends it");
        evaluator->aborted = true;
        return datum_unknown;
    }
    if (!evaluate_spend(evaluator, block->variables.count, binding->call->span))
        return datum_unknown;
    Frame *outer = evaluator->frame;
    evaluator->calls++;
    Frame *frame = open_frame(evaluator, block);
    frame->slots[0] = binding->input;
    for (size_t i = 1; i < binding->parameters; i++)
        frame->slots[i] = binding->bound[i].value;
    CallSite *site = arena_new(evaluator->arena, CallSite);
    *site = (CallSite){evaluator->site,          block->name,    binding->call->span,
                       binding->call->name_span, binding->label, binding->label_text};
    evaluator->site = site;
    evaluator->frame = frame;
    Scope *scope = binding->label ? naming_open(evaluator, binding->label_text) : NULL;
    Datum result = run_block(evaluator, binding, frame);
    if (scope)
        naming_close(evaluator);
    evaluator->frame = outer;
    evaluator->site = site->parent;
    evaluator->calls--;
    return result;
}

Datum evaluate_call(Evaluator *evaluator, const Call *call, const Datum *input, Span input_span,
                    const Label *label) {
    const char *label_text = NULL;
    if (label && !(label_text = naming_label(evaluator, label)))
        return datum_unknown;
    Binding binding = {
        .evaluator = evaluator, .call = call, .label = label, .label_text = label_text};
    const Function *function = find_function(evaluator, call, &binding.callee);
    if (binding.callee.kind == CALLEE_NONE)
        return datum_unknown;
    if (input && input->kind == DATUM_UNKNOWN)
        return datum_unknown;
    if (call->slot >= 0 && !evaluate_check_call(evaluator, &binding.callee, call, input != NULL))
        return datum_unknown;
    if (binding.callee.kind == CALLEE_FUNCTION)
        return call_function(evaluator, call, &binding.callee, input, input_span);
    start_binding(&binding, function);
    if (!evaluate_spend(evaluator, binding.count, call->span))
        return datum_unknown;
    if (input)
        set_input(&binding, *input, input_span);
    for (size_t i = 0; i < call->arguments.count; i++)
        if (!bind_argument(&binding, i))
            return datum_unknown;
    if (evaluator->aborted)
        return datum_unknown;
    if (binding.input.kind == DATUM_UNSET)
        return waiting_function(&binding);
    if (datum_is_unknown(binding.input))
        return datum_unknown;
    return binding.callee.kind == CALLEE_LAYER ? call_layer(&binding) : call_block(&binding);
}
