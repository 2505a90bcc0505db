#include "runtime/data/labels.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/fatal.h"
#include "base/random.h"

/* The key's second word where samples are chosen, apart from those of the other draws. */
enum { STREAM = 0x6c61626c };

enum { MOST_DIGITS = 9, MOST_CLASS_BYTES = 64 };

/* A text and a number that it stands for. */
typedef struct Entry {
    const char *text;
    size_t number;
    UT_hash_handle hh;
} Entry;

typedef struct Reading {
    Arena *arena;
    const Source *source;
    Entry *keys;   /* by what stands before ".cls": the number of the entry among the classes */
    Entry *shards; /* that have such entries */
} Reading;

static Entry *find(Entry *table, const char *text) {
    Entry *found;
    HASH_FIND_STR(table, text, found);
    return found;
}

static void add(Arena *arena, Entry **table, const char *text, size_t number) {
    Entry *entry = arena_new(arena, Entry);
    entry->text = text;
    entry->number = number;
    HASH_ADD_KEYPTR(hh, *table, entry->text, strlen(entry->text), entry);
}

static const char *base_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* ---- The class of a sample ------------------------------------------------------------------- */

static Status collect_entries(Reading *reading) {
    for (size_t i = 0; i < reading->source->classes.count; i++) {
        const SourceSample *entry = &reading->source->classes.items[i];
        const char *key =
            arena_copy_text(reading->arena, entry->name, strlen(entry->name) - strlen(".cls"));
        if (find(reading->keys, key))
            return status_failure(reading->arena, "%s: there are two entries of this name",
                                  entry->name);
        add(reading->arena, &reading->keys, key, i);
        if (!find(reading->shards, entry->path))
            add(reading->arena, &reading->shards, entry->path, 0);
    }
    return STATUS_FINE;
}

/* The number in an entry .cls, as a text without zeros in front; blanks around it are let pass. */
static Status read_number(const Reading *reading, const SourceSample *entry, const char **name) {
    const uint8_t *bytes;
    size_t length;
    Arena *arena = reading->arena;
    if (entry->size > MOST_CLASS_BYTES)
        return status_failure(arena, "%s: %llu bytes are no class number", entry->name,
                              (unsigned long long)entry->size);
    Status status = source_read(arena, entry, &bytes, &length);
    if (!status_fine(status))
        return status_failure(arena, "%s: %s", entry->name, status.message);
    const char *text = arena_copy_text(arena, (const char *)bytes, length);
    text += strspn(text, " \t\r\n");
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits + strspn(text + digits, " \t\r\n");
    if (digits == 0 || digits > MOST_DIGITS || (size_t)(rest - text) != strlen(text) ||
        memchr(bytes, 0, length))
        return status_failure(arena, "%s: a class number of up to %d decimal digits is needed",
                              entry->name, MOST_DIGITS);
    *name = arena_format(arena, "%ld", strtol(text, NULL, 10));
    return STATUS_FINE;
}

/* The entry .cls of the longest name that a sample's has before one of its dots. */
static Status class_by_entry(const Reading *reading, const SourceSample *sample,
                             const char **name) {
    char *key = arena_copy_text(reading->arena, sample->name, strlen(sample->name));
    char *base = key + (base_name(key) - key);
    for (char *dot = strrchr(base, '.'); dot; dot = strrchr(base, '.')) {
        *dot = '\0';
        const Entry *found = find(reading->keys, key);
        if (found)
            return read_number(reading, &reading->source->classes.items[found->number], name);
    }
    return status_failure(reading->arena,
                          "%s: has no label: other pictures of the shard have an entry .cls",
                          sample->name);
}

static Status class_by_name(const Reading *reading, const SourceSample *sample, const char **name) {
    const char *base = base_name(sample->name), *mark = strrchr(base, '_');
    if (!mark || mark == base)
        return status_failure(reading->arena,
                              "%s: has no label: an entry .cls of the same name, or a name such as "
                              "cat_0042.jpg is needed",
                              sample->name);
    *name = arena_copy_text(reading->arena, base, (size_t)(mark - base));
    return STATUS_FINE;
}

/* The last folder of a path, or NULL if it does not say: "a.png", "./a.png". */
static const char *folder_of(Arena *arena, const char *path) {
    const char *end = strrchr(path, '/');
    while (end && end > path && end[-1] == '/')
        end--;
    if (!end || end == path)
        return NULL;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    const char *name = arena_copy_text(arena, start, (size_t)(end - start));
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? NULL : name;
}

