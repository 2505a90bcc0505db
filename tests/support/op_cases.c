#include "tests/support/op_cases.h"

static const OpCase pointwise_cases[] = {
    {OP_add, "f32<2x4x6x3>, f32<2x4x6x3>", ""},
    {OP_add, "f32<2x4x6x3>, f32[3]", ""},
    {OP_add, "f32[], f32<2x4x6x3>", ""},
    {OP_add, "f32<2x4x6x3 masked 2>, f32<2x3 per_image>", ""},
    {OP_add, "f32<2x4x6x3 masked 2>, f32<2x4x6x1 masked 2>", ""},
    {OP_sub, "f32<2x4x6x3>, f32<2x3 per_image>", ""},
    {OP_sub, "f32[3], f32<2x4x6x3 masked 2>", ""},
    {OP_sub, "f32[3], f32[3]", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x4x6x3>", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x1 per_image>", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x4x6x1>", ""},
    {OP_mul, "f32<2x3 per_image>, f32<2x4x6x3 masked 2>", ""},
    {OP_mul, "f32<2x5 per_image>, f32<2x1 per_image>", ""},
    {OP_mul, "f32<2x5 per_image>, f32[5]", ""},
    {OP_mul, "f32[3x3x2x4], f32[]", ""},
    {OP_div, "f32<2x4x6x3>, +f32<2x4x6x3>", ""},
    {OP_div, "f32<2x4x6x3 masked 2>, +f32[3]", ""},
    {OP_div, "f32[], +f32<2x4x6x3>", ""},
    {OP_neg, "f32<2x4x6x3>", ""},
    {OP_neg, "f32<2x4x6x3 masked 2>", ""},
    {OP_sqrt, "+f32<2x4x6x3>", ""},
    {OP_sqrt, "+f32<2x4x6x3 masked 2>", ""},
};

static const OpCase contraction_cases[] = {
    {OP_conv, "f32<2x5x7x4>, f32[3x3x4x6]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x7x4>, f32[3x2x4x3]", "kernel=3,2 stride=2,1 pad=1,0 dilation=1,1"},
    {OP_conv, "f32<2x8x9x2>, f32[3x3x2x3]", "kernel=3,3 stride=2,3 pad=0,2 dilation=2,1"},
    {OP_conv, "f32<2x6x6x4>, f32[4x4x2x6]", "kernel=4,4 stride=2,2 pad=1,1 dilation=1,1 groups=2"},
    {OP_conv, "f32<2x5x5x3>, f32[3x3x1x6]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1 groups=3"},
    {OP_conv, "f32<2x3x4x3>, f32[7x7x1x3]", "kernel=7,7 stride=1,1 pad=3,3 dilation=1,1 groups=3"},
    {OP_conv, "f32<2x3x6x3>, f32[1x5x3x2]", "kernel=1,5 stride=1,2 pad=0,2 dilation=1,1"},
    {OP_conv, "f32<2x5x6x3>, f32[1x1x3x4]", "kernel=1,1 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x7x3>, f32[3x3x5]", "kernel=3 stride=2 pad=1 dilation=1"},
    {OP_conv, "f32<2x4x3x5x2>, f32[2x3x1x2x3]",
     "kernel=2,3,1 stride=2,1,2 pad=0,1,0 dilation=1,1,1"},
    {OP_conv, "f32<2x3 per_image>, f32[1x1x3x4]", "kernel=1,1 stride=1,1 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[3x3x4x3]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x12x2 masked 1>, f32[3x3x2x3]", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x12x2 masked 1>, f32[4x4x2x3]", "kernel=4,4 stride=4,4 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[2x2x3x2]", "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[1x1x2x4]",
     "kernel=1,1 stride=1,1 pad=0,0 dilation=1,1 groups=2"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[3x3x4x3]", "kernel=3,3 stride=1,1 pad=2,2 dilation=2,2"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[7x7x1x3]",
     "kernel=7,7 stride=1,1 pad=3,3 dilation=1,1 groups=3"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[3x5x3x2]", "kernel=3,5 stride=1,1 pad=1,2 dilation=1,1"},
    {OP_conv_transpose, "f32<2x3x4x4>, f32[4x4x5x4]",
     "kernel=4,4 stride=2,2 pad=1,1 dilation=1,1 size=6,8"},
    {OP_conv_transpose, "f32<2x3x4x4>, f32[3x3x3x4]",
     "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1 groups=2 size=6,7"},
    {OP_conv_transpose, "f32<2x3x3x2>, f32[3x2x3x2]",
     "kernel=3,2 stride=1,3 pad=0,0 dilation=2,1 size=7,8"},
    {OP_conv_transpose, "f32<2x5x3>, f32[4x2x3]", "kernel=4 stride=2 pad=1 dilation=1 size=10"},
    {OP_linear, "f32<2x3x4x5>, f32[5x3]", ""},
    {OP_linear, "f32<2x3x4x5>, f32[3x5]", "transpose=true"},
    {OP_linear, "f32<2x4x6x3 masked 2>, f32[3x4]", ""},
    {OP_linear, "f32<2x6 per_image>, f32[6x4]", ""},
    {OP_linear, "f32<2x6 per_image>, f32[4x6]", "transpose=true"},
};

static const OpCase window_cases[] = {
    {OP_max_pool, "f32<2x6x7x3>", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_max_pool, "f32<2x6x7x3>", "kernel=2,3 stride=2,1 pad=0,1 dilation=1,2"},
    {OP_max_pool, "f32<2x6x7x3>", "kernel=3,2 stride=2,2 pad=0,0 dilation=1,1 ceil_mode=true"},
    {OP_max_pool, "f32<2x7x3>", "kernel=3 stride=1 pad=1 dilation=1"},
    {OP_max_pool, "f32<2x8x12x3 masked 1>", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_max_pool, "f32<2x4x6x3 masked 2>", "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_max_pool, "f32<2x4x6x3 masked 2>", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,3 stride=2,2 pad=1,1"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,2 stride=1,2 pad=1,1 count_include_pad=false"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,2 stride=2,2 pad=0,0 ceil_mode=true"},
    {OP_avg_pool, "f32<2x7x7x3>", "kernel=3,3 stride=3,3 pad=1,1 ceil_mode=true"},
    {OP_avg_pool, "f32<2x7x7x3>",
     "kernel=3,3 stride=3,3 pad=1,1 ceil_mode=true count_include_pad=false"},
    {OP_avg_pool, "f32<2x8x12x3 masked 1>", "kernel=3,3 stride=2,2 pad=1,1"},
    {OP_avg_pool, "f32<2x4x6x3 masked 2>", "kernel=3,3 stride=1,1 pad=1,1 count_include_pad=false"},
    {OP_avg_pool, "f32<2x4x6x3 masked 2>", "kernel=2,2 stride=2,2 pad=0,0"},
    {OP_upsample, "f32<2x3x4x3>", "factor=2,2"},
    {OP_upsample, "f32<2x3x4x3>", "factor=1,3"},
    {OP_upsample, "f32<2x3x4x3>", "factor=2,2 mode=bilinear"},
    {OP_upsample, "f32<2x3x4x3>", "factor=3,4 mode=bilinear"},
    {OP_upsample, "f32<2x2x3x3 masked 4>", "factor=2,2"},
    {OP_upsample, "f32<2x2x3x3 masked 4>", "factor=4,4"},
};

static const OpCase norm_cases[] = {
    {OP_sum, "f32<2x4x6x3>", "over=row"},
    {OP_sum, "f32<2x4x6x3>", "over=image"},
    {OP_sum, "f32<2x4x6x4>", "over=image groups=2"},
    {OP_sum, "f32<2x4x6x3>", "over=batch"},
    {OP_sum, "f32<2x4x6x3>", "over=all"},
    {OP_sum, "f32[3x4]", "over=all"},
    {OP_sum, "f32<2x6 per_image>", "over=group groups=3"},
    {OP_sum, "f32<2x6 per_image>", "over=row"},
    {OP_sum, "f32<2x6 per_image>", "over=batch"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=row"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=image"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=batch"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=all"},
    {OP_moments, "f32<2x4x6x3>", "over=batch"},
    {OP_moments, "f32<2x4x6x3>", "over=row"},
    {OP_moments, "f32<2x4x6x3>", "over=image"},
    {OP_moments, "f32<2x4x6x6>", "over=image groups=2"},
    {OP_moments, "f32<2x6 per_image>", "over=row"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=batch"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=row"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=image"},
    {OP_moments, "f32<2x4x6x6 masked 2>", "over=image groups=3"},
    {OP_rstd, "+f32[5], !+f32[]", "eps=0.1"},
    {OP_rstd, "+f32<2x5 per_image>, !+f32[]", "eps=0.1"},
    {OP_rstd, "+f32<2x4x6x1 masked 2>, !+f32[]", "eps=0.1"},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3], -, f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, !f32[3], !+f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "!f32<2x4x6x3>, f32[3], +f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x3 per_image>, +f32<2x3 per_image>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x4x6x1>, +f32<2x4x6x1>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, !f32<2x4x6x1>, !+f32<2x4x6x1>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x4x6x1>, +f32<2x4x6x1>", ""},
    {OP_normalise, "f32<2x5 per_image>, f32<2x1 per_image>, +f32<2x1 per_image>, f32[5]", ""},
    {OP_normalise, "f32<2x5 per_image>, f32<2x5 per_image>, +f32<2x5 per_image>, f32[5]", ""},
    {OP_normalise, "f32<2x5 per_image>, f32[5], +f32[5], f32[5], f32[5]", ""},
    {OP_normalise, "f32<2x4x6x3 masked 2>, f32[3], +f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3 masked 2>, f32<2x3 per_image>, +f32<2x3 per_image>, f32[3], f32[3]",
     ""},
    {OP_normalise,
     "f32<2x4x6x3 masked 2>, f32<2x4x6x1 masked 2>, +f32<2x4x6x1 masked 2>, f32[3], f32[3]", ""},
};

static const OpCase move_cases[] = {
    {OP_broadcast, "f32[3]", "f32<2x4x6x3>"},
    {OP_broadcast, "f32[]", "f32<2x4x6x3>"},
    {OP_broadcast, "f32<2x1 per_image>", "f32<2x4x6x3>"},
    {OP_broadcast, "f32<2x3 per_image>", "f32<2x4x6x3 masked 2>"},
    {OP_broadcast, "f32<2x4x6x1 masked 2>", "f32<2x4x6x3 masked 2>"},
    {OP_concat, "f32<2x4x6x3>, f32<2x4x6x1>, f32<2x4x6x2>", ""},
    {OP_concat, "f32<2x4x6x3 masked 2>, !f32<2x4x6x1 masked 2>, f32<2x4x6x2 masked 2>", ""},
    {OP_concat, "f32<2x3 per_image>, f32<2x2 per_image>", ""},
    {OP_slice, "f32<2x4x6x5>", "start=1 channels=3"},
    {OP_slice, "f32<2x4x6x5 masked 2>", "start=3 channels=2"},
    {OP_channel_shuffle, "f32<2x4x6x6>", "groups=2"},
    {OP_channel_shuffle, "f32<2x4x6x6 masked 2>", "groups=3"},
    {OP_repeat_channels, "f32<2x3 per_image>", "times=4"},
    {OP_flatten, "f32<2x3x4x5>", ""},
    {OP_flatten, "f32<2x5 per_image>", ""},
    {OP_squeeze, "f32<2x1x1x5>", ""},
    {OP_squeeze, "f32<2x5 per_image>", ""},
    {OP_densify, "f32<2x2x3x3 masked 4>, f32[3]", ""},
    {OP_densify, "f32<2x4x6x3 masked 2>, f32[3]", ""},
    {OP_densify, "f32<2x8x12x2 masked 1>, !f32[2]", ""},
    {OP_densify, "!f32<2x4x6x3 masked 2>, f32[3]", ""},
};

/* Composites are interpreted as they are, and differentiated after expanding. */
static const OpCase composite_cases[] = {
    {OP_batch_norm, "f32<2x4x6x3>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", "eps=0.1"},
    {OP_batch_norm, "f32<2x4x6x3>, $f32[3], $+f32[3], $f32[]", ""},
    {OP_batch_norm, "f32<2x3 per_image>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", "eps=0.1"},
    {OP_batch_norm, "f32<2x4x6x3 masked 2>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", ""},
    {OP_layer_norm, "f32<2x4x6x3>, f32[3], f32[3]", "eps=0.1"},
    {OP_layer_norm, "f32<2x5 per_image>, f32[5], f32[5]", "eps=0.1"},
    {OP_layer_norm, "f32<2x4x6x3>", "eps=0.1"},
    {OP_layer_norm, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", "eps=0.1"},
    {OP_group_norm, "f32<2x4x6x6>, f32[6], f32[6]", "groups=2"},
    {OP_group_norm, "f32<2x4x6x6>, f32[6], f32[6]", "groups=1"},
    {OP_group_norm, "f32<2x6 per_image>, f32[6], f32[6]", "groups=2 eps=0.1"},
    {OP_group_norm, "f32<2x4x6x6 masked 2>, f32[6], f32[6]", "groups=3"},
    {OP_group_norm, "f32<2x4x6x6 masked 2>", "groups=3"},
    {OP_instance_norm, "f32<2x4x6x3>, f32[3], f32[3]", ""},
    {OP_instance_norm, "f32<2x4x6x3>", ""},
    {OP_instance_norm, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", ""},
    {OP_grn, "f32<2x4x6x3>, f32[3], f32[3]", ""},
    {OP_grn, "f32<2x5 per_image>, f32[5], f32[5]", ""},
    {OP_grn, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", "eps=0.1"},
    {OP_global_avg_pool, "f32<2x4x6x3>", ""},
    {OP_global_avg_pool, "f32<2x3 per_image>", ""},
    {OP_global_avg_pool, "f32<2x4x6x3 masked 2>", ""},
    {OP_dropout, "f32<2x4x6x3>", "rate=0.4 stream=3"},
    {OP_dropout, "f32<2x4x6x3>", "rate=0 stream=3"},
    {OP_dropout, "f32<2x4x6x3 masked 2>", "rate=0.4 stream=9"},
    {OP_drop_path, "f32<2x4x6x3>", "rate=0.6 stream=3"},
    {OP_drop_path, "f32<2x4x6x3 masked 2>", "rate=0.6 stream=4"},
};

static const OpCase activation_cases[] = {
#define ACTIVATION(name, attributes, saved, value, derivative)                                     \
    {OP_##name, "~f32<2x4x6x3>", ""}, {OP_##name, "~f32<2x4x6x3 masked 2>", ""},                   \
        {OP_##name, "~f32<2x9 per_image>", ""},
#include "ir/activations.def"
#undef ACTIVATION
    {OP_leaky_relu, "~f32<2x4x6x3>", "slope=0.2"},
    {OP_elu, "~f32<2x4x6x3>", "alpha=0.7"},
    {OP_softplus, "~f32<2x4x6x3>", "beta=2.5"},
};

/* ---- The lists ------------------------------------------------------------------------------- */

#define CASES(name)                                                                                \
    const OpCases op_cases_##name = {#name, name##_cases,                                          \
                                     sizeof name##_cases / sizeof *name##_cases}

CASES(pointwise);
CASES(contraction);
CASES(window);
CASES(norm);
CASES(move);
CASES(composite);
CASES(activation);

const OpCases *const op_cases_all[] = {
    &op_cases_pointwise, &op_cases_contraction, &op_cases_window,     &op_cases_norm,
    &op_cases_move,      &op_cases_composite,   &op_cases_activation, NULL,
};
