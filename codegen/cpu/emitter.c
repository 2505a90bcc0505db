#include "codegen/cpu/emitter.h"

#include <string.h>

#include "base/fatal.h"

/* ---- Slots ----------------------------------------------------------------------------------- */

int slot_buffer(Slots *slots, int buffer, int64_t base) {
    PlanPointer pointer = {.region = -1, .buffer = buffer};
    if (buffer >= 0) {
        const Buffer *b = &slots->program->buffers.items[buffer];
        invariant(b->offset >= 0, "buffer %s has no place yet", b->name);
        pointer.region = (int)b->region;
        pointer.offset = b->offset + base * (int64_t)dtype_size(b->dtype);
    }
    vector_push(slots->arena, &slots->pointers, pointer);
    return (int)slots->pointers.count - 1;
}

int slot_number(Slots *slots, int64_t number) {
    vector_push(slots->arena, &slots->numbers, number);
    return (int)slots->numbers.count - 1;
}

int slot_table(Slots *slots) {
    int slot = slot_number(slots, (int64_t)slots->table.count);
    vector_push(slots->arena, &slots->tables, slot);
    return slot;
}

void slot_table_entry(Slots *slots, int64_t entry) {
    vector_push(slots->arena, &slots->table, entry);
}

void slots_finish(Slots *slots) {
    int64_t before = (int64_t)slots->numbers.count;
    for (size_t i = 0; i < slots->tables.count; i++)
        slots->numbers.items[slots->tables.items[i]] += before;
    for (size_t i = 0; i < slots->table.count; i++)
        slot_number(slots, slots->table.items[i]);
}

int slot_shared(Slots *slots, int64_t bytes) {
    PlanPointer pointer = {.region = PLAN_SCRATCH, .offset = slots->shared, .buffer = -1};
    slots->shared += plan_round_up(bytes);
    vector_push(slots->arena, &slots->pointers, pointer);
    return (int)slots->pointers.count - 1;
}

/* ---- Modules and functions ------------------------------------------------------------------- */

Emitter *emitter_create(Arena *arena, const CpuTarget *target, const char *module_name) {
    Emitter *e = arena_new(arena, Emitter);
    e->arena = arena;
    e->target = target;
    e->context = LLVMContextCreate();
    e->module = LLVMModuleCreateWithNameInContext(module_name, e->context);
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->f32 = LLVMFloatTypeInContext(e->context);
    e->f64 = LLVMDoubleTypeInContext(e->context);
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i8 = LLVMInt8TypeInContext(e->context);
    e->i16 = LLVMInt16TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->pointer = LLVMPointerTypeInContext(e->context, 0);
    unsigned lanes = (unsigned)target->lanes;
    e->vector_f32 = LLVMVectorType(e->f32, lanes);
    e->vector_f64 = LLVMVectorType(e->f64, lanes);
    e->vector_i32 = LLVMVectorType(e->i32, lanes);
    e->vector_i1 = LLVMVectorType(e->i1, lanes);
    return e;
}

void emitter_destroy(Emitter *e) {
    LLVMDisposeBuilder(e->builder);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->context);
}

static void add_attribute(Emitter *e, LLVMAttributeIndex place, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(e->function, place, LLVMCreateEnumAttribute(e->context, kind, 0));
}

static void add_text_attribute(Emitter *e, const char *key, const char *value) {
    LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value,
                                                      (unsigned)strlen(value)));
}

static LLVMBasicBlockRef new_block(Emitter *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->context, e->function, name);
}

void emitter_begin_function(Emitter *e, const char *name, LLVMTypeRef type, bool everywhere) {
    e->function = LLVMAddFunction(e->module, name, type);
    add_attribute(e, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    add_text_attribute(e, "target-cpu", everywhere ? "" : e->target->processor);
    add_text_attribute(e, "target-features", everywhere ? "" : e->target->features);
    add_text_attribute(e, "prefer-vector-width", e->target->lanes == 16 ? "512" : "256");
    LLVMBasicBlockRef entry = new_block(e, "entry"), body = new_block(e, "body");
    LLVMPositionBuilderAtEnd(e->builder, entry);
    LLVMBuildBr(e->builder, body);
    LLVMPositionBuilderAtEnd(e->builder, body);
}

void emitter_begin(Emitter *e, const char *name) {
    LLVMTypeRef parameters[] = {e->pointer, e->pointer, e->i64, e->pointer};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), parameters, 4, 0);
    emitter_begin_function(e, name, type, false);
    e->pointers = LLVMGetParam(e->function, 0);
    e->numbers = LLVMGetParam(e->function, 1);
    e->chunk = LLVMGetParam(e->function, 2);
    e->workspace = LLVMGetParam(e->function, 3);
}

