/* The words of the kernel IR's text, and which fields a window kind has. */
#ifndef SPARKC_IR_KERNEL_NAMES_H
#define SPARKC_IR_KERNEL_NAMES_H

#include "ir/kernel.h"

const char *kernel_region_name(Region region);
const char *kernel_space_name(SpaceKind kind);
const char *kernel_access_name(AccessKind kind);
const char *kernel_channel_name(ChannelKind kind);
const char *kernel_kind_name(KernelKind kind);
const char *kernel_window_name(WindowKind kind);
const char *kernel_reduce_name(ReduceKind kind);
const char *kernel_over_name(ReduceOver over);

enum {
    KERNEL_REGIONS = REGION_SCRATCH + 1,
    KERNEL_SPACE_KINDS = SPACE_FLAT + 1,
    KERNEL_ACCESS_KINDS = ACCESS_POSITION + 1,
    KERNEL_CHANNEL_KINDS = CHANNEL_SHUFFLE + 1,
    KERNEL_KINDS = KERNEL_POSITION_MAP + 1,
    KERNEL_WINDOW_KINDS = WINDOW_BILINEAR_GRAD + 1,
    KERNEL_REDUCE_KINDS = REDUCE_MERGE + 1,
    KERNEL_OVER_KINDS = OVER_SEGMENT + 1
};

/* A second source `b`; a weight; the pool geometry (kernel, stride, pad); the factor; taps. */
bool kernel_window_has_b(WindowKind kind);
bool kernel_window_has_weight(WindowKind kind);
bool kernel_window_has_pool(WindowKind kind);
bool kernel_window_has_factor(WindowKind kind);

#endif
