/* What a source holds: good and bad pictures, sizes, mean and deviation of the pixels. */
#ifndef SPARKC_RUNTIME_DATA_SCAN_H
#define SPARKC_RUNTIME_DATA_SCAN_H

#include "runtime/data/image.h"
#include "runtime/data/source.h"

enum { SCAN_MOST_CHANNELS = 4 };

typedef struct ScanRange {
    int least, median, most; /* pixels */
} ScanRange;

typedef struct ScanResult {
    size_t visited, good, bad; /* pictures; `bad` counts the source's problems too */
    size_t formats[IMAGE_FORMAT_COUNT];
    ScanRange width, height; /* of the good pictures */
    int channels;
    double mean[SCAN_MOST_CHANNELS], deviation[SCAN_MOST_CHANNELS]; /* of values 0..1 */
} ScanResult;

/* How a scan speaks: a bad picture, in the order of the source; how far it is. Either may be NULL.
 */
typedef struct ScanListener {
    void *context;
    void (*bad)(void *context, const char *name, const char *reason);
    void (*progress)(void *context, size_t done, size_t all, size_t bad);
} ScanListener;

/* Decodes the pictures of a source with `threads` threads: all of them, or about `most` (at least
 * 1), spread evenly over the source, if it has more. Mean and deviation are over all pixels of the
 * good ones and do not depend on threads. Fails if no picture is good. */
Status scan_source(Arena *arena, const Source *source, int channels, int threads, size_t most,
                   const ScanListener *listener, ScanResult *result);

#endif
