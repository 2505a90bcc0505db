/* The networks that are shipped: each elaborates without a message; names and shapes equal those of
 * the reference zoo where that folder is there (environment SPARKC_SHARED). */
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ir/verify.h"
#include "tests/unit/frontend_suites.h"

static const char *variable(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void compare_tensor(const Built *built, const json_t *tensor) {
    const char *name = json_string_value(json_array_get(tensor, 0));
    const json_t *shape = json_array_get(tensor, 1);
    const StateSlot *state = graph_find_state(built->graph, name);
    Text wanted = text_create(built->arena);
    for (size_t d = 0; d < json_array_size(shape); d++)
        text_append(&wanted, "%s%lld", d ? "x" : "",
                    (long long)json_integer_value(json_array_get(shape, d)));
    const char *found = state ? arena_format(built->arena, "%lld", (long long)state->type.extent[0])
                              : segment_shape(built, name);
    if (strcmp(found, wanted.data) != 0)
        printf("%s of %s: %s, in the zoo %s\n", name, built->graph->network, found, wanted.data);
    CU_ASSERT_STRING_EQUAL(found, wanted.data);
}

static bool is_counter(const char *name) {
    return text_ends_with(name, ".num_batches_tracked");
}

/* The zoo lists every parameter and statistic but the counters of batches. */
static void compare_with_zoo(const Built *built, const json_t *zoo) {
    const json_t *tensors = json_object_get(zoo, "tensors");
    size_t count = built->graph->segments.count;
    for (size_t i = 0; i < built->graph->states.count; i++)
        count += !is_counter(built->graph->states.items[i].name);
    size_t listed = 0;
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        if (is_counter(json_string_value(json_array_get(tensor, 0))))
            continue;
        compare_tensor(built, tensor);
        listed++;
    }
    CU_ASSERT_EQUAL(count, listed);
}

static void check_network(const char *path, const char *name, size_t *compared) {
    Built built = {.arena = arena_create()};
    Diagnostics *diagnostics = diagnostics_create(built.arena, FRONTEND_ERROR_LIMIT);
    FrontendOptions options = {.network = name};
    built.file = frontend_read(built.arena, diagnostics, path, NULL);
    built.graph = built.file ? frontend_build(built.file, diagnostics, &options) : NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(built.graph);
    CU_ASSERT_TRUE(verify_graph(built.graph, diagnostics));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
    const char *reference = arena_format(built.arena, "%s/reference/zoo/%s.json",
                                         variable("SPARKC_SHARED", "../shared"), name);
    json_t *zoo = json_load_file(reference, 0, NULL);
    if (zoo) {
        compare_with_zoo(&built, zoo);
        (*compared)++;
    }
    json_decref(zoo);
    arena_destroy(built.arena);
}

static void check_file(const char *path, size_t *built, size_t *compared) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendFile *file = frontend_read(arena, diagnostics, path, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t count;
    const FrontendNetwork *networks = frontend_networks(file, &count);
    for (size_t i = 0; i < count; i++)
        if (!networks[i].template) {
            check_network(path, networks[i].name, compared);
            (*built)++;
        }
    arena_destroy(arena);
}

static void all_models(void) {
    Arena *arena = arena_create();
    size_t built = 0, compared = 0;
    glob_t found = {0};
    const char *pattern = arena_format(arena, "%s/models/*.cnn", variable("SPARKC_SOURCE", "."));
    CU_ASSERT_EQUAL_FATAL(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_file(found.gl_pathv[i], &built, &compared);
    CU_ASSERT_TRUE(found.gl_pathc >= 13);
    CU_ASSERT_TRUE(built >= 35);
    printf("%zu networks, %zu of them in the zoo ", built, compared);
    globfree(&found);
    arena_destroy(arena);
}

CU_TestInfo frontend_models[] = {
    {"all models", all_models},
    CU_TEST_INFO_NULL,
};
