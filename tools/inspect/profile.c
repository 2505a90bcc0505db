#include "tools/inspect/profile.h"

#include <jansson.h>
#include <string.h>

#include "base/text.h"
#include "runtime/file.h"

enum { LARGEST_TRACE = 1 << 28 };

struct Profile {
    json_t *seconds; /* by name, of all steps together */
    double step_seconds;
    int steps;
};

/* Names of kernels stand in a trace as text_append_escaped writes them. */
static void add_event(Profile *profile, const json_t *event) {
    const char *phase = json_string_value(json_object_get(event, "ph"));
    const char *category = json_string_value(json_object_get(event, "cat"));
    const char *name = json_string_value(json_object_get(event, "name"));
    double seconds = 1e-6 * json_number_value(json_object_get(event, "dur"));
    if (!phase || !category || !name || strcmp(phase, "X") != 0 || !(seconds >= 0))
        return;
    if (strcmp(category, "step") == 0) {
        profile->steps++;
        profile->step_seconds += seconds;
    } else if (strcmp(category, "launch") != 0) {
        double before = json_number_value(json_object_get(profile->seconds, name));
        json_object_set_new(profile->seconds, name, json_real(before + seconds));
    }
}

Status profile_read(Arena *arena, const char *path, Profile **profile) {
    char *bytes;
    size_t length, i;
    json_error_t error;
    json_t *event;
    status_return_if_failed(file_read(arena, path, LARGEST_TRACE, &bytes, &length));
    json_t *trace = json_loadb(bytes, length, 0, &error);
    if (!trace)
        return status_failure(arena, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    Profile *made = arena_new(arena, Profile);
    made->seconds = json_object();
    json_array_foreach(json_object_get(trace, "traceEvents"), i, event) add_event(made, event);
    json_decref(trace);
    *profile = made;
    if (made->steps > 0)
        return STATUS_FINE;
    profile_destroy(made);
    return status_failure(
        arena, "%s: there is no step in it; `sparkc bench --profile` writes traces", path);
}

void profile_destroy(Profile *profile) {
    if (profile)
        json_decref(profile->seconds);
}

double profile_seconds(const Profile *profile, const char *kernel) {
    Arena *arena = arena_create();
    Text name = text_create(arena);
    text_append_escaped(&name, kernel);
    double sum = json_number_value(json_object_get(profile->seconds, name.data));
    arena_destroy(arena);
    return sum / profile->steps;
}

double profile_step_seconds(const Profile *profile) {
    return profile->step_seconds / profile->steps;
}
