/* What a run was trained on, in a line: changes if samples come, go, or change in size or order. */
#ifndef SPARKC_RUNTIME_DATA_FINGERPRINT_H
#define SPARKC_RUNTIME_DATA_FINGERPRINT_H

#include "runtime/data/source.h"

/* "sha256:<64 digits>" over the number of samples and each one's size and name, in the arena. Names
 * are without the folders that say where a source lies (SourcePart), so that data that are moved
 * keep their fingerprint. Bytes of pictures are not read. */
char *data_fingerprint(Arena *arena, const Source *source);

#endif
