/* Tuned choices on disk: a JSON file for each processor, level of code and number of threads, in
 * the folder of the code cache, whose rules of trust it shares (codegen/cpu/cache.h). What is in it
 * decides how fast code is, never what it computes; still nothing is taken from a file that is
 * damaged or that another processor or another sparkc has measured. */
#ifndef SPARKC_TOOLS_TUNE_TUNING_FILE_H
#define SPARKC_TOOLS_TUNE_TUNING_FILE_H

#include "codegen/cpu/choices.h"

typedef struct TuningFile {
    const char *path;
    const char *cpu, *level; /* the processor's name, the target's */
    int threads;
    const char *build; /* hash of all that decides code beside the kernel */
} TuningFile;

/* The file for this processor in a folder. False if the build of sparkc cannot be told, so that
 * nothing may be kept. */
bool tuning_file_find(Arena *arena, const char *folder, const CpuTarget *target, int threads,
                      TuningFile *file);

/* What the file holds; *tuning is empty, never NULL, if there is no file or nothing may be taken
 * from it. Only the latter is a failure, which says why. */
Status tuning_file_read(Arena *arena, const TuningFile *file, CpuTuning **tuning);

/* Replaces the file. */
Status tuning_file_write(Arena *arena, const TuningFile *file, const CpuTuning *tuning);

#endif
