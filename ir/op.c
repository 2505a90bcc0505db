#include "ir/op.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

/* A row of ops.def as it is written. */
typedef struct Row {
    const char *name, *operands, *results, *attributes, *shape;
    MaskedRule masked;
    unsigned flags;
} Row;

static const Row rows[OP_COUNT] = {
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    [OP_##name] = {#name, operands, results, attributes, #shape, MASKED_##masked, flags},
#include "ir/ops.def"
#undef OP
};

/* The words of all rows, cut apart in place. */
enum {
    WORD_BYTES = 0
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    +(int)(sizeof(operands) + sizeof(results) + sizeof(attributes))
#include "ir/ops.def"
#undef OP
};

typedef struct Table {
    OpInfo infos[OP_COUNT];
    char words[WORD_BYTES];
    size_t used; /* of words */
} Table;

static const struct {
    const char *name;
    AttributeKind kind;
} kind_names[] = {
    {"int", ATTRIBUTE_INT},   {"float", ATTRIBUTE_FLOAT}, {"bool", ATTRIBUTE_BOOL},
    {"ints", ATTRIBUTE_INTS}, {"text", ATTRIBUTE_TEXT},   {"word", ATTRIBUTE_WORD},
};

/* A copy of `list` in the table, cut at blanks; returns the number of words. */
static int cut(Table *table, const char *list, char **words, int most) {
    char *at = strcpy(table->words + table->used, list);
    table->used += strlen(list) + 1;
    int count = 0;
    char *rest;
    for (char *word = strtok_r(at, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        invariant(count < most, "more than %d words in \"%s\"", most, list);
        words[count++] = word;
    }
    return count;
}

/* Cuts `suffix` off the end of a word, if it is there. */
static bool cut_suffix(char *word, const char *suffix) {
    size_t length = strlen(word), tail = strlen(suffix);
    if (length < tail || strcmp(word + length - tail, suffix) != 0)
        return false;
    word[length - tail] = '\0';
    return true;
}

static void parse_operands(Table *table, OpInfo *info, const char *list) {
    char *words[OP_MAX_OPERANDS];
    info->operand_count = cut(table, list, words, OP_MAX_OPERANDS);
    for (int i = 0; i < info->operand_count; i++) {
        info->variadic = cut_suffix(words[i], "...");
        if (!cut_suffix(words[i], "?"))
            info->required_count = i + 1;
        info->operands[i] = words[i];
    }
}

static Attribute parse_default(AttributeKind kind, const char *text) {
    Attribute value = {.kind = kind};
    switch (kind) {
    case ATTRIBUTE_INT:
        value.integer = strtoll(text, NULL, 10);
        break;
    case ATTRIBUTE_BOOL:
        value.integer = strcmp(text, "true") == 0;
        break;
    case ATTRIBUTE_FLOAT:
        value.real = strtod(text, NULL);
        break;
    case ATTRIBUTE_INTS:
        invariant(false, "a list has no default");
        break;
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_WORD:
        value.text = strcmp(text, "\"\"") == 0 ? "" : text;
        break;
    }
    return value;
}

static AttributeKind parse_kind(const char *name) {
    for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
        if (strcmp(name, kind_names[i].name) == 0)
            return kind_names[i].kind;
    }
    invariant_failed(__FILE__, __LINE__, "no attribute kind is called %s", name);
}

/* name:kind or name:kind=default */
static AttributeInfo parse_attribute(char *word) {
    AttributeInfo info = {.name = word};
    char *kind = strchr(word, ':');
    invariant(kind != NULL, "the attribute %s has no kind", word);
    *kind++ = '\0';
    char *standard = strchr(kind, '=');
    if (standard)
        *standard++ = '\0';
    info.kind = parse_kind(kind);
    info.has_default = standard != NULL;
    info.standard = (Attribute){.kind = info.kind};
    if (standard)
        info.standard = parse_default(info.kind, standard);
    else if (info.kind == ATTRIBUTE_TEXT || info.kind == ATTRIBUTE_WORD)
        info.standard.text = "";
    return info;
}

static void parse_row(Table *table, OpInfo *info, const Row *row) {
    *info = (OpInfo){.name = row->name, .masked = row->masked, .flags = row->flags};
    info->type_stated = strcmp(row->shape, "stated") == 0;
    parse_operands(table, info, row->operands);
    char *words[OP_MAX_ATTRIBUTES];
    info->result_count = cut(table, row->results, words, OP_MAX_RESULTS);
    for (int i = 0; i < info->result_count; i++)
        info->results[i] = words[i];
    info->attribute_count = cut(table, row->attributes, words, OP_MAX_ATTRIBUTES);
    for (int i = 0; i < info->attribute_count; i++)
        info->attributes[i] = parse_attribute(words[i]);
}

/* Written once, below `once`. */
static Table table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void parse_table(void) {
    for (int i = 0; i < OP_COUNT; i++)
        parse_row(&table, &table.infos[i], &rows[i]);
}

const OpInfo *op_info(Op op) {
    invariant((unsigned)op < OP_COUNT, "there is no op %d", (int)op);
    pthread_once(&once, parse_table);
    return &table.infos[op];
}

Op op_by_name(const char *name) {
    int op = 0;
    while (op < OP_COUNT && strcmp(rows[op].name, name) != 0)
        op++;
    return (Op)op;
}

int op_attribute_index(Op op, const char *name) {
    const OpInfo *info = op_info(op);
    for (int i = 0; i < info->attribute_count; i++) {
        if (strcmp(info->attributes[i].name, name) == 0)
            return i;
    }
    return -1;
}

bool attribute_equal(const Attribute *a, const Attribute *b) {
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case ATTRIBUTE_INT:
    case ATTRIBUTE_BOOL:
        return a->integer == b->integer;
    case ATTRIBUTE_FLOAT: /* -0 is not 0, and a NaN equals itself */
        return memcmp(&a->real, &b->real, sizeof a->real) == 0;
    case ATTRIBUTE_INTS:
        return a->count == b->count &&
               memcmp(a->ints, b->ints, (size_t)a->count * sizeof *a->ints) == 0;
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_WORD:
        return strcmp(a->text, b->text) == 0;
    }
    return false;
}

const char *masked_rule_text(MaskedRule rule) {
    static const char *const texts[] = {
        [MASKED_ROWS] = "works on each visible position alone",
        [MASKED_TAPS] = "computed at visible positions; hidden positions read as zero",
        [MASKED_VISIBLE] = "statistics over the visible positions of the batch",
        [MASKED_IMAGE] = "mean over the visible positions of each image",
        [MASKED_UPSAMPLE] = "each visible position fills its square; nearest only",
        [MASKED_REFUSED] = "not supported: has no masked form",
        [MASKED_INTERNAL] = "made by the compiler",
    };
    return texts[rule];
}
