#include "frontend/table.h"

#include <string.h>

/* The hash's own memory comes from the arena that is called `arena` where the macros stand. */
#define uthash_malloc(size)        arena_alloc(arena, 1, (size))
#define uthash_free(pointer, size) ((void)(pointer))
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wconversion"
#include <uthash.h>

typedef struct Entry {
    const char *name;
    void *item;
    UT_hash_handle hh;
} Entry;

struct Table {
    Arena *arena;
    Entry *entries;
};

Table *table_create(Arena *arena) {
    Table *table = arena_new(arena, Table);
    table->arena = arena;
    return table;
}

void *table_get(const Table *table, const char *name) {
    Entry *entry = NULL;
    HASH_FIND_STR(table->entries, name, entry);
    return entry ? entry->item : NULL;
}

void table_put(Table *table, const char *name, void *item) {
    Arena *arena = table->arena;
    Entry *entry = NULL;
    HASH_FIND_STR(table->entries, name, entry);
    if (!entry) {
        entry = arena_new(arena, Entry);
        entry->name = name;
        HASH_ADD_KEYPTR(hh, table->entries, name, strlen(name), entry);
    }
    entry->item = item;
}
