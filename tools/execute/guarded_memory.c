#include "tools/execute/guarded_memory.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fatal.h"

enum { PAGE = 4096 };

/* Little-endian words of 0x7fffffff. */
static const unsigned char pattern[4] = {0xff, 0xff, 0xff, 0x7f};

/* One buffer: pages [begin, end), of which the last `bytes`, rounded up to KERNEL_ALIGNMENT, are
 * the buffer's. */
typedef struct Stretch {
    const char *name;
    unsigned char *begin, *end, *data;
    size_t bytes;
    int first, last; /* kernels that use it; -1: none */
    bool scratch;
} Stretch;

struct GuardedMemory {
    const Program *program;
    unsigned char *block; /* everything, with a page before, between and behind the stretches */
    size_t block_bytes;
    Stretch *stretches; /* by buffer, then the shared bytes */
    size_t count;
    void **buffers;
    Arena *scratch;
    int kernel; /* that runs */
};

/* Read by the handler of faults, which gets no context: whose kernel is running. */
static const GuardedMemory *volatile watched;

static void fail(void) {
    _exit(1);
}

static void (*volatile end_process)(void) = fail;

/* ---- Faults ---------------------------------------------------------------------------------- */

static const char *describe(const Stretch *stretch, const unsigned char *address, int kernel) {
    if (address >= stretch->end)
        return "behind its end";
    if (address < stretch->begin)
        return "before its begin";
    return kernel < stretch->first ? "before its first use" : "after its last use";
}

/* The stretch whose pages, or the inaccessible ones around them, hold an address. */
static const Stretch *find(const GuardedMemory *memory, const unsigned char *address) {
    for (size_t i = 0; i < memory->count; i++)
        if (address >= memory->stretches[i].begin - PAGE / 2 &&
            address < memory->stretches[i].end + PAGE / 2)
            return &memory->stretches[i];
    return NULL;
}

static void handle_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    const GuardedMemory *memory = watched;
    if (!memory) { /* none of ours: again, with the system's own handling */
        signal(number, SIG_DFL);
        return;
    }
    const unsigned char *address = info->si_addr;
    const Stretch *stretch = find(memory, address);
    const char *kernel = memory->program->kernels.items[memory->kernel]->name;
    if (stretch)
        dprintf(STDERR_FILENO, "sparkc: kernel %s touches byte %td of buffer %s, %s\n", kernel,
                address - stretch->data, stretch->name, describe(stretch, address, memory->kernel));
    else
        dprintf(STDERR_FILENO, "sparkc: kernel %s touches memory of no buffer\n", kernel);
    end_process();
}

static void catch_faults(void) {
    struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* Position accesses that only ask for visibility have no buffer. */
static int uses_of(const GuardedMemory *memory, int kernel, KernelUse uses[KERNEL_MAX_USES]) {
    const Program *program = memory->program;
    int all = kernel_uses(program, program->kernels.items[kernel], uses), count = 0;
    for (int i = 0; i < all; i++)
        if (uses[i].buffer >= 0)
            uses[count++] = uses[i];
    return count;
}

static void find_uses(GuardedMemory *memory) {
    const Program *program = memory->program;
    for (size_t i = 0; i < memory->count; i++)
        memory->stretches[i].first = memory->stretches[i].last = -1;
    for (size_t k = 0; k < program->kernels.count; k++) {
        KernelUse uses[KERNEL_MAX_USES];
        int count = uses_of(memory, (int)k, uses);
        for (int i = 0; i < count; i++) {
            Stretch *stretch = &memory->stretches[uses[i].buffer];
            stretch->first = stretch->first < 0 ? (int)k : stretch->first;
            stretch->last = (int)k;
        }
    }
}

/* Sizes first, from the block's start at NULL; then the same again in the block. */
static size_t place(GuardedMemory *memory, unsigned char *block) {
    size_t offset = PAGE;
    for (size_t i = 0; i < memory->count; i++) {
        Stretch *stretch = &memory->stretches[i];
        size_t data = round_up(stretch->bytes ? stretch->bytes : 1, KERNEL_ALIGNMENT);
        size_t pages = round_up(data, PAGE);
        if (block) {
            stretch->begin = block + offset;
            stretch->end = stretch->begin + pages;
            stretch->data = stretch->end - data;
            memory->buffers[i] = stretch->data;
        }
        offset += pages + PAGE;
    }
    return offset;
}

static void allow(const Stretch *stretch) {
    if (mprotect(stretch->begin, (size_t)(stretch->end - stretch->begin), PROT_READ | PROT_WRITE))
        fatal("not enough memory or mappings for the buffer %s", stretch->name);
    guarded_memory_poison(stretch->begin, (size_t)(stretch->end - stretch->begin));
}

/* Gives the pages back, so that nothing of them stays. */
static void forbid(const Stretch *stretch) {
    size_t bytes = (size_t)(stretch->end - stretch->begin);
    madvise(stretch->begin, bytes, MADV_DONTNEED);
    if (mprotect(stretch->begin, bytes, PROT_NONE))
        fatal("the buffer %s cannot be made inaccessible", stretch->name);
}

static void list_stretches(Arena *arena, GuardedMemory *memory, int64_t shared) {
    const Program *program = memory->program;
    memory->count = program->buffers.count + 1;
    memory->stretches = arena_new_array(arena, Stretch, memory->count);
    memory->buffers = arena_new_array(arena, void *, memory->count);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        Stretch *stretch = &memory->stretches[i];
        stretch->name = buffer->name;
        stretch->bytes = (size_t)buffer->elements * dtype_size(buffer->dtype);
        stretch->scratch = buffer->region == REGION_SCRATCH;
    }
    memory->stretches[memory->count - 1] =
        (Stretch){.name = "(between the stages of a kernel)", .bytes = (size_t)shared};
    find_uses(memory);
}

