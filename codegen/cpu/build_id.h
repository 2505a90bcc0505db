/* Which build of a program or library is running. */
#ifndef SPARKC_CODEGEN_CPU_BUILD_ID_H
#define SPARKC_CODEGEN_CPU_BUILD_ID_H

#include "base/arena.h"

/* The build id (a note that the linker writes: a hash over all of the file) of the loaded file in
 * which `address` lies, as hexadecimal digits; NULL if it has none. */
const char *build_id_find(Arena *arena, const void *address);

#endif
