/* What people read of a network at a stage: its text, or a layer's part of it, with costs. */
#ifndef SPARKC_TOOLS_INSPECT_STAGE_TEXT_H
#define SPARKC_TOOLS_INSPECT_STAGE_TEXT_H

#include "tools/inspect/stages.h"

typedef struct StageTextOptions {
    const char *only; /* NULL: everything; else the ops and kernels of this name or below it, and
                         what they read from and are read by, each behind a remark */
    bool costs;       /* behind each op or kernel its share of multiply-adds and of bytes */
} StageTextOptions;

/* The text. Without `only` it reads back (stages_read): costs are comments. NULL if nothing has the
 * name of `only`. */
char *stage_text(Arena *arena, const Staged *staged, const StageTextOptions *options);

/* The kernels of a program that have the name or lie below it: a program of its own that shares
 * everything else. */
Program *stage_text_kernels(Arena *arena, const Program *program, const char *only);

#endif
