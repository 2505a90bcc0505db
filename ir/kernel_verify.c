#include "ir/kernel_verify.h"

#include <stdlib.h>
#include <string.h>

#include "ir/kernel_check.h"
#include "ir/kernel_footprint.h"
#include "ir/kernel_lives.h"
#include "ir/kernel_names.h"
#include "ir/kernel_written.h"

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

typedef struct Name {
    const char *text;
    int index; /* in its table */
    UT_hash_handle hh;
} Name;

/* ---- Tables ---------------------------------------------------------------------------------- */

static Name *find_name(Name *names, const char *text) {
    Name *name = NULL;
    HASH_FIND_STR(names, text, name);
    return name;
}

/* Adds a name; false if it is taken. */
static bool add_name(Arena *arena, Name **names, const char *text, int index) {
    if (find_name(*names, text))
        return false;
    Name *name = arena_new(arena, Name);
    name->text = text;
    name->index = index;
    HASH_ADD_KEYPTR(hh, *names, name->text, strlen(name->text), name);
    return true;
}

static bool check_names(const Check *check) {
    const Program *program = check->program;
    Name *buffers = NULL, *kernels = NULL;
    bool fine = true;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if ((unsigned)buffer->region >= KERNEL_REGIONS)
            return kernel_check_fail(check, "buffer %s is in no region", buffer->name);
        const char *key =
            arena_format(program->arena, "%s:%s", kernel_region_name(buffer->region), buffer->name);
        if (!add_name(program->arena, &buffers, key, (int)i))
            fine = kernel_check_fail(check, "two buffers are called %s", key);
    }
    for (size_t i = 0; i < program->kernels.count; i++)
        if (!add_name(program->arena, &kernels, program->kernels.items[i]->name, (int)i))
            fine = kernel_check_fail(check, "two kernels are called %s",
                                     program->kernels.items[i]->name);
    return fine;
}

/* The same check with the place of a buffer or a level. */
static Check at_buffer(const Check *check, size_t buffer) {
    Check here = *check;
    if (check->places)
        here.place = check->places->buffers[buffer];
    return here;
}

static Check at_level(const Check *check, size_t level) {
    Check here = *check;
    if (check->places)
        here.place = check->places->levels[level];
    return here;
}

static bool check_geometry(const Check *check) {
    const Geometry *geometry = &check->program->geometry;
    if (geometry->batch < 1 || geometry->batch > INT32_MAX || geometry->space < 1 ||
        geometry->space > TYPE_MAX_SPACE)
        return kernel_check_fail(check, "%lld images of %d directions", (long long)geometry->batch,
                                 geometry->space);
    int64_t cells = 1;
    for (int d = 0; d < geometry->space; d++) {
        int64_t extent = geometry->image[d];
        if (extent < 1 || extent > INT32_MAX || (geometry->ratio && extent % geometry->ratio))
            return kernel_check_fail(check, "an image extent of %lld", (long long)extent);
        if (geometry->ratio && __builtin_mul_overflow(cells, extent / geometry->ratio, &cells))
            return kernel_check_fail(check, "too many cells");
    }
    int64_t kept;
    if (__builtin_mul_overflow(geometry->batch, geometry->keep, &kept) ||
        kept > KERNEL_CHECK_MOST_ELEMENTS)
        return kernel_check_fail(check, "too many cells");
    if (geometry->keep < 0 || geometry->ratio < 0 || (geometry->keep > 0 && !geometry->ratio) ||
        (geometry->ratio && geometry->keep > cells))
        return kernel_check_fail(check, "%lld of %lld cells are kept", (long long)geometry->keep,
                                 (long long)cells);
    return true;
}

/* The elements of a plain type; -1 if there are too many. */
static int64_t plain_elements(const Type *type) {
    int64_t count = 1;
    for (int d = 0; d < type->rank; d++)
        if (type->extent[d] < 1 || __builtin_mul_overflow(count, type->extent[d], &count) ||
            count > KERNEL_CHECK_MOST_ELEMENTS)
            return -1;
    return count;
}

