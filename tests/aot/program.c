/* A program that knows an object called "model" by its header alone:
 *
 *   program WEIGHTS THREADS INPUTS OUTPUTS [END]    runs each region in INPUTS, appends to OUTPUTS
 *   program WEIGHTS THREADS selftest
 *
 * WEIGHTS "-": those in the object. Scratch and workspace are full of NaN before each run. Exit
 * status 3: the weights are not this object's. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include HEADER

static void stop(const char *words) {
    fprintf(stderr, "%s\n", words);
    exit(1);
}

static void *region(size_t bytes, int value) {
    void *memory = NULL;
    if (posix_memalign(&memory, MODEL_ALIGNMENT, bytes + MODEL_ALIGNMENT))
        stop("out of memory");
    memset(memory, value, bytes);
    return memory;
}

static const void *read_weights(const char *path, size_t *size) {
#ifdef EMBEDDED
    (void)path;
    *size = sizeof model_weights;
    return model_weights;
#else
    char *bytes = (char *)region(MODEL_WEIGHTS_BYTES, 0);
    FILE *file = fopen(path, "rb");
    if (!file)
        stop("no weights");
    *size = fread(bytes, 1, MODEL_WEIGHTS_BYTES + MODEL_ALIGNMENT, file);
    fclose(file);
    return bytes;
#endif
}

/* ---- Threads --------------------------------------------------------------------------------- */

typedef struct Pool {
    int threads;
    sparkc_task *task;
    void *job;
    int64_t chunks, next;
    pthread_mutex_t lock;
} Pool;

typedef struct Worker {
    Pool *pool;
    int number;
} Worker;

/* The last chunk first: any order will do. */
static void *work(void *context) {
    const Worker *worker = (const Worker *)context;
    Pool *pool = worker->pool;
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        int64_t chunk = --pool->next;
        pthread_mutex_unlock(&pool->lock);
        if (chunk < 0)
            return NULL;
        pool->task(pool->job, chunk, worker->number);
    }
}

static void parallel_for(void *context, sparkc_task *task, void *job, int64_t chunks) {
    Pool *pool = (Pool *)context;
    Worker workers[16];
    pthread_t threads[16];
    pool->task = task;
    pool->job = job;
    pool->next = chunks;
    for (int i = 0; i < pool->threads; i++) {
        workers[i].pool = pool;
        workers[i].number = i;
        if (pthread_create(&threads[i], NULL, work, &workers[i]))
            stop("no thread");
    }
    for (int i = 0; i < pool->threads; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Running --------------------------------------------------------------------------------- */

static int load(model_memory *memory, const char *path) {
    size_t size;
    const void *image = read_weights(path, &size);
#ifdef MODEL_BATCH
    memory->params = region(MODEL_PARAMS_BYTES, 0xff);
    memory->state = region(MODEL_STATE_BYTES, 0xff);
    return model_load_weights(memory, image, size);
#else
    return model_use_weights(memory, image, size);
#endif
}

static void run_all(const model_memory *memory, const sparkc_parallel *parallel, size_t workspace,
                    char **paths) {
    FILE *inputs = fopen(paths[0], "rb"), *outputs = fopen(paths[1], "wb");
    if (!inputs || !outputs)
        stop("no files");
    while (fread(memory->inputs, 1, MODEL_INPUTS_BYTES, inputs) == MODEL_INPUTS_BYTES) {
        memset(memory->scratch, 0xff, MODEL_SCRATCH_BYTES);
        memset(memory->workspace, 0xff, workspace);
        if (model_run(memory, parallel) != SPARKC_FINE)
            stop("bad memory");
        fwrite(memory->outputs, 1, MODEL_OUTPUTS_BYTES, outputs);
    }
    fclose(inputs);
    fclose(outputs);
    if (paths[2]) {
        FILE *end = fopen(paths[2], "wb");
        if (!end)
            stop("no files");
        fwrite(memory->params, 1, MODEL_PARAMS_BYTES, end);
        fwrite(memory->state, 1, MODEL_STATE_BYTES, end);
        fclose(end);
    }
}

int main(int argc, char **argv) {
    Pool pool = {0};
    sparkc_parallel parallel = {parallel_for, &pool};
    model_memory memory = {0};
    if (argc < 4)
        stop("usage: program WEIGHTS THREADS INPUTS OUTPUTS [END], or program .. selftest");
    pool.threads = atoi(argv[2]);
    pthread_mutex_init(&pool.lock, NULL);
    size_t workspace = (size_t)MODEL_WORKSPACE_BYTES * (size_t)pool.threads;
    const sparkc_parallel *given = pool.threads > 1 ? &parallel : NULL;
    if (!model_supported())
        stop("this processor is not supported");
    memory.inputs = region(MODEL_INPUTS_BYTES, 0);
    memory.outputs = region(MODEL_OUTPUTS_BYTES, 0);
    memory.scratch = region(MODEL_SCRATCH_BYTES, 0xff);
    memory.workspace = region(workspace, 0xff);
    if (load(&memory, argv[1]) != SPARKC_FINE)
        return 3;
    if (strcmp(argv[3], "selftest") == 0) {
        printf("%d\n", model_selftest(&memory, given));
        return 0;
    }
    run_all(&memory, given, workspace, argv + 3);
    return 0;
}
