#include "tests/support/random_network.h"

#include "base/random.h"
#include "base/text.h"

typedef struct Writer {
    Text text;
    uint32_t seed;
    uint64_t drawn;    /* numbers so far */
    int layers;        /* labels so far */
    int channels;      /* of x */
    int stride, ratio; /* of x; of the deepest feature */
} Writer;

/* ---- Choices --------------------------------------------------------------------------------- */

/* Evenly from low..high. */
static int draw(Writer *w, int low, int high) {
    uint64_t word = random_word(w->seed, 0, 0, w->drawn++);
    return low + (int)(word * (uint64_t)(high - low + 1) >> 32);
}

static bool chance(Writer *w, int percent) {
    return draw(w, 0, 99) < percent;
}

#define CHOOSE(w, list) (list)[draw(w, 0, (int)(sizeof(list) / sizeof *(list)) - 1)]

static const char *activation(Writer *w) {
    static const char *const all[] = {
        "relu",     "relu6", "silu",        "hard_swish",      "hard_sigmoid",
        "sigmoid",  "tanh",  "mish",        "leaky_relu(0.1)", "elu",
        "softplus", "gelu",  "softplus(2)", "elu(0.5)",        "gelu(approximate = \"tanh\")",
        "relu",     "relu",  "identity"};
    return CHOOSE(w, all);
}

/* The largest number up to `most` that divides `channels`. */
static int divisor(int channels, int most) {
    while (channels % most)
        most--;
    return most;
}

/* Statistics of an image need more than one visible position. */
static const char *norm(Writer *w, int channels) {
    static const char *const any[] = {"batch_norm", "batch_norm", "batch_norm(affine = false)",
                                      "layer_norm", "layer_norm(eps = 0.001)"};
    static const char *const image[] = {"instance_norm", "instance_norm(affine = true)"};
    if (w->stride < w->ratio && chance(w, 20))
        return CHOOSE(w, image);
    if (channels >= 4 && chance(w, 25))
        return arena_format(w->text.arena, "group_norm(%d)", divisor(channels, draw(w, 1, 4)));
    return CHOOSE(w, any);
}

/* ---- Layers ---------------------------------------------------------------------------------- */

/* Appends " |> label: ". */
static void label(Writer *w, const char *kind) {
    text_append(&w->text, " |> %s%d: ", kind, w->layers++);
}

static void add_norm(Writer *w, int channels) {
    label(w, "norm");
    text_append(&w->text, "%s", norm(w, channels));
}

static void add_activation(Writer *w) {
    text_append(&w->text, " |> %s", activation(w));
}

/* A convolution that keeps the map's size. */
static void add_conv(Writer *w, int in, int out, int groups) {
    static const int kernels[] = {1, 1, 3, 3, 3, 5, 7};
    int height = CHOOSE(w, kernels), width = chance(w, 25) ? CHOOSE(w, kernels) : height;
    int dilation = chance(w, 20) ? draw(w, 2, 3) : 1;
    label(w, "conv");
    text_append(&w->text, "conv(%d, kernel = [%d, %d], pad = [%d, %d]", out, height, width,
                dilation * (height - 1) / 2, dilation * (width - 1) / 2);
    if (dilation > 1)
        text_append(&w->text, ", dilation = %d", dilation);
    if (groups > 1 && in % groups == 0 && out % groups == 0)
        text_append(&w->text, ", groups = %d", groups);
    text_append(&w->text, "%s)", chance(w, 40) ? ", bias = true" : "");
}

static int some_channels(Writer *w) {
    static const int usual[] = {4, 6, 8, 12, 16, 20, 24, 33, 40};
    return CHOOSE(w, usual);
}

/* ---- Blocks: each begins with x and leaves a new x ------------------------------------------- */

static void block_plain(Writer *w) {
    int out = some_channels(w);
    text_append(&w->text, "    x = x");
    add_conv(w, w->channels, out, chance(w, 30) ? divisor(w->channels, 4) : 1);
    if (chance(w, 80))
        add_norm(w, out);
    add_activation(w);
    text_append(&w->text, "\n");
    w->channels = out;
}

static void block_depthwise(Writer *w) {
    int times = chance(w, 20) ? 2 : 1, out = some_channels(w);
    text_append(&w->text, "    x = x");
    add_conv(w, w->channels, times * w->channels, w->channels);
    add_norm(w, times * w->channels);
    add_activation(w);
    label(w, "linear");
    text_append(&w->text, "linear(%d)\n", out);
    w->channels = out;
}

static void block_residual(Writer *w) {
    text_append(&w->text, "    y = x");
    add_conv(w, w->channels, w->channels, chance(w, 40) ? w->channels : 1);
    add_norm(w, w->channels);
    add_activation(w);
    add_conv(w, w->channels, w->channels, 1);
    if (chance(w, 60))
        add_norm(w, w->channels);
    if (chance(w, 40)) {
        label(w, "gamma");
        text_append(&w->text, "layer_scale(init = 0.5)");
    }
    if (chance(w, 30))
        text_append(&w->text, " |> drop_path(0.3)");
    text_append(&w->text, "\n    x = %s(x + y)\n", chance(w, 60) ? "relu" : "identity");
}

static void block_inverted(Writer *w) {
    text_append(&w->text, "    y = x");
    add_conv(w, w->channels, w->channels, w->channels);
    label(w, "norm");
    text_append(&w->text, "layer_norm");
    label(w, "linear");
    text_append(&w->text, "linear(%d) |> gelu", 2 * w->channels);
    if (chance(w, 70)) {
        label(w, "grn");
        text_append(&w->text, "grn(init = 0.3)");
    }
    label(w, "linear");
    text_append(&w->text, "linear(%d)\n    x = x + y\n", w->channels);
}

