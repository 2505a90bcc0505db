#include "tools/train/training_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/options.h"

const char *training_options_name(const struct argp_option *table, int key) {
    while (table->key != key)
        table++;
    return table->name;
}

/* The count must be the network's, which is checked later. */
static void parse_list(struct argp_state *state, const char *option, const char *text, double least,
                       double *values, int *count) {
    *count = 0;
    for (const char *at = text;; at++) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(value >= least && value <= 1) ||
            *count == SCAN_MOST_CHANNELS)
            argp_error(state, "--%s needs up to %d numbers from %g to 1 behind commas, not %s",
                       option, SCAN_MOST_CHANNELS, least, text);
        values[(*count)++] = value;
        at = end;
        if (!*at)
            return;
    }
}

/* Those of ImageNet's training pictures. */
static void set_imagenet(RunNormalization *normalization) {
    static const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    memcpy(normalization->mean, mean, sizeof mean);
    memcpy(normalization->deviation, deviation, sizeof deviation);
    normalization->mean_count = normalization->deviation_count = 3;
}

void training_options_mean(struct argp_state *state, const char *text,
                           RunNormalization *normalization) {
    if (strcmp(text, "imagenet") == 0)
        set_imagenet(normalization);
    else
        parse_list(state, "mean", text, 0, normalization->mean, &normalization->mean_count);
}

void training_options_deviation(struct argp_state *state, const char *text,
                                RunNormalization *normalization) {
    parse_list(state, "std", text, 1e-6, normalization->deviation, &normalization->deviation_count);
}

static void print_values(FILE *out, const char *words, const double *values, int count) {
    fputs(words, out);
    for (int i = 0; i < count; i++)
        fprintf(out, " %.4f", values[i]);
}

void training_options_print(FILE *out, const RunNormalization *normalization, int channels) {
    print_values(out, "mean", normalization->mean, channels);
    print_values(out, ", deviation", normalization->deviation, channels);
    fputc('\n', out);
}

void training_options_plan(FILE *out, const Schedule *schedule, int64_t batch, int64_t micro_batch,
                           int64_t epoch_steps) {
    fprintf(out, "plan      %" PRId64 " updates of %" PRId64 " images", schedule->total, batch);
    if (micro_batch < batch)
        fprintf(out, ", %" PRId64 " at a time", micro_batch);
    fprintf(out,
            "; %" PRId64 " an epoch, %.4g epochs; learning rate up to %.3g after %" PRId64
            " updates\n",
            epoch_steps, (double)schedule->total / (double)epoch_steps, schedule->peak_lr,
            schedule->warmup);
}

void training_options_costs(FILE *out, const TrainerCosts *costs, const char *remedy) {
    const double giga = 1e-9;
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    fprintf(out, "memory    %.2f GB for a step\n", giga * (double)costs->bytes);
    fprintf(out, "code      %" PRId64 " kernels, compiled in %.1f s, %d from the cache\n",
            costs->kernels, costs->compile_seconds, costs->cache_hits);
    if ((double)costs->bytes > 0.9 * memory)
        fprintf(out, "warning: this machine has %.2f GB of memory; choose %s\n", giga * memory,
                remedy);
}
