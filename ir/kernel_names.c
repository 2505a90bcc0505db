#include "ir/kernel_names.h"

const char *kernel_region_name(Region region) {
    static const char *const names[KERNEL_REGIONS] = {
        [REGION_PARAMS] = "params",   [REGION_STATE] = "state",     [REGION_INPUTS] = "inputs",
        [REGION_OUTPUTS] = "outputs", [REGION_SCRATCH] = "scratch",
    };
    return names[region];
}

const char *kernel_space_name(SpaceKind kind) {
    static const char *const names[KERNEL_SPACE_KINDS] = {
        [SPACE_DENSE] = "dense", [SPACE_MASKED] = "masked", [SPACE_IMAGES] = "images",
        [SPACE_ONE] = "one",     [SPACE_FLAT] = "flat",
    };
    return names[kind];
}

const char *kernel_access_name(AccessKind kind) {
    static const char *const names[KERNEL_ACCESS_KINDS] = {
        [ACCESS_ELEMENT] = "element", [ACCESS_IMAGE] = "image",       [ACCESS_ONE] = "one",
        [ACCESS_SEGMENT] = "segment", [ACCESS_POSITION] = "position",
    };
    return names[kind];
}

const char *kernel_channel_name(ChannelKind kind) {
    static const char *const names[KERNEL_CHANNEL_KINDS] = {
        [CHANNEL_SAME] = "same",
        [CHANNEL_FIRST] = "first",
        [CHANNEL_REPEAT] = "repeat",
        [CHANNEL_SHUFFLE] = "shuffle",
    };
    return names[kind];
}

const char *kernel_kind_name(KernelKind kind) {
    static const char *const names[KERNEL_KINDS] = {
        [KERNEL_MAP] = "map",
        [KERNEL_CONTRACT] = "contract",
        [KERNEL_CONTRACT_WEIGHT] = "contract_weight",
        [KERNEL_WINDOW] = "window",
        [KERNEL_REDUCE] = "reduce",
        [KERNEL_POSITION_MAP] = "position_map",
    };
    return names[kind];
}

const char *kernel_window_name(WindowKind kind) {
    static const char *const names[KERNEL_WINDOW_KINDS] = {
        [WINDOW_WEIGHTED] = "weighted",
        [WINDOW_WEIGHT_GRAD] = "weight_grad",
        [WINDOW_SUM] = "sum",
        [WINDOW_AVERAGE] = "average",
        [WINDOW_AVERAGE_GRAD] = "average_grad",
        [WINDOW_MAX] = "max",
        [WINDOW_MAX_BY] = "max_by",
        [WINDOW_MAX_GRAD] = "max_grad",
        [WINDOW_BILINEAR] = "bilinear",
        [WINDOW_BILINEAR_GRAD] = "bilinear_grad",
    };
    return names[kind];
}

const char *kernel_reduce_name(ReduceKind kind) {
    static const char *const names[KERNEL_REDUCE_KINDS] = {
        [REDUCE_SUM] = "sum",
        [REDUCE_MOMENTS] = "moments",
        [REDUCE_MERGE] = "merge",
    };
    return names[kind];
}

const char *kernel_over_name(ReduceOver over) {
    static const char *const names[KERNEL_OVER_KINDS] = {
        [OVER_BATCH] = "batch", [OVER_IMAGE] = "image", [OVER_ROW] = "row",
        [OVER_CELL] = "cell",   [OVER_ALL] = "all",     [OVER_SEGMENT] = "segment",
    };
    return names[over];
}

bool kernel_window_has_b(WindowKind kind) {
    return kind == WINDOW_WEIGHT_GRAD || kind == WINDOW_MAX_GRAD || kind == WINDOW_MAX_BY;
}

bool kernel_window_has_weight(WindowKind kind) {
    return kind == WINDOW_WEIGHTED || kind == WINDOW_WEIGHT_GRAD;
}

bool kernel_window_has_pool(WindowKind kind) {
    return kind == WINDOW_AVERAGE || kind == WINDOW_AVERAGE_GRAD;
}

bool kernel_window_has_factor(WindowKind kind) {
    return kind == WINDOW_BILINEAR || kind == WINDOW_BILINEAR_GRAD;
}
