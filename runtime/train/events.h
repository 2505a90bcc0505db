/* TensorBoard event files: scalars and pictures by step (runtime/train/events.proto; records framed
 * as TFRecord). */
#ifndef SPARKC_RUNTIME_TRAIN_EVENTS_H
#define SPARKC_RUNTIME_TRAIN_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct Events Events;

/* Begins a new file in `folder`, named as TensorBoard wants it and sorted behind those that are
 * there; the folder is made if missing. Readers are told that steps beyond `step` of earlier files
 * are void (SessionLog START of step + 1): a resumed run does them again. The caller closes it
 * before the arena dies. */
Status events_open(Arena *arena, const char *folder, int64_t step, Events **events);
void events_close(Events *events); /* NULL is allowed */

/* Appends a record and hands it to the system: it survives the end of the process. On failure no
 * part of it is there. Nothing is allocated in `arena` but a failure's message. A value is stored
 * as a float; a picture has 1 (grey), 3 (RGB) or 4 (RGBA) channels and is `length` bytes of PNG. */
Status events_scalar(Events *events, Arena *arena, int64_t step, const char *tag, double value);
Status events_picture(Events *events, Arena *arena, int64_t step, const char *tag, int width,
                      int height, int channels, const void *png, size_t length);

#endif
