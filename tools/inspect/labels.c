#include "tools/inspect/labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { MOST_NEAR = 5 };

bool label_is_in(const char *name, const char *layer) {
    size_t length = strlen(layer);
    return strncmp(name, layer, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

int label_depth(const char *name) {
    int depth = 1;
    for (; *name; name++)
        depth += *name == '.';
    return depth;
}

size_t label_prefix(const char *name, int depth) {
    size_t length = 0;
    for (; name[length]; length++) {
        if (name[length] == '.' && --depth == 0)
            break;
    }
    return length;
}

const char *label_layer(Arena *arena, const Program *program, const char *name) {
    size_t longest = 0, length = strlen(name);
    for (size_t i = 0; i < program->segments.count; i++) {
        const char *segment = program->segments.items[i].name, *dot = strrchr(segment, '.');
        size_t layer = dot ? (size_t)(dot - segment) : strlen(segment);
        bool starts = layer <= length && strncmp(segment, name, layer) == 0 &&
                      (name[layer] == '.' || name[layer] == '\0');
        if (starts && layer > longest)
            longest = layer;
    }
    const char *gradient = strstr(name, ".grad");
    if (!longest)
        longest = gradient ? (size_t)(gradient - name) : length;
    return arena_copy_text(arena, name, longest);
}

typedef struct Names {
    VECTOR(const char *) list;
} Names;

const char *const *label_names(Arena *arena, const Staged *staged, size_t *count) {
    Names names = {0};
    const Program *program = staged->build.program;
    for (size_t i = 0; program && i < program->kernels.count; i++)
        vector_push(arena, &names.list, program->kernels.items[i]->name);
    for (const Node *node = program ? NULL : staged->graph->first; node; node = node->next) {
        for (int i = 0; i < op_info(node->op)->result_count; i++)
            vector_push(arena, &names.list, node->results[i].name);
    }
    *count = names.list.count;
    return names.list.items;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All names and what they lie below, each once, sorted. */
static Names every_label(Arena *arena, const Staged *staged) {
    size_t count, kept = 0;
    Names labels = {0};
    const char *const *names = label_names(arena, staged, &count);
    for (size_t i = 0; i < count; i++) {
        for (int depth = label_depth(names[i]); depth > 0; depth--) {
            const char *label = arena_copy_text(arena, names[i], label_prefix(names[i], depth));
            vector_push(arena, &labels.list, label);
        }
    }
    if (labels.list.count)
        qsort(labels.list.items, labels.list.count, sizeof *labels.list.items, by_name);
    for (size_t i = 0; i < labels.list.count; i++) {
        if (kept == 0 || strcmp(labels.list.items[kept - 1], labels.list.items[i]) != 0)
            labels.list.items[kept++] = labels.list.items[i];
    }
    labels.list.count = kept;
    return labels;
}

/* The place of the label that `name` may best have been meant for; the count if there is none. */
static size_t find_near(const Names *labels, const char *name) {
    for (size_t i = 0; i < labels->list.count; i++) {
        if (*name && strstr(labels->list.items[i], name))
            return i;
    }
    const char *nearest = text_nearest(name, labels->list.items, labels->list.count);
    size_t place = 0;
    while (place < labels->list.count && labels->list.items[place] != nearest)
        place++;
    return place;
}

const char *label_near(Arena *arena, const Staged *staged, const char *name) {
    Names labels = every_label(arena, staged), near = {0};
    while (near.list.count < MOST_NEAR) {
        size_t place = find_near(&labels, name);
        if (place == labels.list.count)
            break;
        const char **label = labels.list.items + place;
        vector_push(arena, &near.list, *label);
        memmove(label, label + 1, (--labels.list.count - place) * sizeof *label);
    }
    Text text = text_create(arena);
    for (size_t i = 0; i < near.list.count; i++) {
        const char *between = i == 0 ? "" : i + 1 == near.list.count ? " or " : ", ";
        text_append(&text, "%s%s", between, near.list.items[i]);
    }
    return near.list.count ? text.data : NULL;
}
