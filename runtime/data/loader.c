#include "runtime/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "runtime/data/order.h"

/* From so many pictures on the share of bad ones says something. */
enum { JUDGED_FROM = 100 };

/* A place for a picture that was decoded, or for the reason why it was not. Free, then of the
 * thread that claimed it, then, when it is ready, of the consumer. */
typedef struct Slot {
    uint64_t sample; /* its number in the source */
    uint32_t epoch;
    bool ready;
    float *pixels;
    Arena *failure; /* of a bad picture: holds the reason */
    const char *reason;
} Slot;

/* Pictures are numbered in the order of visits, across epochs; picture n has slot n modulo `ahead`.
 * Threads claim numbers in this order, the consumer takes them in this order. */
struct Loader {
    const Source *source;
    LoaderOptions options;
    LoaderWarning *warn;
    void *context;
    uint64_t count; /* samples */
    size_t values;  /* floats of a picture */

    /* The consumer's alone. */
    LoaderPosition position; /* of the next picture */
    uint64_t *samples;       /* of the batch */
    uint8_t *warned;         /* a bit for each sample */
    Arena *first_bad;        /* holds the words on the epoch's first bad picture, or NULL */
    const char *first_words;

    /* Under the mutex, but for what a slot's owner does with it. */
    pthread_mutex_t mutex;
    pthread_cond_t ready, room; /* the front is ready; a slot has become free */
    atomic_bool stop;           /* read by decoders without the mutex */
    uint64_t claimed, taken;    /* pictures so far */
    uint32_t epoch;             /* of the next claim */
    uint64_t index;             /* in `order` */
    uint64_t *order;            /* of `epoch` */
    Slot *slots;
    float *pixels; /* of all slots */

    pthread_t *handles;
    int started;
};

/* Gives the next picture to a thread as soon as there is a free slot; NULL when it is to end. */
static Slot *claim(Loader *loader) {
    Slot *slot = NULL;
    uint64_t ahead = (uint64_t)loader->options.ahead;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stop && loader->claimed - loader->taken == ahead)
        pthread_cond_wait(&loader->room, &loader->mutex);
    if (!loader->stop) {
        if (loader->index == loader->count) {
            loader->index = 0;
            order_shuffle(loader->options.seed, ++loader->epoch, loader->count, loader->order);
        }
        slot = &loader->slots[loader->claimed++ % ahead];
        slot->sample = loader->order[loader->index++];
        slot->epoch = loader->epoch;
    }
    pthread_mutex_unlock(&loader->mutex);
    return slot;
}

static Status decode(Arena *arena, const Loader *loader, Slot *slot) {
    const LoaderOptions *options = &loader->options;
    const uint8_t *bytes;
    size_t length;
    Image image;
    status_return_if_failed(
        source_read(arena, &loader->source->samples.items[slot->sample], &bytes, &length));
    status_return_if_failed(
        image_decode(arena, bytes, length, options->channels, &options->limits, &image));
    AugmentChoice choice = augment_choose(&options->augment, options->seed, slot->epoch,
                                          slot->sample, image.width, image.height);
    augment_apply(arena, &image, choice, &options->scale, options->height, options->width,
                  slot->pixels);
    return STATUS_FINE;
}

static void finish(Loader *loader, Slot *slot) {
    pthread_mutex_lock(&loader->mutex);
    slot->ready = true;
    if (slot == &loader->slots[loader->taken % (uint64_t)loader->options.ahead])
        pthread_cond_signal(&loader->ready);
    pthread_mutex_unlock(&loader->mutex);
}

/* A thread's life. What decoding a picture takes is freed before the next. */
static void *work(void *context) {
    Loader *loader = context;
    for (Slot *slot; (slot = claim(loader));) {
        Arena *arena = arena_create();
        Status status = decode(arena, loader, slot);
        if (!status_fine(status)) {
            slot->failure = arena_create();
            slot->reason = arena_copy_text(slot->failure, status.message, strlen(status.message));
        }
        arena_destroy(arena);
        finish(loader, slot);
    }
    return NULL;
}

/* The slot of the next picture, once it is ready. */
static Slot *wait_for_front(Loader *loader, double *waited) {
    Slot *slot = &loader->slots[loader->taken % (uint64_t)loader->options.ahead];
    pthread_mutex_lock(&loader->mutex);
    if (!slot->ready) {
        double start = clock_seconds();
        while (!slot->ready)
            pthread_cond_wait(&loader->ready, &loader->mutex);
        *waited += clock_seconds() - start;
    }
    pthread_mutex_unlock(&loader->mutex);
    return slot;
}

