#include "tools/train/reconstruction.h"

#include <math.h>
#include <string.h>

#include "runtime/data/centered.h"
#include "runtime/data/picture.h"
#include "runtime/train/mask.h"
#include "tools/execute/compiled_program.h"

struct Reconstruction {
    Graph *graph;
    CompiledProgram compiled;
    TrainingMemory memory;
    float *images;
    int32_t *cells;
    const float *loss, *output;
};

Status reconstruction_create(Arena *arena, const Graph *network, const PassOptions *pass,
                             const ExecutorOptions *options, Diagnostics *diagnostics,
                             Reconstruction **reconstruction) {
    Reconstruction *made = arena_new(arena, Reconstruction);
    PassOptions own = *pass;
    own.entry = ENTRY_RECONSTRUCT;
    own.training = false;
    made->graph = graph_copy(network, arena);
    if (!passes_run(made->graph, &own, NULL, diagnostics, NULL, NULL))
        return status_failure(arena, "this network cannot be pretrained");
    status_return_if_failed(
        compiled_program_create(arena, made->graph, options, NULL, &made->compiled));
    const PlanExecutor *executor = made->compiled.executor;
    made->memory = compiled_program_memory(arena, made->graph, &made->compiled);
    made->images = plan_executor_buffer(executor, PLAN_INPUTS, "image");
    made->cells = plan_executor_buffer(executor, PLAN_INPUTS, "cells");
    made->loss = plan_executor_buffer(executor, PLAN_OUTPUTS, "loss");
    made->output = plan_executor_buffer(executor, PLAN_OUTPUTS, "reconstruction");
    *reconstruction = made;
    return STATUS_FINE;
}

void reconstruction_destroy(Reconstruction *reconstruction) {
    compiled_program_destroy(&reconstruction->compiled);
}

const TrainingMemory *reconstruction_memory(const Reconstruction *reconstruction) {
    return &reconstruction->memory;
}

void reconstruction_mask(const Reconstruction *reconstruction, uint32_t seed) {
    const Graph *graph = reconstruction->graph;
    mask_draw(seed, UINT32_MAX, graph->geometry.batch, graph_cells(graph), graph->geometry.keep,
              reconstruction->cells);
}

void reconstruction_set_mask(const Reconstruction *reconstruction, const int32_t *list) {
    const Geometry *geometry = &reconstruction->graph->geometry;
    for (int64_t n = 0; n < geometry->batch; n++)
        memcpy(reconstruction->cells + n * geometry->keep, list,
               (size_t)geometry->keep * sizeof *list);
}

/* ---- Drawing --------------------------------------------------------------------------------- */

/* The pixels of one cell of an image: rows of `length` floats, `stride` floats apart. */
typedef struct Cell {
    size_t start, stride, length;
    int64_t rows;
} Cell;

static Cell cell_at(const Geometry *geometry, int64_t number) {
    int64_t columns = geometry->image[1] / geometry->ratio;
    int64_t y = number / columns * geometry->ratio, x = number % columns * geometry->ratio;
    return (Cell){.start = (size_t)((y * geometry->image[1] + x) * geometry->channels),
                  .stride = (size_t)(geometry->image[1] * geometry->channels),
                  .length = (size_t)(geometry->ratio * geometry->channels),
                  .rows = geometry->ratio};
}

/* Mean and root of the unbiased variance of a cell, over all channels together: what the target of
 * the loss is normalised by (reference README, "Loss"). */
static void cell_statistics(const float *image, const Cell *cell, double *mean, double *deviation) {
    double sum = 0, squares = 0, count = (double)cell->rows * (double)cell->length;
    for (int64_t y = 0; y < cell->rows; y++)
        for (size_t i = 0; i < cell->length; i++)
            sum += (double)image[cell->start + (size_t)y * cell->stride + i];
    *mean = sum / count;
    for (int64_t y = 0; y < cell->rows; y++)
        for (size_t i = 0; i < cell->length; i++)
            squares += pow((double)image[cell->start + (size_t)y * cell->stride + i] - *mean, 2);
    *deviation = sqrt(squares / (count - 1) + 1e-6);
}

/* A hidden cell: NaN in what the network sees, which is drawn black; the prediction in what it
 * completes. */
static void hide_cell(const float *image, const float *prediction, const Cell *cell, float *masked,
                      float *completed) {
    double mean, deviation;
    cell_statistics(image, cell, &mean, &deviation);
    for (int64_t y = 0; y < cell->rows; y++) {
        for (size_t i = 0; i < cell->length; i++) {
            size_t at = cell->start + (size_t)y * cell->stride + i;
            masked[at] = NAN;
            completed[at] = (float)((double)prediction[at] * deviation + mean);
        }
    }
}

enum { LEAST_SIDE = 96 }; /* of a tile: smaller images are magnified by a whole number */

/* What a row of the picture is drawn with. */
typedef struct Brush {
    Arena *arena;
    const Geometry *geometry;
    const double *mean, *deviation;
    int scale; /* pixels of the picture per pixel of an image, in both directions */
    Image *picture;
} Brush;