static bool check_segments(const Check *check, int64_t *total) {
    const Program *program = check->program;
    *total = 0;
    for (size_t i = 0; i < program->segments.count; i++) {
        const Segment *segment = &program->segments.items[i];
        int64_t count = plain_elements(&segment->type);
        if (segment->type.form != FORM_PLAIN || count < 0 || segment->offset != *total)
            return kernel_check_fail(check, "segment %s is not where the one before it ends",
                                     segment->name);
        *total += count;
        if (*total > KERNEL_CHECK_MOST_ELEMENTS)
            return kernel_check_fail(check, "too many parameters");
    }
    return true;
}

/* The elements of a state: its type's. */
static int64_t state_elements(const Program *program, const StateSlot *state, int64_t flat) {
    if (state->type.form == FORM_FLAT)
        return flat;
    if (state->type.form == FORM_SEGMENTS)
        return (int64_t)program->segments.count;
    return state->type.form == FORM_PLAIN ? plain_elements(&state->type) : -1;
}

static bool check_state_buffer(const Check *check, const Buffer *buffer, Name *states,
                               int64_t flat) {
    const Name *name = find_name(states, buffer->name);
    if (!name)
        return kernel_check_fail(check, "buffer %s belongs to no state", buffer->name);
    const StateSlot *state = &check->program->states.items[name->index];
    return (state->type.dtype == buffer->dtype &&
            state_elements(check->program, state, flat) == buffer->elements) ||
           kernel_check_fail(check, "buffer %s is not like its state", buffer->name);
}

static bool check_buffer(const Check *check, const Buffer *buffer, Name *states, int64_t flat) {
    int64_t most = KERNEL_CHECK_MOST_ELEMENTS;
    if ((unsigned)buffer->dtype >= DTYPE_COUNT)
        return kernel_check_fail(check, "buffer %s is of no kind", buffer->name);
    if (buffer->elements < 1 || buffer->elements > most)
        return kernel_check_fail(check, "buffer %s has %lld elements", buffer->name,
                                 (long long)buffer->elements);
    if (buffer->offset < -1 || buffer->offset > 8 * most ||
        (buffer->offset > 0 && buffer->offset % KERNEL_ALIGNMENT))
        return kernel_check_fail(check, "buffer %s is at offset %lld, not a multiple of %d",
                                 buffer->name, (long long)buffer->offset, KERNEL_ALIGNMENT);
    if (buffer->region == REGION_PARAMS && (buffer->elements != flat || buffer->dtype != DTYPE_F32))
        return kernel_check_fail(check, "buffer %s is not all %lld parameters", buffer->name,
                                 (long long)flat);
    if (buffer->region == REGION_INPUTS && kernel_is_segment_column(buffer->name) &&
        (buffer->elements != (int64_t)check->program->segments.count || buffer->dtype != DTYPE_F32))
        return kernel_check_fail(check, "buffer %s is not a number for each of %zu segments",
                                 buffer->name, check->program->segments.count);
    return buffer->region != REGION_STATE || check_state_buffer(check, buffer, states, flat);
}

static bool check_buffers(const Check *check) {
    const Program *program = check->program;
    Name *states = NULL;
    int64_t flat;
    int params = 0;
    if (!check_segments(check, &flat))
        return false;
    for (size_t i = 0; i < program->states.count; i++)
        add_name(program->arena, &states, program->states.items[i].name, (int)i);
    bool fine = true;
    for (size_t i = 0; i < program->buffers.count; i++) {
        Check here = at_buffer(check, i);
        fine = check_buffer(&here, &program->buffers.items[i], states, flat) && fine;
        params += program->buffers.items[i].region == REGION_PARAMS;
    }
    if (params > 1)
        return kernel_check_fail(check, "%d buffers of parameters; there can be one", params);
    return fine;
}

static bool check_cells(const Check *check) {
    const Program *program = check->program;
    const Geometry *geometry = &program->geometry;
    if (program->cells < 0)
        return true;
    if ((size_t)program->cells >= program->buffers.count)
        return kernel_check_fail(check, "the cell list is no buffer");
    const Buffer *cells = &program->buffers.items[program->cells];
    return (cells->region == REGION_INPUTS && cells->dtype == DTYPE_I32 &&
            cells->elements == geometry->batch * geometry->keep) ||
           kernel_check_fail(check, "the cell list must be an i32 input of %lld x %lld",
                             (long long)geometry->batch, (long long)geometry->keep);
}