void emitter_end(Emitter *e) {
    LLVMBuildRetVoid(e->builder);
}

/* Runs `build` code at the end of the entry block, where values dominate everything. */
static LLVMBasicBlockRef enter_entry(Emitter *e) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(e->function);
    LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(entry));
    return here;
}

/* A load of slot `slot` of an array argument, marked as never changing. */
static LLVMValueRef load_slot(Emitter *e, LLVMTypeRef type, LLVMValueRef array, int slot) {
    LLVMBasicBlockRef here = enter_entry(e);
    LLVMValueRef value = emit_load(e, type, emit_at(e, e->i64, array, emit_int(e, slot)), 8);
    unsigned kind = LLVMGetMDKindIDInContext(e->context, "invariant.load", 14);
    LLVMSetMetadata(value, kind,
                    LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, NULL, 0)));
    LLVMPositionBuilderAtEnd(e->builder, here);
    return value;
}

LLVMValueRef emit_slot_pointer(Emitter *e, int slot) {
    return load_slot(e, e->pointer, e->pointers, slot);
}

LLVMValueRef emit_slot(Emitter *e, int slot) {
    return load_slot(e, e->i64, e->numbers, slot);
}

LLVMValueRef emit_workspace(Emitter *e, int slot) {
    return emit_at(e, e->f32, e->workspace, emit_slot(e, slot));
}

LLVMValueRef emit_table_entry(Emitter *e, int table, LLVMValueRef index) {
    LLVMValueRef place = emit_add(e, emit_slot(e, table), index);
    return emit_load(e, e->i64, emit_at(e, e->i64, e->numbers, place), 8);
}

/* ---- Small things ---------------------------------------------------------------------------- */

LLVMValueRef emit_int(Emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, 1);
}

LLVMValueRef emit_int32(Emitter *e, int32_t value) {
    return LLVMConstInt(e->i32, (unsigned long long)value, 1);
}

LLVMValueRef emit_float(Emitter *e, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return LLVMConstBitCast(LLVMConstInt(e->i32, bits, 0), e->f32);
}

LLVMValueRef emit_splat(Emitter *e, LLVMValueRef scalar) {
    unsigned lanes = (unsigned)e->target->lanes;
    LLVMTypeRef vector = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef first =
        LLVMBuildInsertElement(e->builder, LLVMGetPoison(vector), scalar, emit_int32(e, 0), "");
    return LLVMBuildShuffleVector(e->builder, first, LLVMGetPoison(vector),
                                  LLVMConstNull(e->vector_i32), "");
}

LLVMValueRef emit_add(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildNSWAdd(e->builder, a, b, "");
}

LLVMValueRef emit_sub(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildNSWSub(e->builder, a, b, "");
}

LLVMValueRef emit_mul(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildNSWMul(e->builder, a, b, "");
}

LLVMValueRef emit_div(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildUDiv(e->builder, a, b, "");
}

LLVMValueRef emit_rem(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildURem(e->builder, a, b, "");
}

LLVMValueRef emit_less(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, "");
}

LLVMValueRef emit_min(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(e->builder, emit_less(e, a, b), a, b, "");
}

LLVMValueRef emit_max(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(e->builder, emit_less(e, a, b), b, a, "");
}

LLVMValueRef emit_round_up(Emitter *e, LLVMValueRef value, int64_t unit) {
    LLVMValueRef up = emit_add(e, value, emit_int(e, unit - 1));
    return emit_mul(e, emit_div(e, up, emit_int(e, unit)), emit_int(e, unit));
}

bool emit_is_vector(LLVMValueRef value) {
    return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind;
}

LLVMValueRef emit_alike(Emitter *e, LLVMValueRef value, LLVMValueRef like) {
    return emit_is_vector(like) && !emit_is_vector(value) ? emit_splat(e, value) : value;
}

LLVMValueRef emit_at(Emitter *e, LLVMTypeRef element, LLVMValueRef pointer, LLVMValueRef index) {
    return LLVMBuildGEP2(e->builder, element, pointer, &index, 1, "");
}

LLVMValueRef emit_load(Emitter *e, LLVMTypeRef type, LLVMValueRef pointer, unsigned align) {
    LLVMValueRef value = LLVMBuildLoad2(e->builder, type, pointer, "");
    LLVMSetAlignment(value, align);
    return value;
}

void emit_store(Emitter *e, LLVMValueRef value, LLVMValueRef pointer, unsigned align) {
    LLVMSetAlignment(LLVMBuildStore(e->builder, value, pointer), align);
}

