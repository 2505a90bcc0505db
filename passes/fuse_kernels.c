#include "passes/fuse_kernels.h"

#include <string.h>

#include "base/fatal.h"
#include "ir/kernel_footprint.h"
#include "passes/join.h"

/* Who touches a buffer, by index of the kernel. */
typedef struct Uses {
    VECTOR(int) readers, writers; /* ascending; a kernel once per access */
} Uses;

typedef struct Fusion {
    Program *program;
    Arena *arena;     /* of the tables */
    Kernel **kernels; /* NULL: gone */
    int count;
    Uses *uses;         /* by buffer */
    Rewrites *rewrites; /* or NULL */
    bool keeps; /* values that others read too may move; else only fusions that save a buffer */
} Fusion;

static void collect_uses(Fusion *fusion) {
    Footprint *footprints = arena_new_array(fusion->arena, Footprint, FOOTPRINT_MAX);
    for (int k = 0; k < fusion->count; k++) {
        int touched = kernel_footprints(fusion->program, fusion->kernels[k], footprints);
        for (int i = 0; i < touched; i++) {
            if (footprints[i].buffer < 0)
                continue;
            Uses *uses = &fusion->uses[footprints[i].buffer];
            if (footprints[i].write)
                vector_push(fusion->arena, &uses->writers, k);
            else
                vector_push(fusion->arena, &uses->readers, k);
        }
    }
}

/* Replaces every mention of kernel `old` in a list, keeping it ascending. */
static void move_use(int *items, size_t count, int old, int new_kernel) {
    if (count == 0)
        return;
    size_t kept = 0;
    size_t mentions = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i] == old)
            mentions++;
        else
            items[kept++] = items[i];
    }
    size_t place = kept;
    while (place > 0 && items[place - 1] > new_kernel)
        place--;
    memmove(items + place + mentions, items + place, (kept - place) * sizeof *items);
    for (size_t i = 0; i < mentions; i++)
        items[place + i] = new_kernel;
}

/* Kernel `old` does its reading and writing as `new_kernel` from now on. */
static void move_uses(Fusion *fusion, const Kernel *kernel, int old, int new_kernel) {
    Footprint *footprints = arena_new_array(fusion->arena, Footprint, FOOTPRINT_MAX);
    int touched = kernel_footprints(fusion->program, kernel, footprints);
    for (int i = 0; i < touched; i++) {
        if (footprints[i].buffer < 0)
            continue;
        Uses *uses = &fusion->uses[footprints[i].buffer];
        move_use(uses->readers.items, uses->readers.count, old, new_kernel);
        move_use(uses->writers.items, uses->writers.count, old, new_kernel);
    }
}

static void add_use(Arena *arena, int **items, size_t *count, size_t *capacity, int kernel) {
    vector_grow(arena, (void **)items, *count, capacity, sizeof **items);
    size_t place = (*count)++;
    for (; place > 0 && (*items)[place - 1] > kernel; place--)
        (*items)[place] = (*items)[place - 1];
    (*items)[place] = kernel;
}

/* What kernel `old` reads and writes is read and written by each of `kernels` instead. */
static void replace_uses(Fusion *fusion, const Kernel *kernel, int old, const int *kernels,
                         int count) {
    Footprint *footprints = arena_new_array(fusion->arena, Footprint, FOOTPRINT_MAX);
    int touched = kernel_footprints(fusion->program, kernel, footprints);
    for (int i = 0; i < touched; i++) {
        if (footprints[i].buffer < 0)
            continue;
        Uses *uses = &fusion->uses[footprints[i].buffer];
        for (int k = 1; k < count; k++) {
            if (footprints[i].write)
                add_use(fusion->arena, &uses->writers.items, &uses->writers.count,
                        &uses->writers.capacity, kernels[k]);
            else
                add_use(fusion->arena, &uses->readers.items, &uses->readers.count,
                        &uses->readers.capacity, kernels[k]);
        }
    }
    move_uses(fusion, kernel, old, kernels[0]);
}

