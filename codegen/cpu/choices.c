#include "codegen/cpu/choices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/integer.h"
#include "base/text.h"
#include "codegen/cpu/cache.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/row_lines.h"
#include "codegen/cpu/strip.h"
#include "codegen/cpu/tiles.h"
#include "codegen/cpu/winograd.h"

/* A row of choices.def; its candidates end with 0. */
typedef struct ChoiceRow {
    ChoiceForm form;
    ChoiceName name;
    int usual;
    int candidates[CHOICE_MOST_CANDIDATES + 1];
} ChoiceRow;

static const ChoiceRow rows[] = {
#define CHOICE(form, name, usual, ...) {CHOICE_##form, CHOICE_##name, usual, {__VA_ARGS__}},
#include "codegen/cpu/choices.def"
#undef CHOICE
};

static const char *const names[CHOICE_NAMES] = {[CHOICE_DEPTH] = "depth",
                                                [CHOICE_ROWS] = "rows",
                                                [CHOICE_COLUMNS] = "columns",
                                                [CHOICE_READ] = "read",
                                                [CHOICE_STRETCH] = "stretch"};

static const char *const readings[] = {[CHOICE_PACKED] = "packed", [CHOICE_IN_PLACE] = "in_place"};

static const char *const forms[] = {[CHOICE_CONTRACT] = "contract",
                                    [CHOICE_CONTRACT_TILED] = "contract_tiled",
                                    [CHOICE_WEIGHT] = "contract_weight",
                                    [CHOICE_WEIGHT_TILED] = "contract_weight_tiled"};

static const ChoiceRow *find_row(ChoiceForm form, ChoiceName name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].form == form && rows[i].name == name)
            return &rows[i];
    return NULL;
}

static bool is_candidate(const ChoiceRow *row, int value) {
    for (const int *candidate = row->candidates; *candidate; candidate++)
        if (*candidate == value)
            return true;
    return false;
}

ChoiceForm choices_form(const Kernel *kernel, const CpuTarget *target) {
    bool weight = kernel->kind == KERNEL_CONTRACT_WEIGHT;
    if (!weight && kernel->kind != KERNEL_CONTRACT)
        return CHOICE_NONE;
    if (kernel->contraction.bf16 && target->tiles != CPU_TILES_NONE)
        return weight ? CHOICE_WEIGHT_TILED : CHOICE_CONTRACT_TILED;
    return weight ? CHOICE_WEIGHT : CHOICE_CONTRACT;
}

int choices_value(const Choices *choices, ChoiceForm form, ChoiceName name) {
    if (choices && choices->value[name])
        return choices->value[name];
    const ChoiceRow *row = find_row(form, name);
    invariant(row, "the form %d has no choice %d", (int)form, (int)name);
    return row->usual;
}

int choices_columns(const Choices *choices, const Kernel *kernel, ChoiceForm form) {
    int value = choices_value(choices, form, CHOICE_COLUMNS);
    int suits = kernel->contraction.prologue ? CHOICE_PROLOGUE_COLUMNS : CHOICE_TILED_COLUMNS;
    return value ? value : suits;
}

/* ---- What is legal --------------------------------------------------------------------------- */

bool choices_may_read_in_place(const Program *program, const Kernel *kernel,
                               const CpuTarget *target) {
    int64_t in = kernel->contraction.in / kernel->contraction.groups;
    if (!gemm_reads_rows(program, kernel))
        return false;
    return kernel->kind == KERNEL_CONTRACT ||
           (in % gemm_block(target).rows == 0 && in <= CHOICE_MOST_IN_PLACE);
}

/* Whether a choice is open for this kernel at all. Winograd's tiles have none. Strips
 * (codegen/cpu/strip.h) are cut by the shape of the map, and only a contract's columns are not. */
static bool is_open(const Program *program, const Kernel *kernel, const CpuTarget *target,
                    const ChoiceRow *row) {
    if (contraction_takes_winograd(program, kernel, target))
        return false;
    if (row->name == CHOICE_READ)
        return choices_may_read_in_place(program, kernel, target);
    bool columns = row->form == CHOICE_CONTRACT_TILED && row->name == CHOICE_COLUMNS;
    if (!columns && contraction_takes_strips(program, kernel, target))
        return false;
    /* Tiles add their terms in groups: another cut has to leave the groups as they are. */
    if (row->form == CHOICE_CONTRACT_TILED && row->name == CHOICE_DEPTH)
        return kernel->contraction.in / kernel->contraction.groups % TILE_DEPTH == 0;
    return true;
}

/* Whether a value that is listed keeps the bits. Where the taps of a line share rows, their
 * channels are cut before the taps: another cut would be another order of the sums. */
static bool keeps_order(const Kernel *kernel, const ChoiceRow *row, int value) {
    int64_t in = kernel->contraction.in / kernel->contraction.groups;
    if (row->form != CHOICE_CONTRACT || row->name != CHOICE_DEPTH || !lines_share_rows(kernel))
        return true;
    return integer_divide_up(in, value) == integer_divide_up(in, CHOICE_PACKED_DEPTH);
}