static Status class_by_folder(const Reading *reading, const SourceSample *sample,
                              const char **name) {
    Arena *arena = reading->arena;
    *name = folder_of(arena, sample->name);
    if (*name)
        return STATUS_FINE;
    const char *base = base_name(sample->name);
    size_t length = (size_t)(base - sample->name);
    const char *folder = length ? arena_copy_text(arena, sample->name, length) : ".";
    char *whole = realpath(folder, NULL);
    if (!whole)
        return status_failure(arena, "%s: %s", sample->name, strerror(errno));
    *name = folder_of(arena, arena_format(arena, "%s/%s", whole, base));
    free(whole);
    if (!*name)
        return status_failure(arena, "%s: has no label: it lies in no folder", sample->name);
    return STATUS_FINE;
}

static Status class_of(const Reading *reading, const SourceSample *sample, const char **name) {
    if (!sample->in_shard)
        return class_by_folder(reading, sample, name);
    if (find(reading->shards, sample->path))
        return class_by_entry(reading, sample, name);
    return class_by_name(reading, sample, name);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static bool is_number(const char *name) {
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && digits <= MOST_DIGITS && name[digits] == '\0';
}

static int compare_names(const void *a, const void *b) {
    const char *first = *(const char *const *)a, *second = *(const char *const *)b;
    bool number = is_number(first);
    if (number != is_number(second))
        return number ? -1 : 1;
    if (number) {
        long one = strtol(first, NULL, 10), other = strtol(second, NULL, 10);
        if (one != other)
            return one < other ? -1 : 1;
    }
    return strcmp(first, second);
}

static Status name_all(Reading *reading, const char **names) {
    const Source *source = reading->source;
    status_return_if_failed(collect_entries(reading));
    for (size_t i = 0; i < source->samples.count; i++)
        status_return_if_failed(class_of(reading, &source->samples.items[i], &names[i]));
    return STATUS_FINE;
}

/* The class's name of each sample. */
static Status read_names(Arena *arena, const Source *source, const char ***names) {
    Reading reading = {.arena = arena, .source = source};
    *names = arena_new_array(arena, const char *, source->samples.count);
    Status status = name_all(&reading, *names);
    HASH_CLEAR(hh, reading.keys);
    HASH_CLEAR(hh, reading.shards);
    return status;
}

/* The distinct ones, sorted. */
static Status make_table(Arena *arena, const char *const *names, size_t count, Labels *labels) {
    Entry *table = NULL;
    VECTOR(const char *) distinct = {0};
    invariant(count > 0, "a source has samples");
    for (size_t i = 0; i < count; i++) {
        if (find(table, names[i]))
            continue;
        add(arena, &table, names[i], 0);
        vector_push(arena, &distinct, names[i]);
    }
    HASH_CLEAR(hh, table);
    if (distinct.count < 2)
        return status_failure(arena, "all pictures are of one class, %s; labels need two at least",
                              distinct.items[0]);
    if (distinct.count > LABELS_MOST_CLASSES)
        return status_failure(arena, "the pictures are of %zu classes; at most %d are possible",
                              distinct.count, LABELS_MOST_CLASSES);
    qsort(distinct.items, distinct.count, sizeof *distinct.items, compare_names);
    labels->names = distinct.items;
    labels->class_count = distinct.count;
    return STATUS_FINE;
}

static Status number_all(Arena *arena, const Source *source, const char *const *names,
                         Labels *labels) {
    Entry *table = NULL;
    Status status = STATUS_FINE;
    labels->count = source->samples.count;
    labels->classes = arena_new_array(arena, uint32_t, labels->count);
    for (size_t i = 0; i < labels->class_count; i++)
        add(arena, &table, labels->names[i], i);
    for (size_t i = 0; i < labels->count && status_fine(status); i++) {
        const Entry *found = find(table, names[i]);
        if (found)
            labels->classes[i] = (uint32_t)found->number;
        else
            status =
                status_failure(arena, "%s: is of class %s, which none of the training pictures has",
                               source->samples.items[i].name, names[i]);
    }
    HASH_CLEAR(hh, table);
    return status;
}

Status labels_read(Arena *arena, const Source *source, Labels *labels) {
    const char **names;
    status_return_if_failed(read_names(arena, source, &names));
    status_return_if_failed(make_table(arena, names, source->samples.count, labels));
    return number_all(arena, source, names, labels);
}

Status labels_match(Arena *arena, const Source *source, const Labels *table, Labels *labels) {
    const char **names;
    status_return_if_failed(read_names(arena, source, &names));
    *labels = (Labels){.names = table->names, .class_count = table->class_count};
    return number_all(arena, source, names, labels);
}

/* ---- A choice of samples --------------------------------------------------------------------- */

/* A sample with its place in a random order of those of its class. */
typedef struct Candidate {
    uint32_t class;
    uint64_t place;
    size_t sample;
} Candidate;

static int compare_candidates(const void *a, const void *b) {
    const Candidate *first = a, *second = b;
    if (first->class != second->class)
        return first->class < second->class ? -1 : 1;
    if (first->place != second->place)
        return first->place < second->place ? -1 : 1;
    return first->sample < second->sample ? -1 : first->sample > second->sample;
}

/* By class, and in the order of the seed within each. */
static Candidate *line_up(Arena *arena, const Labels *labels, uint32_t seed) {
    Candidate *line = arena_new_array(arena, Candidate, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        RandomBlock counter = {{(uint32_t)i, (uint32_t)((uint64_t)i >> 32), 0, 0}};
        RandomBlock drawn = random_block(counter, seed, STREAM);
        line[i] = (Candidate){labels->classes[i], (uint64_t)drawn.word[1] << 32 | drawn.word[0], i};
    }
    qsort(line, labels->count, sizeof *line, compare_candidates);
    return line;
}

/* The classes that have samples. */
static size_t count_classes(const Labels *labels) {
    Arena *scratch = arena_create();
    bool *seen = arena_new_array(scratch, bool, labels->class_count);
    size_t count = 0;
    for (size_t i = 0; i < labels->count; i++) {
        count += !seen[labels->classes[i]];
        seen[labels->classes[i]] = true;
    }
    arena_destroy(scratch);
    return count;
}

/* How many samples of each class are taken: one of each in turn while there are any. */
static size_t *share_out(Arena *arena, const Labels *labels, size_t count) {
    size_t *sizes = arena_new_array(arena, size_t, labels->class_count);
    size_t *taken = arena_new_array(arena, size_t, labels->class_count);
    for (size_t i = 0; i < labels->count; i++)
        sizes[labels->classes[i]]++;
    for (size_t left = count; left > 0;) {
        for (size_t k = 0; k < labels->class_count && left > 0; k++) {
            if (taken[k] == sizes[k])
                continue;
            taken[k]++;
            left--;
        }
    }
    return taken;
}

static LabelsChoice new_choice(Arena *arena, size_t most) {
    return (LabelsChoice){arena_new_array(arena, size_t, most),
                          arena_new_array(arena, uint32_t, most), 0};
}

static void put(LabelsChoice *choice, const Labels *labels, size_t sample) {
    choice->samples[choice->count] = sample;
    choice->classes[choice->count++] = labels->classes[sample];
}

/* Marks the first `sizes` samples of each class in the order of the seed. */
static bool *mark(Arena *arena, const Labels *labels, uint32_t seed, const size_t *sizes) {
    const Candidate *line = line_up(arena, labels, seed);
    size_t *taken = arena_new_array(arena, size_t, labels->class_count);
    bool *marks = arena_new_array(arena, bool, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        uint32_t class = line[i].class;
        marks[line[i].sample] = taken[class] < sizes[class];
        taken[class]++;
    }
    return marks;
}

static Status check_count(Arena *arena, const Labels *labels, size_t *count) {
    if (*count == 0 || *count > labels->count)
        *count = labels->count;
    size_t classes = count_classes(labels);
    if (*count < classes)
        return status_failure(arena,
                              "%zu pictures are too few: there are %zu classes, each of which "
                              "needs one",
                              *count, classes);
    return STATUS_FINE;
}

Status labels_choose(Arena *arena, const Labels *labels, size_t count, uint32_t seed,
                     LabelsChoice *choice) {
    status_return_if_failed(check_count(arena, labels, &count));
    *choice = new_choice(arena, count);
    Arena *scratch = arena_create();
    const bool *chosen = mark(scratch, labels, seed, share_out(scratch, labels, count));
    for (size_t i = 0; i < labels->count; i++)
        if (chosen[i])
            put(choice, labels, i);
    invariant(choice->count == count, "%zu samples were chosen, not %zu", choice->count, count);
    arena_destroy(scratch);
    return STATUS_FINE;
}

Status labels_hold_out(Arena *arena, const Labels *labels, size_t count, double share,
                       uint32_t seed, LabelsChoice *kept, LabelsChoice *held) {
    status_return_if_failed(check_count(arena, labels, &count));
    *kept = new_choice(arena, count);
    *held = new_choice(arena, count);
    Arena *scratch = arena_create();
    size_t *sizes = share_out(scratch, labels, count);
    const bool *chosen = mark(scratch, labels, seed, sizes);
    for (size_t k = 0; k < labels->class_count; k++) {
        size_t most = sizes[k] > 0 ? sizes[k] - 1 : 0;
        size_t rounded = (size_t)nearbyint(share * (double)sizes[k]);
        sizes[k] -= rounded < most ? rounded : most;
    }
    const bool *stays = mark(scratch, labels, seed, sizes);
    for (size_t i = 0; i < labels->count; i++)
        if (chosen[i])
            put(stays[i] ? kept : held, labels, i);
    arena_destroy(scratch);
    if (held->count == 0)
        return status_failure(
            arena, "a share of %g of each of %zu classes is none: there are %zu pictures", share,
            count_classes(labels), count);
    return STATUS_FINE;
}
