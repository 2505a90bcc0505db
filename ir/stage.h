/* The stages of a graph on its way to a program, in order: ir/stages.def. */
#ifndef SPARKC_IR_STAGE_H
#define SPARKC_IR_STAGE_H

typedef enum Stage {
#define STAGE(name) STAGE_##name,
#include "ir/stages.def"
#undef STAGE
} Stage;

/* How many there are. */
enum {
    STAGE_COUNT = 0
#define STAGE(name) +1
#include "ir/stages.def"
#undef STAGE
};

/* The name of a stage, as a text of the graph has it behind "stage". */
const char *stage_name(Stage stage);

/* The stage of a name, or -1. */
int stage_find(const char *name);

#endif