Status guarded_memory_create(Arena *arena, const Program *program, int64_t shared,
                             GuardedMemory **out) {
    GuardedMemory *memory = arena_new(arena, GuardedMemory);
    memory->program = program;
    list_stretches(arena, memory, shared);
    memory->block_bytes = place(memory, NULL);
    void *block = mmap(NULL, memory->block_bytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED)
        return status_failure(arena, "not enough memory: %zu bytes in guarded pages",
                              memory->block_bytes);
    memory->block = block;
    place(memory, block);
    for (size_t i = 0; i < memory->count; i++) {
        const Stretch *stretch = &memory->stretches[i];
        if (stretch->scratch)
            continue;
        allow(stretch);
        memset(stretch->data, 0, stretch->bytes);
    }
    catch_faults();
    *out = memory;
    return STATUS_FINE;
}

void guarded_memory_destroy(GuardedMemory *memory) {
    if (!memory)
        return;
    watched = NULL;
    munmap(memory->block, memory->block_bytes);
}

void *const *guarded_memory_buffers(const GuardedMemory *memory) {
    return memory->buffers;
}

/* ---- Around a kernel ------------------------------------------------------------------------- */

void guarded_memory_before(GuardedMemory *memory, int kernel) {
    KernelUse uses[KERNEL_MAX_USES];
    int count = uses_of(memory, kernel, uses);
    for (int i = 0; i < count; i++) {
        const Stretch *stretch = &memory->stretches[uses[i].buffer];
        if (stretch->scratch && stretch->first == kernel)
            allow(stretch);
    }
    const Stretch *shared = &memory->stretches[memory->count - 1];
    guarded_memory_poison(shared->begin, (size_t)(shared->end - shared->begin));
    memory->kernel = kernel;
    watched = memory;
}

static bool intact(const Stretch *stretch) {
    for (const unsigned char *byte = stretch->begin; byte < stretch->data; byte++)
        if (*byte != pattern[(byte - stretch->begin) % 4])
            return false;
    for (const unsigned char *byte = stretch->data + stretch->bytes; byte < stretch->end; byte++)
        if (*byte != pattern[(byte - stretch->begin) % 4])
            return false;
    return true;
}

Status guarded_memory_after(GuardedMemory *memory, Arena *arena, int kernel) {
    KernelUse uses[KERNEL_MAX_USES];
    int count = uses_of(memory, kernel, uses);
    watched = NULL;
    for (int i = 0; i < count; i++) {
        const Stretch *stretch = &memory->stretches[uses[i].buffer];
        if (!intact(stretch))
            return status_failure(arena, "kernel %s writes outside of buffer %s",
                                  memory->program->kernels.items[kernel]->name, stretch->name);
    }
    return STATUS_FINE;
}

void guarded_memory_release(GuardedMemory *memory, int kernel) {
    KernelUse uses[KERNEL_MAX_USES];
    int count = uses_of(memory, kernel, uses);
    for (int i = 0; i < count; i++) {
        const Stretch *stretch = &memory->stretches[uses[i].buffer];
        if (stretch->scratch && stretch->last == kernel)
            forbid(stretch);
    }
}

void guarded_memory_end_with(void (*end)(void)) {
    end_process = end;
}

void guarded_memory_poison(void *bytes, size_t count) {
    unsigned char *to = bytes;
    size_t done = count < sizeof pattern ? count : sizeof pattern;
    memcpy(to, pattern, done);
    for (; done < count; done += done < count - done ? done : count - done)
        memcpy(to + done, to, done < count - done ? done : count - done);
}
