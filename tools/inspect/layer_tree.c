#include "tools/inspect/layer_tree.h"

#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

typedef struct LabelEntry {
    const char *label;
    LayerTree *layer;
    UT_hash_handle hh;
} LabelEntry;

static LayerTree *create(Arena *arena, const char *label, const char *name) {
    LayerTree *layer = arena_new(arena, LayerTree);
    layer->label = label;
    layer->name = name;
    return layer;
}

LayerTree *layer_tree_create(Arena *arena) {
    return create(arena, "", "");
}

/* The child whose label are the bytes of `name` from `begin` to `end`. */
static LayerTree *find_child(Arena *arena, LayerTree *parent, const char *name, size_t begin,
                             size_t end) {
    LabelEntry *entry;
    HASH_FIND(hh, parent->index, name + begin, end - begin, entry);
    if (entry)
        return entry->layer;
    entry = arena_new(arena, LabelEntry);
    entry->label = arena_copy_text(arena, name + begin, end - begin);
    entry->layer = create(arena, entry->label, arena_copy_text(arena, name, end));
    HASH_ADD_KEYPTR(hh, parent->index, entry->label, end - begin, entry);
    vector_push(arena, &parent->children, entry->layer);
    return entry->layer;
}

LayerTree *layer_tree_find(Arena *arena, LayerTree *root, const char *name) {
    LayerTree *layer = root;
    size_t begin = 0;
    for (int depth = 1; name[begin]; depth++) {
        size_t length =
            depth < LAYER_TREE_DEPTH ? strcspn(name + begin, ".") : strlen(name + begin);
        layer = find_child(arena, layer, name, begin, begin + length);
        begin += length + (name[begin + length] == '.');
    }
    return layer;
}
