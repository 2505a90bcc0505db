/* What the machine has. */
#ifndef SPARKC_BASE_MACHINE_H
#define SPARKC_BASE_MACHINE_H

#include <stdint.h>

/* The bytes of memory that this process may still take: what is free or can be freed, and swap,
 * within the limit of its control group. UINT64_MAX if the machine does not say. */
uint64_t machine_free_memory(void);

#endif