/* True if no kernel between `from` and `to` writes what `kernel` reads. Scratch is written before
 * it is read and not again. */
static bool may_move(const Fusion *fusion, int from, int to) {
    const Kernel *kernel = fusion->kernels[from];
    Footprint footprints[FOOTPRINT_MAX];
    int touched = kernel_footprints(fusion->program, kernel, footprints);
    for (int i = 0; i < touched; i++) {
        int buffer = footprints[i].buffer;
        if (buffer < 0 || footprints[i].write ||
            fusion->program->buffers.items[buffer].region == REGION_SCRATCH)
            continue;
        const Uses *uses = &fusion->uses[buffer];
        for (size_t w = 0; w < uses->writers.count; w++)
            if (uses->writers.items[w] > from && uses->writers.items[w] < to)
                return false;
    }
    return true;
}

/* What `to` writes may be read by `from` only at the element that is written. */
static bool reads_in_place(const Kernel *from, const Kernel *to) {
    for (int o = 0; o < to->output_count; o++)
        for (int i = 0; i < from->operand_count; i++) {
            const View *read = &from->operands[i].view;
            if (read->buffer == to->outputs[o].buffer &&
                !(join_is_plain(&from->operands[i]) && join_view_equal(read, &to->outputs[o])))
                return false;
        }
    return true;
}

/* ---- The rules ------------------------------------------------------------------------------- */

static void forget(Fusion *fusion, int buffer) {
    fusion->uses[buffer].readers.count = fusion->uses[buffer].writers.count = 0;
}

/* True if a kernel between two others, or one behind the second where `behind`, reads the buffer.
 */
static bool is_read(const Fusion *fusion, int buffer, int first, int second, bool behind) {
    const Uses *uses = &fusion->uses[buffer];
    for (size_t i = 0; i < uses->readers.count; i++) {
        int reader = uses->readers.items[i];
        if (reader > first && reader != second && (behind || reader < second))
            return true;
    }
    return false;
}

/* The output of `maker` that an operand reads where it is written, or -1. */
static int find_output(const Kernel *maker, const Access *access) {
    for (int o = 0; o < maker->output_count; o++)
        if (join_is_plain(access) && join_view_equal(&maker->outputs[o], &access->view))
            return o;
    return -1;
}

/* Appends the expression of `reader`, whose operands may be what `maker` made. */
static void join_reader(Joined *joined, const Kernel *maker, const int *made, const Kernel *reader,
                        int *values) {
    JoinGiven given = join_nothing_given();
    for (int i = 0; i < reader->operand_count; i++) {
        int output = find_output(maker, &reader->operands[i]);
        if (output >= 0)
            given.values[i] = made[output];
    }
    join_expression(joined, reader, &given, JOIN_ACC, values);
}

/* The outputs of a map that somebody but kernel `reader` needs. */
static int kept_outputs(const Fusion *fusion, int map, int reader, int *kept) {
    const Kernel *kernel = fusion->kernels[map];
    int count = 0;
    for (int o = 0; o < kernel->output_count; o++) {
        int buffer = kernel->outputs[o].buffer;
        if (fusion->program->buffers.items[buffer].region != REGION_SCRATCH ||
            is_read(fusion, buffer, map, reader, true))
            kept[count++] = o;
    }
    return count;
}

/* Map `first` and its reader `second` become one kernel in the place of either; it writes what the
 * reader does, and what others need of the map. */