LLVMValueRef emit_intrinsic(Emitter *e, const char *name, LLVMTypeRef *types, int type_count,
                            LLVMValueRef *arguments, int argument_count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    invariant(id, "LLVM has no intrinsic %s", name);
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, types, (size_t)type_count);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, types, (size_t)type_count);
    return LLVMBuildCall2(e->builder, type, function, arguments, (unsigned)argument_count, "");
}

void emit_prefetch(Emitter *e, LLVMValueRef pointer) {
    enum { READ = 0, SECOND_CACHE = 2, DATA = 1 };
    LLVMValueRef arguments[] = {pointer, emit_int32(e, READ), emit_int32(e, SECOND_CACHE),
                                emit_int32(e, DATA)};
    emit_intrinsic(e, "llvm.prefetch", &e->pointer, 1, arguments, 4);
}

/* Lane l of `first` where l has not the bit, of `second` where it has; from the lane that has the
 * same number but for the bit, which is set as `upper` says. */
static LLVMValueRef exchange(Emitter *e, LLVMValueRef first, LLVMValueRef second, int bit,
                             bool upper) {
    LLVMValueRef numbers[CPU_MAX_LANES];
    int lanes = e->target->lanes;
    for (int l = 0; l < lanes; l++) {
        int from = upper ? l | bit : l & ~bit;
        numbers[l] = emit_int32(e, from + (l & bit ? lanes : 0));
    }
    LLVMValueRef order = LLVMConstVector(numbers, (unsigned)lanes);
    return LLVMBuildShuffleVector(e->builder, first, second, order, "");
}

/* Bit by bit of the numbers of vectors and lanes. */
void emit_transpose(Emitter *e, LLVMValueRef *vectors) {
    for (int bit = 1; bit < e->target->lanes; bit *= 2)
        for (int i = 0; i < e->target->lanes; i++) {
            if (i & bit)
                continue;
            LLVMValueRef first = vectors[i], second = vectors[i | bit];
            vectors[i] = exchange(e, first, second, bit, false);
            vectors[i | bit] = exchange(e, first, second, bit, true);
        }
}

