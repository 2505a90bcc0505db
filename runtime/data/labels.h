/* Classes of labelled pictures. */
#ifndef SPARKC_RUNTIME_DATA_LABELS_H
#define SPARKC_RUNTIME_DATA_LABELS_H

#include "runtime/data/source.h"

enum { LABELS_MOST_CLASSES = 100000 };

/* A class for each sample of a source, by number: places in the table of names. */
typedef struct Labels {
    const char *const
        *names; /* [class_count], numbers first, by value, then texts by their bytes */
    size_t class_count;
    uint32_t *classes; /* [count], in the order of the samples */
    size_t count;
} Labels;

/* Finds the classes of a source's samples and makes their table, of 2 to LABELS_MOST_CLASSES. The
 * class of a sample is
 *
 *   - in a shard with entries .cls: the number, decimal digits, in the entry that is named as the
 *     sample up to a dot ("0001.jpg" or "0001.left.jpg", "0001.cls");
 *   - in a shard without: what its entry's name has before the last underscore ("cat_0042.jpg");
 *   - otherwise: the name of the folder that holds the file.
 *
 * Fails, naming the sample, where one has no class or two, or where .cls holds no number. */
Status labels_read(Arena *arena, const Source *source, Labels *labels);

/* The same for a second source, by the table of another one, whose names are borrowed. A class that
 * the table lacks is a failure that names it; not all of the table's need samples. */
Status labels_match(Arena *arena, const Source *source, const Labels *table, Labels *labels);

/* Labelled samples that were chosen, in the order that they have in their source. */
typedef struct LabelsChoice {
    size_t *samples;   /* [count], their numbers */
    uint32_t *classes; /* [count], the class of each */
    size_t count;
} LabelsChoice;

/* Chooses `count` of the labelled samples, a stratified subset: equally many of each class, as far
 * as there are so many, and one more of the first ones where they do not come out even. With 0, or
 * with as many as there are, all are chosen.
 *
 * Which ones of a class is a function of (seed, their numbers) alone. Each seed has another subset,
 * and of one seed a smaller subset is part of a larger one. Fails if a class that has samples would
 * be without one. */
Status labels_choose(Arena *arena, const Labels *labels, size_t count, uint32_t seed,
                     LabelsChoice *choice);

/* Of `count` samples, chosen likewise, holds out a share of each class, rounded, but for its last
 * one; the others are kept. Which ones is a function of (seed, their numbers) as well. Fails also
 * if that is none. */
Status labels_hold_out(Arena *arena, const Labels *labels, size_t count, double share,
                       uint32_t seed, LabelsChoice *kept, LabelsChoice *held);

#endif
