/* PREFIX_supported: whether the processor that it runs on has all that an object's code uses. */
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"
#include "codegen/cpu/artefact.h"

typedef enum CpuidRegister { EAX, EBX, ECX, EDX } CpuidRegister;

/* Bits of one register that cpuid must give. */
typedef struct CpuidNeed {
    uint32_t leaf, subleaf;
    CpuidRegister in;
    uint32_t bits;
} CpuidNeed;

enum { MOST_NEEDS = 4 };

/* What the levels of the x86-64 ABI add to one another, and the registers that the system must save
 * for them: the bits of XCR0. */
typedef struct LevelNeeds {
    const char *cpu;
    CpuidNeed needs[MOST_NEEDS];
    int need_count;
    uint32_t saved;
} LevelNeeds;

static const LevelNeeds levels[] = {
    /* sse3 ssse3 cx16 sse4.1 sse4.2 popcnt; lahf */
    {"x86-64-v2",
     {{1, 0, ECX, 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23},
      {0x80000001u, 0, ECX, 1u << 0}},
     2,
     0},
    /* fma movbe osxsave avx f16c; bmi avx2 bmi2; lzcnt */
    {"x86-64-v3",
     {{1, 0, ECX, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29},
      {7, 0, EBX, 1u << 3 | 1u << 5 | 1u << 8},
      {0x80000001u, 0, ECX, 1u << 5}},
     3,
     0x06},
    /* avx512 f dq cd bw vl */
    {"x86-64-v4", {{7, 0, EBX, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31}}, 1, 0xe6},
    /* avx512_bf16 */
    {"x86-64-v4-bf16", {{7, 1, EAX, 1u << 5}}, 1, 0},
};

/* The registers that an instruction leaves, as a structure of i32's. */
static LLVMValueRef emit_instruction(Emitter *e, const char *text, const char *constraints,
                                     int results, LLVMValueRef *arguments, int count) {
    LLVMTypeRef types[] = {e->i32, e->i32, e->i32, e->i32};
    LLVMTypeRef result = LLVMStructTypeInContext(e->context, types, (unsigned)results, 0);
    LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)count, 0);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints),
                                         1, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(e->builder, type, code, arguments, (unsigned)count, "");
}

static LLVMValueRef emit_cpuid(Emitter *e, uint32_t leaf, uint32_t subleaf, CpuidRegister wanted) {
    LLVMValueRef arguments[] = {emit_int32(e, (int32_t)leaf), emit_int32(e, (int32_t)subleaf)};
    LLVMValueRef registers = emit_instruction(
        e, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}", 4, arguments,
        2);
    return LLVMBuildExtractValue(e->builder, registers, wanted, "");
}

static LLVMValueRef has_bits(Emitter *e, LLVMValueRef word, uint32_t bits) {
    LLVMValueRef mask = emit_int32(e, (int32_t)bits);
    return LLVMBuildICmp(e->builder, LLVMIntEQ, LLVMBuildAnd(e->builder, word, mask, ""), mask, "");
}

/* An i1: the leaf is there and has the bits. A subleaf that is not there has none. */
static LLVMValueRef emit_need(Emitter *e, const CpuidNeed *need) {
    LLVMValueRef last = emit_cpuid(e, need->leaf & 0x80000000u, 0, EAX);
    LLVMValueRef there =
        LLVMBuildICmp(e->builder, LLVMIntUGE, last, emit_int32(e, (int32_t)need->leaf), "");
    LLVMValueRef found = emit_cpuid(e, need->leaf, need->subleaf, need->in);
    LLVMValueRef has = has_bits(e, found, need->bits);
    return LLVMBuildAnd(e->builder, there, has, "");
}

/* An i1: the system saves these registers. xgetbv is there if osxsave was found. */
static LLVMValueRef emit_saved(Emitter *e, uint32_t saved) {
    LLVMValueRef zero = emit_int32(e, 0);
    LLVMValueRef low =
        emit_instruction(e, "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}", 2, &zero, 1);
    return has_bits(e, LLVMBuildExtractValue(e->builder, low, 0, ""), saved);
}

/* Sets `fine` to whether the level's needs are met, if it is set. */
static void emit_level(Emitter *e, const LevelNeeds *level, LLVMValueRef fine) {
    LLVMValueRef met = LLVMConstInt(e->i1, 1, 0);
    Branch branch = branch_begin(e, emit_get(e, e->i1, fine));
    for (int i = 0; i < level->need_count; i++)
        met = LLVMBuildAnd(e->builder, met, emit_need(e, &level->needs[i]), "");
    emit_set(e, fine, met);
    branch_end(e, &branch);
    if (!level->saved)
        return;
    Branch save = branch_begin(e, emit_get(e, e->i1, fine));
    emit_set(e, fine, emit_saved(e, level->saved));
    branch_end(e, &save);
}

void emit_supported(Emitter *e, const char *name) {
    emitter_begin_function(e, name, LLVMFunctionType(e->i32, NULL, 0, 0), true);
    LLVMValueRef fine = emit_variable(e, e->i1, LLVMConstInt(e->i1, 1, 0));
    int last = -1;
    for (int i = 0; i < (int)(sizeof levels / sizeof *levels); i++)
        if (strcmp(e->target->cpu, levels[i].cpu) == 0)
            last = i;
    bool asks = text_starts_with(e->target->cpu, "x86-64-");
    invariant(last >= 0 || !asks, "it is not known what %s needs", e->target->cpu);
    for (int i = 0; i <= last; i++)
        emit_level(e, &levels[i], fine);
    LLVMBuildRet(e->builder, LLVMBuildZExt(e->builder, emit_get(e, e->i1, fine), e->i32, ""));
}
