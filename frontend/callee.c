#include "frontend/callee.h"

#include <string.h>

#include "base/text.h"
#include "frontend/functions.h"
#include "frontend/layers.h"

Callee callee_find(const FrontendFile *file, const char *name) {
    Callee callee = {.name = name};
    const Definition *block = program_find(file, name);
    if (block && block->kind == DEFINITION_BLOCK)
        callee.kind = CALLEE_BLOCK, callee.block = block;
    else if ((callee.layer = layer_find(name)))
        callee.kind = CALLEE_LAYER;
    else if ((callee.function = function_find(name)))
        callee.kind = CALLEE_FUNCTION;
    return callee;
}

static const ArgumentInfo *argument_rows(const Callee *callee, size_t *limit) {
    *limit = callee->kind == CALLEE_LAYER ? CALLEE_MOST_PARAMETERS : 3;
    return callee->kind == CALLEE_LAYER ? callee->layer->parameters : callee->function->parameters;
}

size_t callee_parameters(const Callee *callee) {
    if (callee->kind == CALLEE_BLOCK)
        return callee->block->parameters.count;
    size_t limit, count = 0;
    const ArgumentInfo *rows = argument_rows(callee, &limit);
    while (count < limit && rows[count].name)
        count++;
    return count;
}

const char *callee_parameter(const Callee *callee, size_t index) {
    if (callee->kind == CALLEE_BLOCK)
        return callee->block->parameters.items[index].name;
    size_t limit;
    return argument_rows(callee, &limit)[index].name;
}

int callee_parameter_index(const Callee *callee, const char *name) {
    if (callee->kind == CALLEE_BLOCK)
        return definition_parameter(callee->block, name);
    for (size_t i = 0; i < callee_parameters(callee); i++)
        if (strcmp(callee_parameter(callee, i), name) == 0)
            return (int)i;
    return -1;
}

bool callee_open(const Callee *callee) {
    if (callee->kind == CALLEE_LAYER)
        return callee->layer->parameters[0].kind == ARGUMENT_TENSORS;
    return callee->kind == CALLEE_FUNCTION && callee->function->open;
}

/* Other languages' names for what this one has. */
static const char *const foreign_names[][2] = {{"padding", "pad"},
                                               {"kernel_size", "kernel"},
                                               {"out_channels", "channels"},
                                               {"out_features", "channels"},
                                               {"scale_factor", "factor"},
                                               {"output_padding", "output_pad"},
                                               {"output_size", "factor"},
                                               {"p", "rate"},
                                               {"negative_slope", "slope"},
                                               {"num_groups", "groups"},
                                               {"momentum", "momentum"},
                                               {"chunks", "parts"},
                                               {"split_size", "sizes"},
                                               {"Conv2d", "conv"},
                                               {"conv2d", "conv"},
                                               {"ConvTranspose2d", "conv_transpose"},
                                               {"deconv", "conv_transpose"},
                                               {"Linear", "linear"},
                                               {"dense", "linear"},
                                               {"BatchNorm2d", "batch_norm"},
                                               {"bn", "batch_norm"},
                                               {"LayerNorm", "layer_norm"},
                                               {"GroupNorm", "group_norm"},
                                               {"InstanceNorm2d", "instance_norm"},
                                               {"ReLU", "relu"},
                                               {"ReLU6", "relu6"},
                                               {"GELU", "gelu"},
                                               {"SiLU", "silu"},
                                               {"swish", "silu"},
                                               {"Hardswish", "hard_swish"},
                                               {"hardswish", "hard_swish"},
                                               {"hardsigmoid", "hard_sigmoid"},
                                               {"Sigmoid", "sigmoid"},
                                               {"LeakyReLU", "leaky_relu"},
                                               {"MaxPool2d", "max_pool"},
                                               {"maxpool", "max_pool"},
                                               {"AvgPool2d", "avg_pool"},
                                               {"avgpool", "avg_pool"},
                                               {"AdaptiveAvgPool2d", "global_avg_pool"},
                                               {"adaptive_avg_pool", "global_avg_pool"},
                                               {"cat", "concat"},
                                               {"interpolate", "upsample"},
                                               {"Upsample", "upsample"},
                                               {"Flatten", "flatten"},
                                               {"Dropout", "dropout"},
                                               {"DropPath", "drop_path"},
                                               {"droppath", "drop_path"},
                                               {"Identity", "identity"},
                                               {"LayerScale", "layer_scale"},
                                               {"True", "true"},
                                               {"False", "false"}};