static bool check_level(const Check *check, const Level *level) {
    const Program *program = check->program;
    int64_t elements = program->geometry.batch;
    if (level->space.kind != SPACE_MASKED || !kernel_check_space(check, &level->space, "a level"))
        return kernel_check_fail(check, "a level is not masked as the geometry says");
    for (int d = 0; d < level->space.rank; d++)
        if (level->border[d] < 0 || level->border[d] > INT32_MAX ||
            __builtin_mul_overflow(elements, level->space.extent[d] + 2 * level->border[d],
                                   &elements))
            return kernel_check_fail(check, "a border of %lld", (long long)level->border[d]);
    if (level->buffer < 0 || (size_t)level->buffer >= program->buffers.count)
        return kernel_check_fail(check, "a level has no buffer");
    const Buffer *map = &program->buffers.items[level->buffer];
    return (map->region == REGION_SCRATCH && map->dtype == DTYPE_I32 &&
            map->elements == elements) ||
           kernel_check_fail(check, "position map %s must be i32 scratch of %lld elements",
                             map->name, (long long)elements);
}

static bool check_levels(const Check *check) {
    const Program *program = check->program;
    for (size_t i = 0; i < program->levels.count; i++) {
        const Level *level = &program->levels.items[i];
        Check here = at_level(check, i);
        if (!check_level(&here, level))
            return false;
        for (size_t j = 0; j < i; j++)
            if (space_equal(&program->levels.items[j].space, &level->space) ||
                program->levels.items[j].buffer == level->buffer)
                return kernel_check_fail(&here, "two levels are the same");
    }
    return true;
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

/* "operand 2 (%conv1)" */
static const char *footprint_text(const Check *check, const Footprint *footprint) {
    const char *buffer = check->program->buffers.items[footprint->buffer].name;
    Arena *arena = check->program->arena;
    return footprint->number < 0
               ? arena_format(arena, "%s (%%%s)", footprint->what, buffer)
               : arena_format(arena, "%s %d (%%%s)", footprint->what, footprint->number, buffer);
}

/* One more than the highest element; -1 if a stride is negative or too large. */
static int64_t footprint_end(const Footprint *footprint) {
    int64_t end = footprint->base, reach;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        if (footprint->stride[d] < 0 ||
            __builtin_mul_overflow(footprint->count[d] - 1, footprint->stride[d], &reach) ||
            __builtin_add_overflow(end, reach, &end))
            return -1;
    return end < INT64_MAX ? end + 1 : -1;
}

static bool check_inside(const Check *check, const Footprint *footprint) {
    const Buffer *buffer = &check->program->buffers.items[footprint->buffer];
    int64_t end = footprint_end(footprint);
    return (footprint->base >= 0 && end > 0 && end <= buffer->elements) ||
           kernel_check_fail(check, "%s reaches outside: the buffer has %lld elements",
                             footprint_text(check, footprint), (long long)buffer->elements);
}

/* Different indices are different elements: sorted by stride, each dimension steps over all below.
 */
static bool is_injective(const Footprint *footprint) {
    int64_t below = 1; /* the elements that the dimensions taken so far stretch over */
    bool taken[FOOTPRINT_DIMENSIONS] = {false};
    for (int turn = 0; turn < FOOTPRINT_DIMENSIONS; turn++) {
        int next = -1;
        for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
            if (!taken[d] && (next < 0 || footprint->stride[d] < footprint->stride[next]))
                next = d;
        taken[next] = true;
        if (footprint->count[next] == 1)
            continue;
        if (footprint->stride[next] < below)
            return false;
        below += (footprint->count[next] - 1) * footprint->stride[next];
    }
    return true;
}

/* ---- What is written ------------------------------------------------------------------------- */

static bool is_position_map(const Program *program, int buffer) {
    for (size_t i = 0; i < program->levels.count; i++)
        if (program->levels.items[i].buffer == buffer)
            return true;
    return false;
}

static bool check_write(const Check *check, const Footprint *footprint) {
    const Buffer *buffer = &check->program->buffers.items[footprint->buffer];
    if (buffer->region == REGION_INPUTS)
        return kernel_check_fail(check, "writes the input %%%s", buffer->name);
    if (check->kernel->kind != KERNEL_POSITION_MAP &&
        is_position_map(check->program, footprint->buffer))
        return kernel_check_fail(check, "writes the position map %%%s", buffer->name);
    return is_injective(footprint) || kernel_check_fail(check, "%s writes some element twice",
                                                        footprint_text(check, footprint));
}

/* Channel ranges of rows that step in the same way never meet: both stay inside the shortest step,
 * of which the other steps are multiples. */
static bool channels_apart(const Footprint *a, const Footprint *b) {
    enum { CHANNEL = 2 };
    const Footprint *low = a->base <= b->base ? a : b, *high = low == a ? b : a;
    int64_t row = 0;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++) {
        bool moves = a->count[d] > 1 || b->count[d] > 1;
        if (moves && a->stride[d] != b->stride[d])
            return false;
        if (moves && d != CHANNEL && (row == 0 || a->stride[d] < row))
            row = a->stride[d];
    }
    for (int d = 0; d < FOOTPRINT_DIMENSIONS && row > 0; d++)
        if (d != CHANNEL && (a->count[d] > 1 || b->count[d] > 1) && a->stride[d] % row)
            return false;
    return low->stride[CHANNEL] <= 1 && high->stride[CHANNEL] <= 1 &&
           low->base + low->count[CHANNEL] <= high->base &&
           high->base + high->count[CHANNEL] <= low->base + row;
}