static bool fuse_with_reader(Fusion *fusion, int first, int second, int place) {
    Kernel *maker = fusion->kernels[first], *reader = fusion->kernels[second];
    int kept[KERNEL_MAX_OUTPUTS], keep = kept_outputs(fusion, first, second, kept);
    if (keep + reader->output_count > KERNEL_MAX_OUTPUTS)
        return false;
    Joined joined = {.builder = expression_begin(fusion->program->arena)};
    JoinGiven nothing = join_nothing_given();
    int made[EXPRESSION_MAX_VALUES], values[EXPRESSION_MAX_VALUES];
    join_expression(&joined, maker, &nothing, JOIN_ACC, made);
    join_reader(&joined, maker, made, reader, values);
    int count = reader->expression->value_count;
    for (int i = 0; i < keep; i++)
        values[count++] = made[kept[i]];
    if (joined.full)
        return false;
    Expression *expression = expression_end(&joined.builder, values, count);
    if (join_has_epilogue(reader))
        join_settle_acc(expression, joined.operand_count);
    move_uses(fusion, maker, first, place);
    move_uses(fusion, reader, second, place);
    join_set(reader, &joined, expression);
    for (int o = 0, next = 0; o < maker->output_count; o++) {
        if (next < keep && kept[next] == o)
            reader->outputs[reader->output_count++] = maker->outputs[kept[next++]];
        else
            forget(fusion, maker->outputs[o].buffer);
    }
    fusion->kernels[first] = fusion->kernels[second] = NULL;
    fusion->kernels[place] = reader;
    return true;
}

/* The expression of `writer` with that of `map`, which reads its result as `operand`, behind it. */
static bool extend_writer(Fusion *fusion, Kernel *writer, const Kernel *map, int operand) {
    Joined joined = {.builder = expression_begin(fusion->program->arena)};
    JoinGiven given = join_nothing_given();
    int made[EXPRESSION_MAX_VALUES], values[EXPRESSION_MAX_VALUES];
    join_expression(&joined, writer, &given, JOIN_ACC, made);
    join_give(&given, map, operand, made[0]);
    join_expression(&joined, map, &given, JOIN_ACC, values);
    if (joined.full)
        return false;
    Expression *expression = expression_end(&joined.builder, values, map->expression->value_count);
    join_settle_acc(expression, joined.operand_count);
    join_set(writer, &joined, expression);
    writer->output_count = map->output_count;
    memcpy(writer->outputs, map->outputs, sizeof writer->outputs);
    return true;
}

/* The only writer takes the place and the work of map `second`. */
static bool fuse_into_writer(Fusion *fusion, int first, int second, int operand) {
    Kernel *writer = fusion->kernels[first], *map = fusion->kernels[second];
    int buffer = map->operands[operand].view.buffer;
    Kernel before = *writer;
    if (!extend_writer(fusion, writer, map, operand))
        return false;
    move_uses(fusion, &before, first, second);
    forget(fusion, buffer);
    fusion->kernels[second] = writer;
    fusion->kernels[first] = NULL;
    return true;
}

/* True if everything that the map reads but `buffer` is there before kernel `k`. */
static bool is_ready_before(const Fusion *fusion, const Kernel *map, int buffer, int k) {
    for (int i = 0; i < map->operand_count; i++) {
        int read = map->operands[i].view.buffer;
        const Uses *uses = read >= 0 ? &fusion->uses[read] : NULL;
        bool scratch = read >= 0 && fusion->program->buffers.items[read].region == REGION_SCRATCH;
        if (read == buffer || !scratch)
            continue;
        if (uses->writers.count && uses->writers.items[uses->writers.count - 1] >= k)
            return false;
    }
    return true;
}

/* Whether all that the kernel writes lies in one of `regions`: a set of 1 << Region. */
static bool writes_only(const Fusion *fusion, const Kernel *kernel, unsigned regions) {
    for (int i = 0; i < kernel->output_count; i++) {
        Region region = fusion->program->buffers.items[kernel->outputs[i].buffer].region;
        if (!(regions >> region & 1))
            return false;
    }
    return true;
}

