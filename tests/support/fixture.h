/* A graph of a few ops with its inputs' data, run once by the interpreter. */
#ifndef SPARKC_TESTS_SUPPORT_FIXTURE_H
#define SPARKC_TESTS_SUPPORT_FIXTURE_H

#include "base/vector.h"
#include "ir/builder.h"
#include "ir/interpret/interpret.h"

typedef struct FixtureInput {
    const char *name;
    const double *data;
    size_t count;
} FixtureInput;

typedef struct Fixture {
    Arena *arena;
    Graph *graph;
    Builder builder;
    VECTOR(FixtureInput) inputs;
    Interpreter *interpreter; /* NULL before the start */
} Fixture;

/* An empty graph. Nothing masked: 1 image of one direction. */
Fixture fixture_create(void);

/* Images of `side` x `side` pixels with cells of `ratio` x `ratio`. The visible cells of each image
 * are `cells`, batch x keep, ascending. */
Fixture fixture_create_masked(int64_t batch, int64_t side, int64_t ratio, int64_t keep,
                              const double *cells);
void fixture_destroy(Fixture *fixture);

/* An input of this type with these elements, which must live as long as the fixture. */
Value *fixture_input(Fixture *fixture, const char *name, Type type, const double *data);

/* The input of the visible cells. */
Value *fixture_cells(Fixture *fixture);

/* An input of evenly distributed numbers in [-1, 1) that depend on the name only; in a masked type
 * the hidden ones are no part of the value. */
Value *fixture_random(Fixture *fixture, const char *name, Type type);

/* `count` such numbers in the fixture's arena. */
double *fixture_numbers(Fixture *fixture, const char *name, size_t count);

/* Makes a value an output. */
void fixture_output(Fixture *fixture, const char *name, Value *value);

/* Makes the interpreter, so that its regions, scalars and mode can be set before the run. The graph
 * is complete. */
void fixture_start(Fixture *fixture);

/* Sets the inputs and runs the graph, started or not; a failure ends the test. */
void fixture_run(Fixture *fixture);

/* The value of an output of the last run. It must exist. */
Tensor fixture_tensor(Fixture *fixture, const char *name);

/* Makes `value` the output "y", runs and gives it. */
Tensor fixture_evaluate(Fixture *fixture, Value *value);

/* Sum of the products of two outputs' elements. */
double fixture_inner_product(Fixture *fixture, const char *a, const char *b);

/* A square map's window attributes for build(). */
#define FIXTURE_WINDOW(kernel, stride, pad, dilation)                                              \
    attribute_ints("kernel", (const int64_t[]){kernel, kernel}, 2),                                \
        attribute_ints("stride", (const int64_t[]){stride, stride}, 2),                            \
        attribute_ints("pad", (const int64_t[]){pad, pad}, 2),                                     \
        attribute_ints("dilation", (const int64_t[]){dilation, dilation}, 2)

/* f32 <batch x height x width x channels>. */
Type fixture_map(int64_t batch, int64_t height, int64_t width, int64_t channels);

/* Asserts that a tensor's elements are these, to 1e-12 of the largest. */
void fixture_expect(Tensor tensor, const double *expected, size_t count);
#define FIXTURE_EXPECT(tensor, ...)                                                                \
    fixture_expect(tensor, (const double[]){__VA_ARGS__},                                          \
                   sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

#endif
