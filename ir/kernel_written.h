/* Which elements of scratch and output buffers have been written. A buffer that one kernel fills
 * costs nothing; only one that is written in parts is tracked element by element. Private to ir/.
 */
#ifndef SPARKC_IR_KERNEL_WRITTEN_H
#define SPARKC_IR_KERNEL_WRITTEN_H

#include "ir/kernel_footprint.h"

typedef struct Written Written;

/* Nothing is written yet. Freed by written_destroy. */
Written *kernel_written_create(const Program *program);
void kernel_written_destroy(Written *written);

/* Marks the elements of a footprint, which lies inside its buffer and touches no element twice. */
void kernel_written_mark(Written *written, const Footprint *footprint);

/* True if all elements of a footprint are marked; of a buffer. */
bool kernel_written_covers(Written *written, const Footprint *footprint);
bool kernel_written_full(const Written *written, int buffer);

/* Forgets a buffer that nothing reads any more. */
void kernel_written_drop(Written *written, int buffer);

#endif
