/* What the printer and the parser of kernel programs share: which numbers of a structure stand in
 * an attribute list, under which name. Private to ir/. */
#ifndef SPARKC_IR_KERNEL_FIELDS_H
#define SPARKC_IR_KERNEL_FIELDS_H

#include "ir/kernel.h"
#include "ir/scan.h"

typedef enum FieldKind {
    FIELD_INT,  /* int64_t */
    FIELD_BOOL, /* bool */
    FIELD_LIST  /* int64_t[TYPE_MAX_SPACE], one per direction; left out if all are `standard` */
} FieldKind;

typedef struct Field {
    const char *name;
    FieldKind kind;
    size_t offset;    /* in the structure */
    bool optional;    /* left out if it equals `standard` */
    int64_t standard; /* lists: of each direction */
} Field;

enum { FIELDS_MAX = 6 };

typedef struct Fields {
    const char *owner; /* the word of the line, for messages */
    int count;
    Field items[FIELDS_MAX];
} Fields;

extern const Fields kernel_fields_buffer, kernel_fields_level, kernel_fields_space,
    kernel_fields_taps, kernel_fields_view, kernel_fields_weight, kernel_fields_contraction,
    kernel_fields_window, kernel_fields_reduction, kernel_fields_divide;

/* Prints the fields of a structure; `rank` is the length of its lists. */
void kernel_fields_print(Text *out, const Fields *fields, const void *structure, int rank);

/* Reads them; what is left out gets its standard. Lists must be of length `rank`, or of one and the
 * same length that is stored there if *rank is -1. */
bool kernel_fields_parse(Scanner *scanner, const Fields *fields, void *structure, int *rank);

#endif
