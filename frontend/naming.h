/* The names of layers (docs/language.md, "Names of layers"). */
#ifndef SPARKC_FRONTEND_NAMING_H
#define SPARKC_FRONTEND_NAMING_H

#include "frontend/evaluate.h"

/* The text of a label, its expressions evaluated; NULL after an error. */
const char *naming_label(Evaluator *evaluator, const Label *label);

/* Enters a labelled call; naming_close leaves it and names the layers in it that have no label. */
Scope *naming_open(Evaluator *evaluator, const char *label_text);
void naming_close(Evaluator *evaluator);

/* A layer with parameters in the present scope. With a label its name is known at once, and checked
 * to be new; else once the scope is left. */
LayerName *naming_layer(Evaluator *evaluator, const char *op, const Label *label,
                        const char *label_text, Span span, const char *const *parameters,
                        size_t parameter_count);

/* "layer1.0" + "conv1" = "layer1.0.conv1"; an empty side adds no dot. */
const char *naming_join(Arena *arena, const char *path, const char *name);

#endif