const char *callee_suggest(const char *name, const char *const *candidates, size_t count) {
    for (size_t i = 0; i < sizeof foreign_names / sizeof foreign_names[0]; i++)
        for (size_t k = 0; k < count && strcmp(foreign_names[i][0], name) == 0; k++)
            if (strcmp(foreign_names[i][1], candidates[k]) == 0)
                return candidates[k];
    return text_nearest(name, candidates, count);
}

typedef VECTOR(const char *) NameList;

void callee_report_unknown(const FrontendFile *file, Span span, const char *name,
                           const char *message, const char *const *more, size_t more_count) {
    Arena *arena = file->arena;
    NameList names = {0};
    for (size_t i = 0; i < more_count; i++)
        vector_push(arena, &names, more[i]);
    for (size_t i = 0; i < file->definitions.count; i++)
        if (file->definitions.items[i]->kind == DEFINITION_BLOCK)
            vector_push(arena, &names, file->definitions.items[i]->name);
    for (size_t i = 0; layer_at(i); i++)
        vector_push(arena, &names, layer_at(i)->name);
    for (size_t i = 0; function_at(i); i++)
        vector_push(arena, &names, function_at(i)->name);
    sources_report(&file->sources, SEVERITY_ERROR, span, "%s %s", message, name);
    const char *nearest = callee_suggest(name, names.items, names.count);
    if (strcmp(name, "range") == 0)
        diagnostics_hint(file->sources.diagnostics,
                         "the whole numbers from a up to b, without b, are a..b");
    else if (nearest)
        diagnostics_hint(file->sources.diagnostics, "did you mean %s?", nearest);
}

static void report_unknown_argument(const FrontendFile *file, const Callee *callee,
                                    const Argument *argument) {
    NameList names = {0};
    for (size_t i = 0; i < callee_parameters(callee); i++)
        vector_push(file->arena, &names, callee_parameter(callee, i));
    sources_report(&file->sources, SEVERITY_ERROR, argument->span, "%s has no argument %s",
                   callee->name, argument->name);
    const char *nearest = callee_suggest(argument->name, names.items, names.count);
    if (nearest)
        diagnostics_hint(file->sources.diagnostics, "did you mean %s?", nearest);
    else if (callee->kind == CALLEE_LAYER && strcmp(argument->name, "in_channels") == 0)
        diagnostics_hint(file->sources.diagnostics, "leave it out, it is known from the input");
}

static bool is_repeated(const Call *call, size_t index) {
    for (size_t i = 0; i < index; i++) {
        const char *name = call->arguments.items[i].name;
        if (name && strcmp(name, call->arguments.items[index].name) == 0)
            return true;
    }
    return false;
}

static bool check_named(const FrontendFile *file, const Callee *callee, const Call *call,
                        size_t index, bool piped) {
    const Argument *argument = &call->arguments.items[index];
    int parameter = callee_parameter_index(callee, argument->name);
    if (parameter < 0) {
        report_unknown_argument(file, callee, argument);
        return false;
    }
    if (is_repeated(call, index)) {
        sources_report(&file->sources, SEVERITY_ERROR, argument->span, "%s is given twice",
                       argument->name);
        return false;
    }
    if (parameter == 0 && piped) {
        sources_report(&file->sources, SEVERITY_ERROR, argument->span,
                       "%s comes from the pipe already", argument->name);
        return false;
    }
    return true;
}

/* "conv takes 8 arguments after its input". */
static void report_too_many(const FrontendFile *file, const Callee *callee, Span span) {
    size_t count = callee_parameters(callee);
    if (callee->kind == CALLEE_FUNCTION)
        sources_report(&file->sources, SEVERITY_ERROR, span, "%s takes %zu argument%s",
                       callee->name, count, count == 1 ? "" : "s");
    else
        sources_report(&file->sources, SEVERITY_ERROR, span,
                       count == 1   ? "%s takes nothing but its input"
                       : count == 2 ? "%s takes 1 argument after its input"
                                    : "%s takes %zu arguments after its input",
                       callee->name, count - 1);
}

bool callee_check(const FrontendFile *file, const Callee *callee, const Call *call, bool piped) {
    size_t places = piped;
    bool named = false;
    for (size_t i = 0; i < call->arguments.count; i++) {
        const Argument *argument = &call->arguments.items[i];
        if (argument->name) {
            named = true;
            if (!check_named(file, callee, call, i, piped))
                return false;
            continue;
        }
        if (named) {
            sources_report(&file->sources, SEVERITY_ERROR, argument->span,
                           "arguments by place come before those by name");
            return false;
        }
        if (++places > callee_parameters(callee) && !callee_open(callee)) {
            report_too_many(file, callee, argument->span);
            return false;
        }
    }
    return true;
}
