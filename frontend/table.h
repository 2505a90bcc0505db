/* Names to pointers, in an arena. */
#ifndef SPARKC_FRONTEND_TABLE_H
#define SPARKC_FRONTEND_TABLE_H

#include "base/arena.h"

typedef struct Table Table;

/* An empty table. */
Table *table_create(Arena *arena);

/* What was put under a name, or NULL. */
void *table_get(const Table *table, const char *name);

/* Puts an item under a name, which is borrowed; replaces an earlier one. */
void table_put(Table *table, const char *name, void *item);

#endif
