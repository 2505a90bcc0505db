/* Networks from texts of the language. */
#ifndef SPARKC_TESTS_SUPPORT_TEXT_NETWORK_H
#define SPARKC_TESTS_SUPPORT_TEXT_NETWORK_H

#include "frontend/frontend.h"

/* The graph of the only network of a text, which messages call net.cnn; NULL after errors, which
 * are in `diagnostics`. */
Graph *text_network(Arena *arena, Diagnostics *diagnostics, const char *text);

#endif
