/* The choices that the code of a contraction leaves open: how it is cut into parts and chunks, how
 * rows are read. They decide how fast it is, never what it computes: with every legal choice the
 * results are the same bits, for any number of threads. What is chosen is part of the code's key.
 *
 * A tuning (`sparkc tune`) is a list of contractions with their choices. A contraction is known by
 * its shape and its code, not by names; one that is not in the list gets the defaults. */
#ifndef SPARKC_CODEGEN_CPU_CHOICES_H
#define SPARKC_CODEGEN_CPU_CHOICES_H

#include "base/vector.h"
#include "codegen/cpu/cpu.h"
#include "ir/kernel.h"

/* The kinds of contractions that differ in what may be chosen. */
typedef enum ChoiceForm {
    CHOICE_CONTRACT,
    CHOICE_CONTRACT_TILED, /* by tiles of bf16 */
    CHOICE_WEIGHT,
    CHOICE_WEIGHT_TILED,
    CHOICE_NONE /* no contraction */
} ChoiceForm;

/* choices.def says what they are. */
typedef enum ChoiceName {
    CHOICE_DEPTH,
    CHOICE_ROWS,
    CHOICE_COLUMNS,
    CHOICE_READ,
    CHOICE_STRETCH
} ChoiceName;
enum { CHOICE_NAMES = CHOICE_STRETCH + 1 };

/* Values of CHOICE_READ. */
enum { CHOICE_PACKED = 1, CHOICE_IN_PLACE };

/* CHOICE_DEPTH by default, of a contract whose rows are packed. */
enum { CHOICE_PACKED_DEPTH = 256 };

/* By ChoiceName; 0: the default. */
typedef struct Choices {
    int value[CHOICE_NAMES];
} Choices;

/* CHOICE_COLUMNS by default, of tiles; behind a prologue, which each block of columns evaluates. */
enum { CHOICE_TILED_COLUMNS = 256, CHOICE_PROLOGUE_COLUMNS = 384 };

/* Which choices a kernel has. */
ChoiceForm choices_form(const Kernel *kernel, const CpuTarget *target);

/* What is chosen: the value, or the form's default (CHOICE_READ: 0, what suits). `choices` NULL:
 * all defaults. */
int choices_value(const Choices *choices, ChoiceForm form, ChoiceName name);

/* CHOICE_COLUMNS of a contraction: the value, or what suits it. */
int choices_columns(const Choices *choices, const Kernel *kernel, ChoiceForm form);

/* The longest rows, in channels, that contract_weight may read in place. */
enum { CHOICE_MOST_IN_PLACE = 512 };

/* Whether the rows that a contraction's taps read may be multiplied where they are. */
bool choices_may_read_in_place(const Program *program, const Kernel *kernel,
                               const CpuTarget *target);

/* The values that a choice of this kernel may have, in `values`; returns how many, 0 where nothing
 * is open. */
enum { CHOICE_MOST_CANDIDATES = 8 };
int choices_candidates(const Program *program, const Kernel *kernel, const CpuTarget *target,
                       ChoiceName name, int values[CHOICE_MOST_CANDIDATES]);

/* Whether each value is a default or a candidate of this kernel. */
bool choices_legal(const Program *program, const Kernel *kernel, const CpuTarget *target,
                   const Choices *choices);

/* "depth=384 read=packed", what differs from the defaults; "" if nothing does. choices_parse reads
 * it back: false, if it says anything else than candidates of this form, each once. */
char *choices_text(Arena *arena, const Choices *choices);
bool choices_parse(const char *text, ChoiceForm form, Choices *choices);

/* ---- Tunings --------------------------------------------------------------------------------- */

typedef struct TunedContraction {
    const char *key;
    Choices choices;
} TunedContraction;

typedef struct CpuTuning {
    Arena *arena;
    VECTOR(TunedContraction) contractions;
} CpuTuning;

/* What a contraction is known by: form, shape, and a hash of its code key; one line. NULL for other
 * kernels. */
char *tuning_key(Arena *arena, const Program *program, const Kernel *kernel,
                 const CpuTarget *target);

/* The form that a key begins with; CHOICE_NONE: it is no key. */
ChoiceForm tuning_key_form(const char *key);

/* Adds a contraction or replaces what was chosen for it; takes it out. The key is copied. */
void tuning_set(CpuTuning *tuning, const char *key, const Choices *choices);
void tuning_remove(CpuTuning *tuning, const char *key);

/* The choices of a kernel: those of the tuning if they are legal, else the defaults. `tuning` may
 * be NULL. */
Choices tuning_find(Arena *arena, const CpuTuning *tuning, const Program *program,
                    const Kernel *kernel, const CpuTarget *target);

#endif
