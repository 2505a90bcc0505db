/* Pieces of a page: escaped texts, pictures within the page, JSON as a table. */
#ifndef SPARKC_TOOLS_REPORT_REPORT_HTML_H
#define SPARKC_TOOLS_REPORT_REPORT_HTML_H

#include <jansson.h>

#include "base/text.h"

/* Begins a page up to its heading; it ends with </main></body></html>. `title` is markup, `style`
 * comes behind the styles that all pages share. */
void html_begin(Text *page, const char *title, const char *style);

/* Appends text of valid UTF-8 so that a page shows it and nothing else; control characters but
 * blanks and line ends become U+FFFD. Fit for elements and for quoted attributes. */
void html_text(Text *page, const char *text);

/* The same for a name from a file system, whose stray bytes are shown as text_append_escaped does.
 */
void html_name(Text *page, const char *name);

/* Appends the bytes as a data URL of type image/png. */
void html_png(Text *page, const void *bytes, size_t length);

/* A row <tr><th>name</th><td>value</td></tr> for each value of an object, in its order; values of
 * nested objects as a.b, lists in one row. */
void html_rows(Text *page, const json_t *object);

/* The values of an object on one line: "threads 2, cpu host"; a text as it is. */
void html_words(Text *page, const json_t *value);

#endif