int choices_candidates(const Program *program, const Kernel *kernel, const CpuTarget *target,
                       ChoiceName name, int values[CHOICE_MOST_CANDIDATES]) {
    const ChoiceRow *row = find_row(choices_form(kernel, target), name);
    int count = 0;
    if (!row || !is_open(program, kernel, target, row))
        return 0;
    for (const int *candidate = row->candidates; *candidate; candidate++)
        if (keeps_order(kernel, row, *candidate))
            values[count++] = *candidate;
    return count;
}

bool choices_legal(const Program *program, const Kernel *kernel, const CpuTarget *target,
                   const Choices *choices) {
    for (int name = 0; name < CHOICE_NAMES; name++) {
        const ChoiceRow *row = find_row(choices_form(kernel, target), (ChoiceName)name);
        if (choices->value[name] && (!row || !is_candidate(row, choices->value[name]) ||
                                     !is_open(program, kernel, target, row) ||
                                     !keeps_order(kernel, row, choices->value[name])))
            return false;
    }
    return true;
}

/* ---- Text ------------------------------------------------------------------------------------ */

char *choices_text(Arena *arena, const Choices *choices) {
    Text text = text_create(arena);
    for (int name = 0; name < CHOICE_NAMES; name++) {
        int value = choices->value[name];
        if (value && name == CHOICE_READ)
            text_append(&text, " %s=%s", names[name], readings[value]);
        else if (value)
            text_append(&text, " %s=%d", names[name], value);
    }
    return text.data + (text.length > 0);
}

static bool is_word(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* A candidate as choices_text writes it; 0: none. */
static int parse_value(const ChoiceRow *row, const char *text, size_t length) {
    char digits[16];
    for (const int *candidate = row->candidates; *candidate; candidate++) {
        snprintf(digits, sizeof digits, "%d", *candidate);
        if (is_word(text, length, row->name == CHOICE_READ ? readings[*candidate] : digits))
            return *candidate;
    }
    return 0;
}

static bool parse_choice(const char *text, size_t length, ChoiceForm form, Choices *choices) {
    const char *sign = memchr(text, '=', length);
    for (int name = 0; sign && name < CHOICE_NAMES; name++) {
        const ChoiceRow *row = find_row(form, (ChoiceName)name);
        if (!row || choices->value[name] || !is_word(text, (size_t)(sign - text), names[name]))
            continue;
        choices->value[name] = parse_value(row, sign + 1, length - (size_t)(sign + 1 - text));
        return choices->value[name] != 0;
    }
    return false;
}

bool choices_parse(const char *text, ChoiceForm form, Choices *choices) {
    *choices = (Choices){0};
    while (*text) {
        size_t length = strcspn(text, " ");
        if (!parse_choice(text, length, form, choices))
            return false;
        text += length;
        text += *text == ' ';
    }
    return true;
}

/* ---- Tunings --------------------------------------------------------------------------------- */

char *tuning_key(Arena *arena, const Program *program, const Kernel *kernel,
                 const CpuTarget *target) {
    ChoiceForm form = choices_form(kernel, target);
    const Contraction *c = &kernel->contraction;
    char digits[CODE_HASH_DIGITS + 1];
    if (form == CHOICE_NONE)
        return NULL;
    const char *code = kernel_code_key(arena, program, kernel);
    code_cache_hash(code, strlen(code), digits);
    const Geometry *geometry = &program->geometry;
    return arena_format(
        arena,
        "%s rows=%" PRId64 " from=%" PRId64 " in=%" PRId64 " out=%" PRId64
        " taps=%d groups=%" PRId64 " code=%.16s",
        forms[form], kernel_rows(program, kernel) * space_images(geometry, &kernel->space),
        space_rows(geometry, &c->taps.source) * space_images(geometry, &c->taps.source), c->in,
        c->out, c->taps.tap_count, c->groups, digits);
}

ChoiceForm tuning_key_form(const char *key) {
    size_t length = strcspn(key, " ");
    for (int form = 0; form < CHOICE_NONE; form++)
        if (is_word(key, length, forms[form]))
            return (ChoiceForm)form;
    return CHOICE_NONE;
}

static TunedContraction *find_tuned(const CpuTuning *tuning, const char *key) {
    for (size_t i = 0; i < tuning->contractions.count; i++)
        if (strcmp(tuning->contractions.items[i].key, key) == 0)
            return &tuning->contractions.items[i];
    return NULL;
}

void tuning_set(CpuTuning *tuning, const char *key, const Choices *choices) {
    TunedContraction *tuned = find_tuned(tuning, key);
    if (tuned) {
        tuned->choices = *choices;
        return;
    }
    TunedContraction added = {arena_copy_text(tuning->arena, key, strlen(key)), *choices};
    vector_push(tuning->arena, &tuning->contractions, added);
}

void tuning_remove(CpuTuning *tuning, const char *key) {
    TunedContraction *tuned = find_tuned(tuning, key);
    if (tuned)
        *tuned = tuning->contractions.items[--tuning->contractions.count];
}

Choices tuning_find(Arena *arena, const CpuTuning *tuning, const Program *program,
                    const Kernel *kernel, const CpuTarget *target) {
    const char *key = tuning ? tuning_key(arena, program, kernel, target) : NULL;
    const TunedContraction *tuned = key ? find_tuned(tuning, key) : NULL;
    bool legal = tuned && choices_legal(program, kernel, target, &tuned->choices);
    return legal ? tuned->choices : (Choices){0};
}
