#include "tests/support/fixture.h"

#include <CUnit/CUnit.h>
#include <math.h>
#include <string.h>

#include "base/random.h"

static Fixture create(Geometry geometry) {
    Arena *arena = arena_create();
    Fixture fixture = {.arena = arena, .graph = graph_create(arena, "test", geometry)};
    fixture.builder = (Builder){.graph = fixture.graph};
    return fixture;
}

Fixture fixture_create(void) {
    return create((Geometry){.batch = 1, .space = 1, .image = {1}, .channels = 1});
}

Fixture fixture_create_masked(int64_t batch, int64_t side, int64_t ratio, int64_t keep,
                              const double *cells) {
    Fixture fixture = create((Geometry){.batch = batch,
                                        .space = 2,
                                        .image = {side, side},
                                        .channels = 3,
                                        .ratio = ratio,
                                        .keep = keep});
    FixtureInput input = {"cells", cells, (size_t)(batch * keep)};
    vector_push(fixture.arena, &fixture.inputs, input);
    return fixture;
}

void fixture_destroy(Fixture *fixture) {
    interpreter_destroy(fixture->interpreter);
    arena_destroy(fixture->arena);
}

static Value *input_node(Fixture *fixture, const char *name, Type type) {
    return build_stated(&fixture->builder, OP_input, name, type, NULL, 0,
                        ATTRIBUTES(attribute_text("name", name)));
}

static size_t element_count(const Fixture *fixture, const Type *type) {
    if (type->form == FORM_MASKED)
        return (size_t)(type->batch * type_positions(type) * type->channels);
    return (size_t)graph_elements(fixture->graph, type);
}

Value *fixture_input(Fixture *fixture, const char *name, Type type, const double *data) {
    FixtureInput input = {name, data, element_count(fixture, &type)};
    vector_push(fixture->arena, &fixture->inputs, input);
    return input_node(fixture, name, type);
}

Value *fixture_cells(Fixture *fixture) {
    const Geometry *geometry = &fixture->graph->geometry;
    const int64_t shape[] = {geometry->batch, geometry->keep};
    return input_node(fixture, "cells", type_plain(DTYPE_I32, 2, shape));
}

double *fixture_numbers(Fixture *fixture, const char *name, size_t count) {
    double *numbers = arena_new_array(fixture->arena, double, count);
    uint32_t seed = 0;
    for (const char *letter = name; *letter; letter++)
        seed = seed * 31 + (uint32_t)(unsigned char)*letter;
    for (size_t i = 0; i < count; i++)
        numbers[i] = random_word(seed, 0, 0, i) * 0x1p-31 - 1;
    return numbers;
}

Value *fixture_random(Fixture *fixture, const char *name, Type type) {
    return fixture_input(fixture, name, type,
                         fixture_numbers(fixture, name, element_count(fixture, &type)));
}

void fixture_output(Fixture *fixture, const char *name, Value *value) {
    build(&fixture->builder, OP_output, NULL, OPERANDS(value),
          ATTRIBUTES(attribute_text("name", name)));
}

void fixture_start(Fixture *fixture) {
    fixture->interpreter = interpreter_create(fixture->graph);
}

void fixture_run(Fixture *fixture) {
    if (!fixture->interpreter)
        fixture_start(fixture);
    for (size_t i = 0; i < fixture->inputs.count; i++) {
        const FixtureInput *input = &fixture->inputs.items[i];
        Status status = interpreter_set_input(fixture->interpreter, fixture->arena, input->name,
                                              input->data, input->count);
        CU_ASSERT_PTR_NULL_FATAL(status.message);
    }
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(fixture->interpreter, fixture->arena).message);
}

Tensor fixture_tensor(Fixture *fixture, const char *name) {
    Tensor tensor = interpreter_output(fixture->interpreter, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor.data);
    return tensor;
}

Tensor fixture_evaluate(Fixture *fixture, Value *value) {
    fixture_output(fixture, "y", value);
    fixture_run(fixture);
    return fixture_tensor(fixture, "y");
}

double fixture_inner_product(Fixture *fixture, const char *a, const char *b) {
    Tensor first = fixture_tensor(fixture, a), second = fixture_tensor(fixture, b);
    CU_ASSERT_EQUAL_FATAL(first.count, second.count);
    double sum = 0;
    for (size_t i = 0; i < first.count; i++)
        sum += first.data[i] * second.data[i];
    return sum;
}

Type fixture_map(int64_t batch, int64_t height, int64_t width, int64_t channels) {
    const int64_t extents[] = {height, width};
    return type_dense(DTYPE_F32, batch, 2, extents, channels);
}

void fixture_expect(Tensor tensor, const double *expected, size_t count) {
    CU_ASSERT_EQUAL_FATAL(tensor.count, count);
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        CU_ASSERT_DOUBLE_EQUAL(tensor.data[i], expected[i], 1e-12 * largest);
}