static void free_front(Loader *loader, Slot *slot) {
    arena_destroy(slot->failure);
    slot->failure = NULL;
    pthread_mutex_lock(&loader->mutex);
    slot->ready = false;
    loader->taken++;
    pthread_cond_signal(&loader->room);
    pthread_mutex_unlock(&loader->mutex);
}

static void note_bad(Loader *loader, const Slot *slot) {
    const char *name = loader->source->samples.items[slot->sample].name;
    uint8_t *warned = &loader->warned[slot->sample / 8];
    uint8_t bit = (uint8_t)(1 << slot->sample % 8);
    loader->position.bad++;
    if (!loader->first_bad) {
        loader->first_bad = arena_create();
        loader->first_words =
            arena_format(loader->first_bad, "; the first: %s: %s", name, slot->reason);
    }
    if (!(*warned & bit) && loader->warn)
        loader->warn(loader->context, name, slot->reason);
    *warned |= bit;
}

/* What the messages say of the epoch's first bad picture. It is not known where all bad ones come
 * before the position that the loader started at. */
static const char *first_words(const Loader *loader) {
    return loader->first_bad ? loader->first_words : "";
}

/* Whether the share of bad pictures is within what is allowed, as far as one can say. */
static Status judge(const Loader *loader, Arena *arena) {
    uint64_t visited = loader->position.index, bad = loader->position.bad;
    if ((visited < JUDGED_FROM && visited < loader->count) ||
        (double)bad <= loader->options.most_bad * (double)visited)
        return STATUS_FINE;
    return status_failure(arena,
                          "%llu of the first %llu pictures of epoch %u cannot be decoded; a share "
                          "of at most %g may be bad: repair or remove them, or allow more%s",
                          (unsigned long long)bad, (unsigned long long)visited,
                          loader->position.epoch, loader->options.most_bad, first_words(loader));
}

/* Visits the next picture of the epoch. A good one is written to `target`, if there is one, its
 * number to `sample`; *good says whether it is. */
static Status visit(Loader *loader, Arena *arena, float *target, uint64_t *sample, bool *good,
                    double *waited) {
    Slot *slot = wait_for_front(loader, waited);
    *good = !slot->failure;
    *sample = slot->sample;
    loader->position.index++;
    if (!*good)
        note_bad(loader, slot);
    else if (target)
        memcpy(target, slot->pixels, loader->values * sizeof *target);
    free_front(loader, slot);
    return judge(loader, arena);
}

static Status end_epoch(Loader *loader, Arena *arena) {
    uint64_t good = loader->count - loader->position.bad;
    if (good < (uint64_t)loader->options.batch)
        return status_failure(arena,
                              "only %llu of %llu pictures can be decoded, fewer than a batch of "
                              "%d: repair or add pictures, or make the batch smaller%s",
                              (unsigned long long)good, (unsigned long long)loader->count,
                              loader->options.batch, first_words(loader));
    arena_destroy(loader->first_bad);
    loader->first_bad = NULL;
    loader->position = (LoaderPosition){.epoch = loader->position.epoch + 1};
    return STATUS_FINE;
}

/* Ends the epoch if what is left of it cannot be a batch; bad pictures in it count. */
static Status drop_rest(Loader *loader, Arena *arena, double *waited) {
    bool good;
    uint64_t sample;
    if (loader->count - loader->position.index >= (uint64_t)loader->options.batch)
        return STATUS_FINE;
    while (loader->position.index < loader->count)
        status_return_if_failed(visit(loader, arena, NULL, &sample, &good, waited));
    return end_epoch(loader, arena);
}

Status loader_next(Loader *loader, Arena *arena, float *images, LoaderBatch *batch) {
    double waited = 0;
    size_t filled = 0, wanted = (size_t)loader->options.batch;
    while (filled < wanted) {
        bool good;
        if (loader->position.index == loader->count) {
            status_return_if_failed(end_epoch(loader, arena));
            filled = 0;
        }
        status_return_if_failed(visit(loader, arena, images + filled * loader->values,
                                      &loader->samples[filled], &good, &waited));
        filled += good;
    }
    status_return_if_failed(drop_rest(loader, arena, &waited));
    *batch = (LoaderBatch){loader->position, waited, loader->samples};
    return STATUS_FINE;
}