/* Two footprints of one kernel, at least one of which writes. */
static bool compatible(const Footprint *a, const Footprint *b) {
    if (a->buffer != b->buffer || footprint_end(a) <= b->base || footprint_end(b) <= a->base)
        return true;
    if (footprint_same_box(a, b) && a->same_element && b->same_element && a->write != b->write)
        return true;
    return channels_apart(a, b);
}

static bool check_overlaps(const Check *check, const Footprint *footprints, int count) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            if ((footprints[i].write || footprints[j].write) &&
                !compatible(&footprints[i], &footprints[j]))
                return kernel_check_fail(check, "%s overlaps %s",
                                         footprint_text(check, &footprints[i]),
                                         footprint_text(check, &footprints[j]));
    return true;
}

/* ---- The order of kernels -------------------------------------------------------------------- */

/* The state of the walk over the kernels. */
typedef struct Order {
    Written *written;
    const char **committed; /* per buffer: the kernel that wrote it; NULL: none yet */
} Order;

static bool is_committed_region(Region region) {
    return region == REGION_PARAMS || region == REGION_STATE;
}

static bool check_read(const Check *check, const Order *order, const Footprint *footprint) {
    const Buffer *buffer = &check->program->buffers.items[footprint->buffer];
    if (is_committed_region(buffer->region))
        return !order->committed[footprint->buffer] ||
               kernel_check_fail(check, "%s is read after kernel %s has committed it",
                                 footprint_text(check, footprint),
                                 order->committed[footprint->buffer]);
    if (buffer->region == REGION_INPUTS)
        return true;
    return kernel_written_covers(order->written, footprint) ||
           kernel_check_fail(check, "%s is read before all of it is written",
                             footprint_text(check, footprint));
}

static void note_write(const Check *check, Order *order, const Footprint *footprint) {
    Region region = check->program->buffers.items[footprint->buffer].region;
    if (is_committed_region(region))
        order->committed[footprint->buffer] = check->kernel->name;
    else
        kernel_written_mark(order->written, footprint);
}

static bool verify_kernel(const Check *check, Order *order) {
    Footprint footprints[FOOTPRINT_MAX];
    if (!kernel_check(check))
        return false;
    int count = kernel_footprints(check->program, check->kernel, footprints);
    for (int i = 0; i < count; i++)
        if (!check_inside(check, &footprints[i]) ||
            (footprints[i].write && !check_write(check, &footprints[i])))
            return false;
    if (!check_overlaps(check, footprints, count))
        return false;
    bool fine = true;
    for (int i = 0; fine && i < count; i++)
        fine = footprints[i].write || check_read(check, order, &footprints[i]);
    for (int i = 0; i < count; i++)
        if (footprints[i].write)
            note_write(check, order, &footprints[i]);
    return fine;
}

static bool check_outputs_written(const Check *check, const Order *order) {
    bool fine = true;
    for (size_t i = 0; i < check->program->buffers.count; i++) {
        const Buffer *buffer = &check->program->buffers.items[i];
        Check here = at_buffer(check, i);
        if (buffer->region == REGION_OUTPUTS && !kernel_written_full(order->written, (int)i))
            fine = kernel_check_fail(&here, "output %%%s is not written completely", buffer->name);
    }
    return fine;
}

/* ---- The plan -------------------------------------------------------------------------------- */

