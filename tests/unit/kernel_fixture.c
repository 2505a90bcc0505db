#include "tests/unit/kernel_fixture.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "ir/kernel_parse.h"

static const double visible_cells[FIXTURE_BATCH * FIXTURE_KEEP] = {0, 2, 5, 1, 3, 4};

const char kernel_fixture_head[] =
    "sparkc program 1\nnetwork test\nstage test\n"
    "geometry {batch=2, image=[8, 12], channels=3, ratio=4, keep=3}\n";

const char kernel_fixture_levels[] =
    "buffer cells : i32 inputs {elements=6}\n"
    "buffer map.1 : i32 scratch {elements=384}\n"
    "buffer map.2 : i32 scratch {elements=160}\n"
    "level %map.1 of masked {extent=[8, 12], stride=1} {border=[2, 2]}\n"
    "level %map.2 of masked {extent=[4, 6], stride=2} {border=[2, 2]}\n"
    "cells %inputs:cells\n";

const char kernel_fixture_maps[] = "kernel map.1 : position_map x 1\n"
                                   "    space masked {extent=[8, 12], stride=1}\n"
                                   "    map %map.1\n"
                                   "kernel map.2 : position_map x 1\n"
                                   "    space masked {extent=[4, 6], stride=2}\n"
                                   "    map %map.2\n";

KernelFixture kernel_fixture_create(const char *body) {
    KernelFixture fixture = {.arena = arena_create()};
    Diagnostics *diagnostics = diagnostics_create(fixture.arena, 20);
    const char *text = arena_format(fixture.arena, "%s%send\n", kernel_fixture_head, body);
    fixture.program = kernel_parse(fixture.arena, diagnostics, "test.ir", text, strlen(text));
    if (!fixture.program)
        printf("\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.program);
    fixture.interpreter = kernel_interpreter_create(fixture.program);
    if (fixture.program->cells >= 0)
        kernel_fixture_give_cells(fixture.interpreter, fixture.arena);
    return fixture;
}

void kernel_fixture_give_cells(KernelInterpreter *values, Arena *arena) {
    Status status = kernel_interpreter_set_input(values, arena, "cells", visible_cells,
                                                 FIXTURE_BATCH * FIXTURE_KEEP);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

void kernel_fixture_destroy(KernelFixture *fixture) {
    kernel_interpreter_destroy(fixture->interpreter);
    arena_destroy(fixture->arena);
}

static Type parse_type(const char *text) {
    Type type;
    CU_ASSERT_FATAL(type_parse(&text, &type));
    return type;
}

/* The elements of a type with all its positions. */
static size_t dense_count(const Type *type) {
    int64_t count = type->form == FORM_PLAIN ? 1 : type->batch * type->channels;
    for (int d = 0; d < type->rank; d++)
        count *= type->extent[d];
    return (size_t)count;
}

static bool is_visible(const Type *type, size_t element) {
    int64_t position = (int64_t)element / type->channels;
    int64_t x = position % type->extent[1], y = position / type->extent[1] % type->extent[0];
    return kernel_fixture_visible(type->stride, position / type->extent[1] / type->extent[0], y, x);
}

const double *kernel_fixture_input(KernelFixture *fixture, const char *name, const char *type) {
    Type parsed = parse_type(type);
    size_t count = dense_count(&parsed);
    double *data = arena_new_array(fixture->arena, double, count);
    uint32_t seed = (uint32_t)name[0] * 31 + (uint32_t)strlen(name);
    for (size_t i = 0; i < count; i++)
        if (parsed.form != FORM_MASKED || is_visible(&parsed, i))
            data[i] = (double)(random_word(seed, 1, 2, i) % 31) / 8 - 15.0 / 8;
    kernel_fixture_set(fixture, name, type, data);
    return data;
}

void kernel_fixture_set(KernelFixture *fixture, const char *name, const char *type,
                        const double *data) {
    Type parsed = parse_type(type);
    int buffer = kernel_find_buffer(fixture->program, REGION_INPUTS, name);
    CU_ASSERT_FATAL(buffer >= 0);
    View view = kernel_interpreter_whole_view(fixture->program, buffer, &parsed);
    kernel_interpreter_write(fixture->interpreter, &view, &parsed, data);
}

void kernel_fixture_run(KernelFixture *fixture) {
    Status status = kernel_interpreter_run(fixture->interpreter, fixture->arena);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

const double *kernel_fixture_output(KernelFixture *fixture, const char *name, const char *type) {
    Type parsed = parse_type(type);
    Tensor output = kernel_interpreter_output(fixture->interpreter, fixture->arena, name, &parsed);
    CU_ASSERT_PTR_NOT_NULL_FATAL(output.data);
    CU_ASSERT_EQUAL_FATAL(output.count, dense_count(&parsed));
    return output.data;
}

bool kernel_fixture_visible(int64_t stride, int64_t image, int64_t y, int64_t x) {
    double cell = (double)(y * stride / 4 * 3 + x * stride / 4);
    for (int i = 0; i < FIXTURE_KEEP; i++)
        if (visible_cells[image * FIXTURE_KEEP + i] == cell)
            return true;
    return false;
}