/* The kernels that write the phases of a buffer each take the work of map `second`. */
static bool fuse_into_phases(Fusion *fusion, int second, int operand) {
    const Kernel *map = fusion->kernels[second];
    int buffer = map->operands[operand].view.buffer;
    const Uses *uses = &fusion->uses[buffer];
    int count = (int)uses->writers.count;
    int *writers = arena_new_array(fusion->arena, int, (size_t)count);
    memcpy(writers, uses->writers.items, (size_t)count * sizeof *writers);
    if (!is_ready_before(fusion, map, buffer, writers[0]) ||
        !writes_only(fusion, map, 1u << REGION_SCRATCH))
        return false;
    for (int i = 0; i < count; i++) {
        const Kernel *writer = fusion->kernels[writers[i]];
        if (!join_has_epilogue(writer) || writer->output_count != 1 ||
            !join_same_rows(writer, map) ||
            !join_view_equal(&writer->outputs[0], &map->operands[operand].view) ||
            writer->operand_count + map->operand_count > KERNEL_MAX_OPERANDS)
            return false;
    }
    forget(fusion, buffer);
    for (int i = 0; i < count; i++) {
        bool extended = extend_writer(fusion, fusion->kernels[writers[i]], map, operand);
        invariant(extended, "the operands of %s were counted", map->name);
    }
    replace_uses(fusion, map, second, writers, count);
    fusion->kernels[second] = NULL;
    return true;
}

/* How often kernel `k` is in a list of uses; how often it reads just like its operand `operand`. */
static int count_mentions(const Uses *uses, int k) {
    int count = 0;
    for (size_t i = 0; i < uses->readers.count; i++)
        count += uses->readers.items[i] == k;
    return count;
}

static int count_equal(const Kernel *kernel, int operand) {
    int count = 0;
    for (int i = 0; i < kernel->operand_count; i++)
        count += join_access_equal(&kernel->operands[i], &kernel->operands[operand]);
    return count;
}

/* True if map `first` may run as late as map `k`: nobody in between reads what it makes, and `k`
 * reads it only where it is written. */
static bool may_wait(const Fusion *fusion, int first, int k) {
    const Kernel *maker = fusion->kernels[first], *reader = fusion->kernels[k];
    for (int o = 0; o < maker->output_count; o++)
        if (is_read(fusion, maker->outputs[o].buffer, first, k, false) ||
            fusion->uses[maker->outputs[o].buffer].writers.count != 1)
            return false;
    return reads_in_place(reader, maker);
}

/* Tries to fuse kernel `k` with what makes one of its operands. */
static bool fuse_operand(Fusion *fusion, int k, int operand) {
    Kernel *kernel = fusion->kernels[k];
    const Access *access = &kernel->operands[operand];
    if (!join_is_plain(access) || access->view.buffer < 0 ||
        !join_may_vanish(&fusion->program->buffers.items[access->view.buffer]))
        return false;
    const Uses *uses = &fusion->uses[access->view.buffer];
    int mentions = count_mentions(uses, k);
    if (uses->writers.count == 0 || uses->writers.items[uses->writers.count - 1] >= k ||
        mentions != count_equal(kernel, operand))
        return false;
    bool alone = (int)uses->readers.count == mentions;
    if (uses->writers.count > 1)
        return alone && kernel->kind == KERNEL_MAP && fuse_into_phases(fusion, k, operand);
    int first = uses->writers.items[0];
    Kernel *maker = fusion->kernels[first];
    if (find_output(maker, access) < 0 || !join_same_rows(maker, kernel) ||
        !may_move(fusion, first, k) || !reads_in_place(maker, kernel))
        return false;
    if (maker->kind == KERNEL_MAP) {
        if ((!alone || maker->output_count > 1) &&
            (!fusion->keeps || kernel->kind != KERNEL_MAP || !may_wait(fusion, first, k)))
            return false;
        return fuse_with_reader(fusion, first, k, k);
    }
    return maker->output_count == 1 && join_has_epilogue(maker) && alone &&
           kernel->kind == KERNEL_MAP && fuse_into_writer(fusion, first, k, operand);
}

