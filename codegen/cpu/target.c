/* Which CPU code is written for. */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "codegen/cpu/cpu.h"

/* A level of a family: forced by name, and what the host must have for it. Best first. */
typedef struct CpuLevel {
    const char *name, *architecture, *needs; /* needs: features separated by commas */
    const char *features;                    /* given to LLVM when the level is forced */
    int lanes, registers;
    bool fused, masked, rounds;
} CpuLevel;

static const CpuLevel levels[] = {
    {"x86-64-v4", "x86_64", "+avx512f,+avx512bw,+avx512vl,+avx512dq,+fma",
     "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe",
     16, 32, true, true, true},
    {"x86-64-v3", "x86_64", "+avx2,+fma", "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", 8, 16, true,
     true, true},
    {"x86-64-v2", "x86_64", "+sse4.2,+popcnt", "+cx16,+popcnt,+sahf,+sse4.2", 4, 16, false, false,
     true},
    {"x86-64", "x86_64", "", "", 4, 16, false, false, false},
    {"generic", "aarch64", "", "+neon", 4, 32, true, false, true},
    {"generic", "riscv64", "", "+a,+c,+d,+f,+m", 4, 32, true, false, true},
    {"generic", "", "", "", 4, 16, false, false, false},
};

static bool has_features(const char *features, const char *needed) {
    while (*needed) {
        size_t length = strcspn(needed, ",");
        const char *found = features;
        bool has = false;
        while (!has && (found = strstr(found, "+"))) {
            has = strncmp(found, needed, length) == 0 &&
                  (found[length] == ',' || found[length] == '\0');
            found++;
        }
        if (!has)
            return false;
        needed += length + (needed[length] == ',');
    }
    return true;
}

static const CpuLevel *find_level(const char *triple, const char *name, const char *features) {
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const CpuLevel *level = &levels[i];
        bool same = text_starts_with(triple, level->architecture);
        if (same && (name ? strcmp(name, level->name) == 0 : has_features(features, level->needs)))
            return level;
    }
    return NULL;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The features in alphabetical order, so that equal sets are equal texts. */
static const char *sort_features(Arena *arena, const char *features) {
    const char *list[512];
    size_t count = 0;
    char *copy = arena_copy_text(arena, features, strlen(features));
    for (char *item = strtok(copy, ","); item && count < 512; item = strtok(NULL, ","))
        list[count++] = item;
    qsort(list, count, sizeof *list, by_text);
    Text text = text_create(arena);
    for (size_t i = 0; i < count; i++)
        text_append(&text, "%s%s", i ? "," : "", list[i]);
    return text.data;
}

Status cpu_target(Arena *arena, const char *triple, const char *name, bool cross,
                  CpuTarget *target) {
    char *host = LLVMGetDefaultTargetTriple(), *found = LLVMGetHostCPUFeatures();
    const char *features = arena_copy_text(arena, found, strlen(found));
    target->triple = triple ? triple : arena_copy_text(arena, host, strlen(host));
    LLVMDisposeMessage(host);
    LLVMDisposeMessage(found);
    const CpuLevel *level = find_level(target->triple, name, cross && !name ? "" : features);
    if (!level)
        return status_failure(arena,
                              "no CPU is called %s for %s; x86-64-v4, x86-64-v3, x86-64-v2, x86-64 "
                              "and, for other processors, generic are known",
                              name ? name : "", target->triple);
    if (!cross && !has_features(features, level->needs))
        return status_failure(arena, "this machine cannot run %s: it needs %s", level->name,
                              level->needs);
    target->cpu = level->name;
    target->features = sort_features(arena, name || cross ? level->features : features);
    target->lanes = level->lanes;
    target->registers = level->registers;
    target->fused = level->fused;
    target->masked = level->masked;
    target->rounds = level->rounds;
    return STATUS_FINE;
}
