#include "ir/stage.h"

#include <string.h>

static const char *const names[] = {
#define STAGE(name) #name,
#include "ir/stages.def"
#undef STAGE
};

const char *stage_name(Stage stage) {
    return names[stage];
}

int stage_find(const char *name) {
    for (int i = 0; i < STAGE_COUNT; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return -1;
}
