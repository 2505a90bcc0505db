/* Two models of one program, the first called by eight threads at once; each thread compares what
 * it gets with what the first call gave. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "first.h"
#include "second.h"

enum { THREADS = 8, CALLS = 20 };

static void *region(size_t bytes, int value) {
    void *memory = NULL;
    if (posix_memalign(&memory, FIRST_ALIGNMENT, bytes))
        exit(1);
    memset(memory, value, bytes);
    return memory;
}

static void fill(float *image, size_t count) {
    for (size_t i = 0; i < count; i++)
        image[i] = (float)(i * 2654435761u % 1000) * 0.002F - 1;
}

static first_memory first_call(void) {
    first_memory memory = {0};
    if (first_use_weights(&memory, first_weights, sizeof first_weights) != SPARKC_FINE)
        exit(2);
    memory.inputs = region(FIRST_INPUTS_BYTES, 0);
    memory.outputs = region(FIRST_OUTPUTS_BYTES, 0);
    memory.scratch = region(FIRST_SCRATCH_BYTES, 0xff);
    memory.workspace = region(FIRST_WORKSPACE_BYTES, 0xff);
    fill(first_input_image(&memory), (FIRST_INPUTS_BYTES - 64) / sizeof(float));
    if (first_run(&memory, NULL) != SPARKC_FINE)
        exit(3);
    return memory;
}

static void run_second(void) {
    second_memory memory = {0};
    if (second_use_weights(&memory, first_weights, sizeof first_weights) != SPARKC_WRONG_WEIGHTS)
        exit(4);
    if (second_use_weights(&memory, second_weights, sizeof second_weights) != SPARKC_FINE)
        exit(5);
    memory.inputs = region(SECOND_INPUTS_BYTES, 0);
    memory.outputs = region(SECOND_OUTPUTS_BYTES, 0);
    memory.scratch = region(SECOND_SCRATCH_BYTES, 0xff);
    memory.workspace = region(SECOND_WORKSPACE_BYTES, 0xff);
    if (second_selftest(&memory, NULL) != SPARKC_FINE)
        exit(6);
}

static void *call(void *context) {
    const first_memory *expected = (const first_memory *)context;
    for (int i = 0; i < CALLS; i++) {
        first_memory own = first_call();
        if (memcmp(own.outputs, expected->outputs, FIRST_OUTPUTS_BYTES) != 0)
            exit(7);
        free(own.inputs);
        free(own.outputs);
        free(own.scratch);
        free(own.workspace);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    first_memory expected = first_call();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, call, &expected))
            return 8;
    run_second();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    first_memory crooked = expected;
    crooked.scratch = (char *)crooked.scratch + 4;
    if (first_run(&crooked, NULL) != SPARKC_BAD_MEMORY)
        return 9;
    crooked.scratch = NULL;
    if (first_selftest(&crooked, NULL) != SPARKC_BAD_MEMORY)
        return 10;
    int count;
    const sparkc_tensor *tensors = first_tensors(&count);
    for (int i = 0; i < count; i++)
        printf("%s %d %lld\n", tensors[i].name, tensors[i].region, (long long)tensors[i].offset);
    return 0;
}
