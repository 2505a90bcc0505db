/* How long kernels took, from a trace that `sparkc bench --profile` wrote. */
#ifndef SPARKC_TOOLS_INSPECT_PROFILE_H
#define SPARKC_TOOLS_INSPECT_PROFILE_H

#include "base/status.h"

typedef struct Profile Profile;

/* Reads a trace, which may come from anywhere; the caller destroys the result. Fails if the file
 * holds no steps. */
Status profile_read(Arena *arena, const char *path, Profile **profile);
void profile_destroy(Profile *profile);

/* Mean seconds per step of the kernel of this name; 0 if the trace has none. */
double profile_seconds(const Profile *profile, const char *kernel);

/* Mean seconds of a step. */
double profile_step_seconds(const Profile *profile);

#endif