static void block_gate(Writer *w) {
    bool convolutions = chance(w, 50);
    int hidden = draw(w, 2, 6);
    text_append(&w->text, "    g = x |> global_avg_pool");
    label(w, "gate");
    text_append(&w->text, convolutions ? "conv(%d, kernel = 1, bias = true)" : "linear(%d)",
                hidden);
    add_activation(w);
    label(w, "gate");
    text_append(&w->text, convolutions ? "conv(%d, kernel = 1, bias = true)" : "linear(%d)",
                w->channels);
    text_append(&w->text, " |> %s\n    x = x * g\n", chance(w, 50) ? "sigmoid" : "hard_sigmoid");
}

static void block_shuffle(Writer *w) {
    if (w->channels % 2) {
        block_plain(w);
        return;
    }
    text_append(&w->text, "    a, b = chunk(x, 2)\n    b = b");
    add_conv(w, w->channels / 2, w->channels / 2, 1);
    add_norm(w, w->channels / 2);
    add_activation(w);
    text_append(&w->text, "\n    x = concat(a, b)%s\n",
                chance(w, 70) ? " |> channel_shuffle(2)" : "");
}

static void block_dense(Writer *w) {
    int growth = draw(w, 3, 9);
    text_append(&w->text, "    y = x");
    add_norm(w, w->channels);
    add_activation(w);
    add_conv(w, w->channels, growth, 1);
    text_append(&w->text, "\n    x = concat(x, y)\n");
    w->channels += growth;
}

static void block_pool(Writer *w) {
    static const char *const pools[] = {
        "max_pool(3, stride = 1, pad = 1)", "avg_pool(3, stride = 1, pad = 1)",
        "avg_pool(3, stride = 1, pad = 1, count_include_pad = false)",
        "max_pool([1, 3], stride = 1, pad = [0, 1])",
        "max_pool(3, stride = 1, pad = 2, dilation = 2)"};
    const char *pool = CHOOSE(w, pools);
    if (w->channels % 2 == 0 && chance(w, 50))
        text_append(&w->text, "    a, b = chunk(x, 2)\n    x = concat(a, b |> %s)\n", pool);
    else
        text_append(&w->text, "    x = x + (x |> %s)\n", pool);
}

/* Down and up again, where the cells are large enough for it. */
static void block_down_up(Writer *w) {
    if (w->stride >= w->ratio) {
        block_plain(w);
        return;
    }
    text_append(&w->text, "    x = x + (x |> %s |> upsample(2))\n",
                chance(w, 50) ? "max_pool(2)" : "avg_pool(2)");
}

typedef void Block(Writer *w);
static Block *const blocks[] = {block_plain, block_plain,    block_depthwise, block_residual,
                                block_gate,  block_inverted, block_shuffle,   block_dense,
                                block_pool,  block_down_up};

/* ---- The whole ------------------------------------------------------------------------------- */

/* From one level to the next. */
static void add_step(Writer *w, const char *from) {
    static const char *const pools[] = {
        "max_pool(2)",
        "max_pool(3, stride = 2, pad = 1)",
        "avg_pool(2)",
        "avg_pool(3, stride = 2, pad = 1)",
        "avg_pool(3, stride = 2, pad = 1, count_include_pad = false)",
        "max_pool(2, stride = 2, ceil_mode = true)"};
    static const char *const windows[] = {"kernel = 3, stride = 2, pad = 1",
                                          "kernel = 2, stride = 2",
                                          "kernel = 1, stride = 2",
                                          "kernel = 5, stride = 2, pad = 2",
                                          "kernel = [3, 4], stride = 2, pad = 1",
                                          "kernel = 3, stride = 2, pad = 2, dilation = 2"};
    int out = some_channels(w);
    bool pool = w->stride > 1 && chance(w, 40);
    text_append(&w->text, "    x = %s", from);
    w->stride *= 2;
    if (pool) {
        text_append(&w->text, " |> %s\n", CHOOSE(w, pools));
        return;
    }
    int groups = w->stride > 2 && chance(w, 30) ? divisor(w->channels, 3) : 1;
    label(w, "down");
    text_append(&w->text, "conv(%d, %s", out % groups ? w->channels : out, CHOOSE(w, windows));
    w->channels = out % groups ? w->channels : out;
    text_append(&w->text, groups > 1 ? ", groups = %d)" : ")", groups);
    add_norm(w, w->channels);
    add_activation(w);
    text_append(&w->text, "\n");
}

static void add_head(Writer *w) {
    text_append(&w->text, "    head { x |> %s", chance(w, 70) ? "global_avg_pool" : "flatten");
    if (chance(w, 50))
        text_append(&w->text, " |> dropout(0.2)");
    text_append(&w->text, " |> fc: linear(%d) }\n", draw(w, 2, 11));
}

char *random_network(Arena *arena, uint32_t seed) {
    Writer w = {.text = text_create(arena), .seed = seed, .stride = 1};
    int levels = draw(&w, 2, 4);
    w.ratio = 1 << levels;
    w.channels = draw(&w, 1, 4);
    int height = draw(&w, 1, 3), width = draw(&w, 2, 4);
    text_append(&w.text, "network random(image = [%d, %d, %d]) {\n", w.channels, height * w.ratio,
                width * w.ratio);
    for (int i = 0; i < levels; i++) {
        add_step(&w, i == 0 ? "image" : "x");
        for (int count = draw(&w, 0, 3); count > 0; count--)
            CHOOSE(&w, blocks)(&w);
        if (i > 0 || levels == 2 || chance(&w, 60))
            text_append(&w.text, "    feature x\n");
    }
    if (chance(&w, 70))
        add_head(&w);
    text_append(&w.text, "}\n");
    return w.text.data;
}
