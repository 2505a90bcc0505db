/* What the processor calls itself. */
#ifndef SPARKC_TOOLS_CPU_NAME_H
#define SPARKC_TOOLS_CPU_NAME_H

#include "base/arena.h"

/* The "model name" of /proc/cpuinfo, escaped for a terminal; "" if the system does not say. Virtual
 * machines may hide or change it. */
const char *cpu_name(Arena *arena);

#endif