/* False if there is not enough memory. */
static bool allocate(Loader *loader) {
    const LoaderOptions *options = &loader->options;
    size_t bytes, all_bytes, ahead = (size_t)options->ahead;
    if (__builtin_mul_overflow((size_t)options->height, (size_t)options->width, &loader->values) ||
        __builtin_mul_overflow(loader->values, (size_t)options->channels, &loader->values) ||
        __builtin_mul_overflow(loader->values, sizeof *loader->pixels, &bytes) ||
        __builtin_mul_overflow(ahead, bytes, &all_bytes))
        return false;
    loader->pixels = calloc(all_bytes, 1);
    loader->slots = calloc(ahead, sizeof *loader->slots);
    loader->samples = calloc((size_t)options->batch, sizeof *loader->samples);
    loader->warned = calloc(loader->count / 8 + 1, 1);
    loader->order = calloc(loader->count, sizeof *loader->order);
    loader->handles = calloc((size_t)options->threads, sizeof *loader->handles);
    if (!loader->pixels || !loader->slots || !loader->samples || !loader->warned ||
        !loader->order || !loader->handles)
        return false;
    for (size_t i = 0; i < ahead; i++)
        loader->slots[i].pixels = loader->pixels + i * loader->values;
    return true;
}

/* Starts the threads with all signals blocked but those that faults raise, so that handlers run on
 * threads of the program. */
static int start_threads(Loader *loader) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    sigset_t blocked, before;
    int error = 0;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    while (!error && loader->started < loader->options.threads) {
        error = pthread_create(&loader->handles[loader->started], NULL, work, loader);
        loader->started += !error;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static Status check_start(Arena *arena, uint64_t count, int batch, LoaderPosition start) {
    if (count < (uint64_t)batch)
        return status_failure(arena,
                              "%llu pictures are fewer than a batch of %d: add pictures, or make "
                              "the batch smaller",
                              (unsigned long long)count, batch);
    if (start.index > count || start.bad > start.index)
        return status_failure(arena,
                              "picture %llu of epoch %u, with %llu bad ones before it, is no place "
                              "in a source of %llu pictures: go on with the data that the position "
                              "is from, or start anew",
                              (unsigned long long)start.index, start.epoch,
                              (unsigned long long)start.bad, (unsigned long long)count);
    return STATUS_FINE;
}

static void check_options(const LoaderOptions *options) {
    invariant(options->batch >= 1 && options->ahead >= options->batch && options->threads >= 1,
              "batches of %d, %d pictures ahead, %d threads", options->batch, options->ahead,
              options->threads);
    invariant(options->height >= 1 && options->width >= 1 && options->channels >= 1 &&
                  options->channels <= 4,
              "pictures of %d x %d x %d", options->channels, options->height, options->width);
}

static Status start_loader(Arena *arena, Loader *loader) {
    if (!allocate(loader))
        return status_failure(
            arena, "out of memory for %d pictures of %d x %d x %d that are decoded ahead",
            loader->options.ahead, loader->options.channels, loader->options.height,
            loader->options.width);
    order_shuffle(loader->options.seed, loader->epoch, loader->count, loader->order);
    int error = start_threads(loader);
    if (error)
        return status_failure(arena, "thread %d of %d that decode pictures cannot be started: %s",
                              loader->started + 1, loader->options.threads, strerror(error));
    return STATUS_FINE;
}

Status loader_create(Arena *arena, const Source *source, const LoaderOptions *options,
                     LoaderPosition start, LoaderWarning *warn, void *context, Loader **out) {
    *out = NULL;
    check_options(options);
    status_return_if_failed(check_start(arena, source->samples.count, options->batch, start));
    Loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return status_failure(arena, "out of memory for decoding pictures");
    *loader = (Loader){.source = source,
                       .options = *options,
                       .warn = warn,
                       .context = context,
                       .count = source->samples.count,
                       .position = start,
                       .epoch = start.epoch,
                       .index = start.index};
    loader->options.limits.stop = &loader->stop;
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->ready, NULL);
    pthread_cond_init(&loader->room, NULL);
    Status status = start_loader(arena, loader);
    if (status_fine(status))
        *out = loader;
    else
        loader_destroy(loader);
    return status;
}

static void stop_threads(Loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->room);
    pthread_mutex_unlock(&loader->mutex);
    for (int i = 0; i < loader->started; i++)
        pthread_join(loader->handles[i], NULL);
}

void loader_destroy(Loader *loader) {
    if (!loader)
        return;
    stop_threads(loader);
    for (int i = 0; loader->slots && i < loader->options.ahead; i++)
        arena_destroy(loader->slots[i].failure);
    arena_destroy(loader->first_bad);
    pthread_cond_destroy(&loader->room);
    pthread_cond_destroy(&loader->ready);
    pthread_mutex_destroy(&loader->mutex);
    free(loader->handles);
    free(loader->order);
    free(loader->warned);
    free(loader->samples);
    free(loader->slots);
    free(loader->pixels);
    free(loader);
}