static int scale_of(const Geometry *geometry) {
    int64_t side =
        geometry->image[0] > geometry->image[1] ? geometry->image[0] : geometry->image[1];
    return side < LEAST_SIDE ? (int)((LEAST_SIDE + side - 1) / side) : 1;
}

/* Repeats every pixel `scale` times in both directions. */
static uint8_t *magnify(Arena *arena, const uint8_t *bytes, int width, int height, int channels,
                        int scale) {
    size_t pixel = (size_t)channels, columns = (size_t)(width * scale);
    uint8_t *large = arena_alloc(arena, columns * (size_t)(height * scale), pixel);
    for (size_t y = 0; y < (size_t)(height * scale); y++)
        for (size_t x = 0; x < columns; x++) {
            size_t from = y / (size_t)scale * (size_t)width + x / (size_t)scale;
            memcpy(large + (y * columns + x) * pixel, bytes + from * pixel, pixel);
        }
    return large;
}

static void put_tile(const Brush *brush, int row, int column, const float *values) {
    const Geometry *geometry = brush->geometry;
    size_t pixels = (size_t)(geometry->image[0] * geometry->image[1]);
    int channels = (int)geometry->channels;
    uint8_t *bytes = arena_alloc(brush->arena, pixels * (size_t)channels, 1);
    picture_bytes(values, pixels, channels, brush->mean, brush->deviation, bytes);
    int width = (int)geometry->image[1], height = (int)geometry->image[0], scale = brush->scale;
    picture_put(brush->picture, row, column, width * scale, height * scale,
                magnify(brush->arena, bytes, width, height, channels, scale));
}

static void draw_row(const Brush *brush, int row, const float *image, const float *prediction,
                     const int32_t *visible) {
    const Geometry *geometry = brush->geometry;
    int64_t cells = geometry->image[0] / geometry->ratio * (geometry->image[1] / geometry->ratio);
    size_t count = (size_t)(geometry->image[0] * geometry->image[1] * geometry->channels);
    float *masked = arena_new_array(brush->arena, float, count);
    float *completed = arena_new_array(brush->arena, float, count);
    memcpy(masked, image, count * sizeof *masked);
    memcpy(completed, image, count * sizeof *completed);
    for (int64_t i = 0, next = 0; i < cells; i++) {
        if (next < geometry->keep && visible[next] == i) {
            next++;
            continue;
        }
        Cell cell = cell_at(geometry, i);
        hide_cell(image, prediction, &cell, masked, completed);
    }
    put_tile(brush, row, 0, image);
    put_tile(brush, row, 1, masked);
    put_tile(brush, row, 2, completed);
}

Status reconstruction_draw(Arena *arena, const Reconstruction *reconstruction, const double *mean,
                           const double *deviation, Image *picture, double *loss) {
    const Geometry *geometry = &reconstruction->graph->geometry;
    size_t count = (size_t)(geometry->image[0] * geometry->image[1] * geometry->channels);
    int scale = scale_of(geometry);
    int width = (int)geometry->image[1] * scale, height = (int)geometry->image[0] * scale;
    status_return_if_failed(picture_canvas(arena, (int)geometry->batch, 3, width, height,
                                           (int)geometry->channels, picture));
    plan_executor_run(reconstruction->compiled.executor);
    *loss = (double)*reconstruction->loss;
    for (int64_t n = 0; n < geometry->batch; n++) {
        Arena *scratch = arena_create();
        Brush brush = {scratch, geometry, mean, deviation, scale, picture};
        draw_row(&brush, (int)n, reconstruction->images + (size_t)n * count,
                 reconstruction->output + (size_t)n * count,
                 reconstruction->cells + n * geometry->keep);
        arena_destroy(scratch);
    }
    return STATUS_FINE;
}

/* ---- Loading --------------------------------------------------------------------------------- */

Status reconstruction_load(Arena *arena, const Source *source, const double *mean,
                           const double *deviation, const Reconstruction *reconstruction) {
    const Geometry *geometry = &reconstruction->graph->geometry;
    size_t samples = source->samples.count, batch = (size_t)geometry->batch, loaded = 0;
    size_t size = (size_t)(geometry->image[0] * geometry->image[1] * geometry->channels);
    CenteredShape shape = {(int)geometry->image[0], (int)geometry->image[1],
                           (int)geometry->channels};
    AugmentScale scale = augment_scale(shape.channels, mean, deviation);
    for (size_t row = 0; row < batch; row++) {
        size_t next = row * samples / batch, end = (row + 1) * samples / batch;
        bool good = false;
        for (; next < end && !good; next++) {
            Arena *scratch = arena_create();
            good = status_fine(centered_load(scratch, &source->samples.items[next], shape, &scale,
                                             reconstruction->images + loaded * size));
            arena_destroy(scratch);
        }
        loaded += good;
    }
    if (loaded == 0)
        return status_failure(arena, "none of the pictures can be decoded");
    for (size_t i = loaded; i < batch; i++)
        memcpy(reconstruction->images + i * size, reconstruction->images + (i % loaded) * size,
               size * sizeof *reconstruction->images);
    return STATUS_FINE;
}