/* Bytes of a region that are taken: for a life, or in regions that outlive a run for good. */
typedef struct Placed {
    Region region;
    int64_t begin, end;
    int buffer;
    const BufferLife *life; /* NULL: for good */
} Placed;

static int compare_placed(const void *a, const void *b) {
    const Placed *left = a, *right = b;
    if (left->region != right->region)
        return left->region < right->region ? -1 : 1;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return left->buffer - right->buffer;
}

static Placed place_of(const Program *program, int index, int64_t begin, int64_t end) {
    const Buffer *buffer = &program->buffers.items[index];
    int64_t size = (int64_t)dtype_size(buffer->dtype);
    return (Placed){.region = buffer->region,
                    .begin = buffer->offset + begin * size,
                    .end = buffer->offset + end * size,
                    .buffer = index};
}

/* All places of planned buffers, by region and address. */
static Placed *list_places(const Program *program, Arena *arena, size_t *count) {
    BufferLives lives = kernel_lives(program, arena);
    Placed *places = arena_new_array(arena, Placed, lives.count + program->buffers.count + 1);
    *count = 0;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->offset >= 0 && buffer->region != REGION_SCRATCH)
            places[(*count)++] = place_of(program, (int)i, 0, buffer->elements);
    }
    for (size_t i = 0; i < lives.count; i++) {
        const BufferLife *life = &lives.items[i];
        const Buffer *buffer = &program->buffers.items[life->buffer];
        if (buffer->offset < 0 || buffer->region != REGION_SCRATCH)
            continue;
        Placed place = place_of(program, life->buffer, life->begin, life->end);
        place.life = life;
        places[(*count)++] = place;
    }
    qsort(places, *count, sizeof *places, compare_placed);
    return places;
}

/* What dies at the kernel that something at the same place is born at. */
static bool is_replaced(const Program *program, const BufferLife *before, const BufferLife *after) {
    return before->last == after->first &&
           program->buffers.items[before->buffer].offset ==
               program->buffers.items[after->buffer].offset &&
           kernel_in_place(program, before->last, before->buffer, after->buffer);
}

static bool may_share(const Program *program, const Placed *a, const Placed *b) {
    if (a->buffer == b->buffer)
        return true;
    if (!a->life || !b->life)
        return false;
    if (a->life->last < b->life->first || b->life->last < a->life->first)
        return true;
    return is_replaced(program, a->life, b->life) || is_replaced(program, b->life, a->life);
}

/* Compares each place with those that start before its end. */
static bool check_plan(const Check *check) {
    const Program *program = check->program;
    Arena *arena = arena_create();
    size_t count;
    const Placed *places = list_places(program, arena, &count);
    bool fine = true;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++) {
            const Placed *a = &places[i], *b = &places[j];
            if (a->region != b->region || a->end <= b->begin)
                break;
            if (may_share(program, a, b))
                continue;
            Check here = at_buffer(check, (size_t)b->buffer);
            fine = kernel_check_fail(
                &here, "buffers %%%s and %%%s share bytes while both are alive",
                program->buffers.items[a->buffer].name, program->buffers.items[b->buffer].name);
        }
    arena_destroy(arena);
    return fine;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool verify_kernels(Check *check) {
    const Program *program = check->program;
    size_t count = program->buffers.count;
    Order order = {.written = kernel_written_create(program),
                   .committed = arena_new_array(program->arena, const char *, count)};
    bool fine = true;
    for (size_t i = 0; i < program->kernels.count; i++) {
        check->kernel = program->kernels.items[i];
        fine = verify_kernel(check, &order) && fine;
    }
    check->kernel = NULL;
    fine = fine && check_outputs_written(check, &order) && check_plan(check);
    kernel_written_destroy(order.written);
    return fine;
}

bool kernel_verify_text(const Program *program, const KernelPlaces *places,
                        Diagnostics *diagnostics) {
    Check check = {.program = program, .diagnostics = diagnostics, .places = places};
    if (places)
        check.place = places->head;
    if (!check_geometry(&check) || !check_names(&check) || !check_buffers(&check) ||
        !check_cells(&check) || !check_levels(&check))
        return false;
    return verify_kernels(&check);
}

bool kernel_verify(const Program *program, Diagnostics *diagnostics) {
    return kernel_verify_text(program, NULL, diagnostics);
}