static bool fuse_kernel(Fusion *fusion, int k) {
    const Kernel *kernel = fusion->kernels[k];
    if (!kernel || !kernel->expression || !rewrites_may(fusion->rewrites))
        return false;
    for (int i = 0; i < kernel->operand_count; i++) {
        int buffer = kernel->operands[i].view.buffer;
        if (!fuse_operand(fusion, k, i))
            continue;
        rewrites_count(fusion->rewrites, "fuse_kernels", "%s with what makes its operand %%%s",
                       kernel->name, fusion->program->buffers.items[buffer].name);
        return true;
    }
    return false;
}

/* ---- Commits --------------------------------------------------------------------------------- */

/* True if the commit that is kernel `k` may run as early as map `first`: what else it reads is
 * there, and nobody in between reads what it overwrites. */
static bool may_hasten(const Fusion *fusion, int first, int k, int buffer) {
    const Kernel *maker = fusion->kernels[first], *commit = fusion->kernels[k];
    if (!is_ready_before(fusion, commit, buffer, first) || !reads_in_place(maker, commit))
        return false;
    for (int o = 0; o < commit->output_count; o++)
        if (is_read(fusion, commit->outputs[o].buffer, first, k, false))
            return false;
    return true;
}

/* A commit that alone reads what a map made goes there, so that the value needs no memory. */
static bool hasten_commit(Fusion *fusion, int k) {
    const Kernel *commit = fusion->kernels[k];
    if (!commit || commit->kind != KERNEL_MAP ||
        !writes_only(fusion, commit, 1u << REGION_PARAMS | 1u << REGION_STATE) ||
        !rewrites_may(fusion->rewrites))
        return false;
    for (int i = 0; i < commit->operand_count; i++) {
        int buffer = commit->operands[i].view.buffer;
        if (buffer < 0 || fusion->program->buffers.items[buffer].region != REGION_SCRATCH ||
            fusion->uses[buffer].writers.count != 1)
            continue;
        int first = fusion->uses[buffer].writers.items[0];
        if (is_read(fusion, buffer, first, k, true))
            continue;
        const Kernel *maker = fusion->kernels[first];
        if (maker->kind != KERNEL_MAP || find_output(maker, &commit->operands[i]) < 0 ||
            !join_same_rows(maker, commit) || !reads_in_place(commit, maker) ||
            !may_hasten(fusion, first, k, buffer) || !fuse_with_reader(fusion, first, k, first))
            continue;
        fusion->kernels[first]->name = maker->name;
        fusion->kernels[first]->location = maker->location;
        rewrites_count(fusion->rewrites, "fuse_kernels", "%s commits %%%s", maker->name,
                       fusion->program->buffers.items[buffer].name);
        return true;
    }
    return false;
}

/* Fuses until nothing more does; returns how many kernels are gone. */
static int fuse_all(Fusion *fusion, bool keeps) {
    int gone = 0, before;
    fusion->keeps = keeps;
    do {
        before = gone;
        for (int k = 0; k < fusion->count; k++)
            while (fuse_kernel(fusion, k))
                gone++;
    } while (gone > before);
    return gone;
}

/* What saves a buffer first: a kernel that writes several values waits for all their readers. */
int fuse_kernels(Program *program, Rewrites *rewrites) {
    Fusion fusion = {.program = program,
                     .rewrites = rewrites,
                     .arena = arena_create(),
                     .kernels = program->kernels.items,
                     .count = (int)program->kernels.count};
    fusion.uses = arena_new_array(fusion.arena, Uses, program->buffers.count + 1);
    collect_uses(&fusion);
    int gone = fuse_all(&fusion, false);
    gone += fuse_all(&fusion, true);
    for (int k = 0; k < fusion.count; k++)
        gone += hasten_commit(&fusion, k);
    size_t kept = 0;
    for (int k = 0; k < fusion.count; k++)
        if (fusion.kernels[k])
            program->kernels.items[kept++] = fusion.kernels[k];
    program->kernels.count = kept;
    arena_destroy(fusion.arena);
    return gone;
}
