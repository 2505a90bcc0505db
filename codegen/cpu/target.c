/* Which CPU code is written for. */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/text.h"
#include "codegen/cpu/cpu.h"

/* A level of a family: forced by name, and what the host must have for it. Best first. */
typedef struct CpuLevel {
    const char *name, *processor, *architecture;
    const char *needs;    /* features separated by commas */
    const char *features; /* given to LLVM when the level is forced */
    int lanes, registers;
    bool fused, masked, rounds;
    CpuTiles tiles;
} CpuLevel;

#define AVX2_FEATURES   "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
#define AVX512_NEEDS    "+avx512f,+avx512bw,+avx512vl,+avx512dq,+fma"
#define AVX512_FEATURES "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl," AVX2_FEATURES

static const CpuLevel levels[] = {
    {"x86-64-amx", "x86-64-v4", "x86_64", "+amx-tile,+amx-bf16," AVX512_NEEDS,
     "+amx-tile,+amx-bf16," AVX512_FEATURES, 16, 32, true, true, true, CPU_TILES_AMX},
    {"x86-64-v4-bf16", "x86-64-v4", "x86_64", "+avx512bf16," AVX512_NEEDS,
     "+avx512bf16," AVX512_FEATURES, 16, 32, true, true, true, CPU_TILES_PAIRS},
    {"x86-64-v4", "x86-64-v4", "x86_64", AVX512_NEEDS, AVX512_FEATURES, 16, 32, true, true, true,
     CPU_TILES_NONE},
    {"x86-64-v4-tiles", "x86-64-v4", "x86_64", AVX512_NEEDS, AVX512_FEATURES, 16, 32, true, true,
     true, CPU_TILES_WRITTEN_OUT},
    {"x86-64-v3", "x86-64-v3", "x86_64", "+avx2,+fma", AVX2_FEATURES, 8, 16, true, true, true,
     CPU_TILES_NONE},
    {"x86-64-v2", "x86-64-v2", "x86_64", "+sse4.2,+popcnt", "+cx16,+popcnt,+sahf,+sse4.2", 4, 16,
     false, false, true, CPU_TILES_NONE},
    {"x86-64", "x86-64", "x86_64", "", "", 4, 16, false, false, false, CPU_TILES_NONE},
    {"generic", "generic", "aarch64", "", "+neon", 4, 32, true, false, true, CPU_TILES_NONE},
    {"generic", "generic", "riscv64", "", "+a,+c,+d,+f,+m", 4, 32, true, false, true,
     CPU_TILES_NONE},
    {"generic", "generic", "", "", "", 4, 16, false, false, false, CPU_TILES_NONE},
};

/* Linux lets a process have the registers of tiles once it has asked (arch_prctl,
 * ARCH_REQ_XCOMP_PERM, XTILEDATA); threads inherit it. */
static bool may_use_tiles(void) {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

/* Whether the processor starts products of pairs as often as fp32's multiply-adds, and so does
 * twice the work: AMD's (Zen 4 and later) do. Intel's do half of fp32's work with them
 * (docs/performance.md). */
static bool has_fast_pairs(void) {
#if defined(__x86_64__)
    static const char amd[] = "AuthenticAMD";
    unsigned leaf, vendor[3];
    return __get_cpuid(0, &leaf, &vendor[0], &vendor[2], &vendor[1]) &&
           memcmp(vendor, amd, sizeof vendor) == 0;
#else
    return false;
#endif
}

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

/* Whether a processor of these features runs a level's code, and the system lets it. */
static bool can_run(const CpuLevel *level, const char *features) {
    return has_features(features, level->needs) &&
           (level->tiles != CPU_TILES_AMX || may_use_tiles());
}

/* Whether a level is chosen where none is named. */
static bool suits(const CpuLevel *level, const char *features) {
    return can_run(level, features) && (level->tiles != CPU_TILES_PAIRS || has_fast_pairs());
}

static const CpuLevel *find_level(const char *triple, const char *name, const char *features) {
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const CpuLevel *level = &levels[i];
        bool same = text_starts_with(triple, level->architecture);
        if (same && (name ? strcmp(name, level->name) == 0 : suits(level, features)))
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
                              "no CPU is called %s for %s; x86-64-amx, x86-64-v4-bf16, x86-64-v4, "
                              "x86-64-v3, x86-64-v2, x86-64 and, for other processors, generic are "
                              "known",
                              name ? name : "", target->triple);
    if (!cross && !can_run(level, features))
        return status_failure(arena, "this machine cannot run %s: it needs %s", level->name,
                              level->needs);
    target->cpu = level->name;
    target->processor = level->processor;
    target->features = sort_features(arena, name || cross ? level->features : features);
    target->lanes = level->lanes;
    target->registers = level->registers;
    target->fused = level->fused;
    target->masked = level->masked;
    target->rounds = level->rounds;
    target->tiles = level->tiles;
    return STATUS_FINE;
}