LLVMValueRef emit_fma(Emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(a);
    if (!e->target->fused)
        return LLVMBuildFAdd(e->builder, LLVMBuildFMul(e->builder, a, b, ""), c, "");
    return emit_intrinsic(e, "llvm.fma", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

LLVMValueRef emit_variable(Emitter *e, LLVMTypeRef type, LLVMValueRef initial) {
    LLVMBasicBlockRef here = enter_entry(e);
    LLVMValueRef variable = LLVMBuildAlloca(e->builder, type, "");
    LLVMPositionBuilderAtEnd(e->builder, here);
    LLVMBuildStore(e->builder, initial, variable);
    return variable;
}

LLVMValueRef emit_get(Emitter *e, LLVMTypeRef type, LLVMValueRef variable) {
    return LLVMBuildLoad2(e->builder, type, variable, "");
}

void emit_set(Emitter *e, LLVMValueRef variable, LLVMValueRef value) {
    LLVMBuildStore(e->builder, value, variable);
}

LLVMValueRef emit_array(Emitter *e, LLVMTypeRef element, int count) {
    LLVMBasicBlockRef here = enter_entry(e);
    LLVMValueRef array = LLVMBuildAlloca(e->builder, LLVMArrayType2(element, (uint64_t)count), "");
    LLVMPositionBuilderAtEnd(e->builder, here);
    return array;
}

/* ---- Control --------------------------------------------------------------------------------- */

Loop loop_begin(Emitter *e, LLVMValueRef begin, LLVMValueRef end, LLVMValueRef step) {
    Loop loop = {.step_ = step};
    loop.counter_ = emit_variable(e, e->i64, begin);
    loop.head_ = new_block(e, "loop");
    loop.exit_ = new_block(e, "after");
    LLVMBasicBlockRef body = new_block(e, "body");
    LLVMBuildBr(e->builder, loop.head_);
    LLVMPositionBuilderAtEnd(e->builder, loop.head_);
    loop.index = emit_get(e, e->i64, loop.counter_);
    LLVMBuildCondBr(e->builder, emit_less(e, loop.index, end), body, loop.exit_);
    LLVMPositionBuilderAtEnd(e->builder, body);
    return loop;
}

void loop_end(Emitter *e, Loop *loop) {
    emit_set(e, loop->counter_, emit_add(e, loop->index, loop->step_));
    LLVMBuildBr(e->builder, loop->head_);
    LLVMPositionBuilderAtEnd(e->builder, loop->exit_);
}

Branch branch_begin(Emitter *e, LLVMValueRef condition) {
    Branch branch = {.otherwise_ = new_block(e, "else"), .exit_ = new_block(e, "endif")};
    LLVMBasicBlockRef then = new_block(e, "then");
    LLVMBuildCondBr(e->builder, condition, then, branch.otherwise_);
    LLVMPositionBuilderAtEnd(e->builder, then);
    return branch;
}

void branch_else(Emitter *e, Branch *branch) {
    LLVMBuildBr(e->builder, branch->exit_);
    LLVMPositionBuilderAtEnd(e->builder, branch->otherwise_);
    branch->has_else_ = true;
}

void branch_end(Emitter *e, Branch *branch) {
    LLVMBuildBr(e->builder, branch->exit_);
    if (!branch->has_else_) {
        LLVMPositionBuilderAtEnd(e->builder, branch->otherwise_);
        LLVMBuildBr(e->builder, branch->exit_);
    }
    LLVMPositionBuilderAtEnd(e->builder, branch->exit_);
}

/* ---- Vectors of channels --------------------------------------------------------------------- */

LLVMValueRef emit_lane_mask(Emitter *e, LLVMValueRef count) {
    LLVMValueRef lanes[CPU_MAX_LANES];
    for (int i = 0; i < e->target->lanes; i++)
        lanes[i] = emit_int32(e, i);
    LLVMValueRef numbers = LLVMConstVector(lanes, (unsigned)e->target->lanes);
    LLVMValueRef bounded = emit_min(e, count, emit_int(e, e->target->lanes));
    LLVMValueRef limit = emit_splat(e, LLVMBuildTrunc(e->builder, bounded, e->i32, ""));
    return LLVMBuildICmp(e->builder, LLVMIntSLT, numbers, limit, "");
}

/* What is known of the address of an element: a multiple of its bytes. */
static unsigned alignment_of(Emitter *e, LLVMTypeRef vector) {
    return LLVMGetElementType(vector) == e->i16 ? 2 : 4;
}

LLVMValueRef emit_load_vector(Emitter *e, LLVMTypeRef vector, LLVMValueRef pointer,
                              LLVMValueRef mask) {
    unsigned align = alignment_of(e, vector);
    if (!mask)
        return emit_load(e, vector, pointer, align);
    LLVMTypeRef types[] = {vector, e->pointer};
    LLVMValueRef arguments[] = {pointer, emit_int32(e, (int32_t)align), mask,
                                LLVMConstNull(vector)};
    return emit_intrinsic(e, "llvm.masked.load", types, 2, arguments, 4);
}

void emit_store_vector(Emitter *e, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef mask) {
    unsigned align = alignment_of(e, LLVMTypeOf(value));
    if (!mask) {
        emit_store(e, value, pointer, align);
        return;
    }
    LLVMTypeRef types[] = {LLVMTypeOf(value), e->pointer};
    LLVMValueRef arguments[] = {value, pointer, emit_int32(e, (int32_t)align), mask};
    emit_intrinsic(e, "llvm.masked.store", types, 2, arguments, 4);
}

void emit_store_past_caches(Emitter *e, LLVMValueRef value, LLVMValueRef pointer) {
    LLVMValueRef store = LLVMBuildStore(e->builder, value, pointer);
    LLVMMetadataRef one = LLVMValueAsMetadata(emit_int32(e, 1));
    LLVMSetAlignment(store, (unsigned)e->target->lanes * 4);
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(e->context, "nontemporal", 11),
                    LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, &one, 1)));
}

void emit_fence(Emitter *e) {
    LLVMBuildFence(e->builder, LLVMAtomicOrderingSequentiallyConsistent, 0, "");
}

LLVMValueRef emit_gather(Emitter *e, LLVMTypeRef vector, LLVMValueRef places, LLVMValueRef mask) {
    LLVMTypeRef types[] = {vector, LLVMTypeOf(places)};
    LLVMValueRef all = LLVMConstAllOnes(e->vector_i1);
    LLVMValueRef align = emit_int32(e, (int32_t)alignment_of(e, vector));
    return emit_intrinsic(e, "llvm.masked.gather", types, 2,
                          (LLVMValueRef[]){places, align, mask ? mask : all, LLVMConstNull(vector)},
                          4);
}

/* ---- Reductions over lanes ------------------------------------------------------------------- */

LLVMValueRef emit_lane_sum(Emitter *e, LLVMValueRef vector) {
    LLVMValueRef lanes[CPU_MAX_LANES];
    for (int half = e->target->lanes / 2; half >= 1; half /= 2) {
        for (int i = 0; i < e->target->lanes; i++)
            lanes[i] = emit_int32(e, i < half ? i + half : i);
        LLVMValueRef upper = LLVMBuildShuffleVector(
            e->builder, vector, vector, LLVMConstVector(lanes, (unsigned)e->target->lanes), "");
        vector = LLVMBuildFAdd(e->builder, vector, upper, "");
    }
    return LLVMBuildExtractElement(e->builder, vector, emit_int32(e, 0), "");
}
