/* The tables at the head of a graph's text, as attribute lists: one description that the printer
 * and the parser share.
 *
 *     geometry {batch=8, image=[224, 224], channels=3, ratio=32, keep=20}
 *     segment conv1.weight : f32[7x7x3x64] from f32[64x3x7x7] {role=weight, layout=conv, ...}
 *     state bn1.running_mean : f32[64] {init=0}
 */
#ifndef SPARKC_IR_HEADER_H
#define SPARKC_IR_HEADER_H

#include "ir/graph.h"

/* The attributes of a kind of line. */
typedef struct HeaderRow {
    const char *owner; /* the word that the line starts with */
    int count;
    AttributeInfo attributes[OP_MAX_ATTRIBUTES];
} HeaderRow;

extern const HeaderRow header_geometry, header_segment, header_state;

/* The attributes of a table entry; the words are constants. */
void header_from_geometry(const Geometry *geometry, Attribute values[OP_MAX_ATTRIBUTES]);
void header_from_segment(const Segment *segment, Attribute values[OP_MAX_ATTRIBUTES]);
void header_from_state(const StateSlot *state, Attribute values[OP_MAX_ATTRIBUTES]);

/* What is wrong with attributes from a text: which one, and why; `message` NULL if nothing is. */
typedef struct HeaderError {
    int index;
    const char *message; /* in the arena */
} HeaderError;

/* The other way: fills what the attributes say; names, types and file shapes are left alone.
 * Numbers out of range and unknown words are errors, so that what is filled is safe to compute
 * with. */
HeaderError header_to_geometry(Arena *arena, const Attribute *values, Geometry *geometry);
HeaderError header_to_segment(Arena *arena, const Attribute *values, Segment *segment);
HeaderError header_to_state(Arena *arena, const Attribute *values, StateSlot *state);

#endif
