#include "tools/report/report_html.h"

#include <nettle/base64.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *entity(unsigned char letter) {
    switch (letter) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return (letter < ' ' && letter != '\n' && letter != '\t') || letter == 0x7f ? "&#xfffd;"
                                                                                    : NULL;
    }
}

void html_text(Text *page, const char *text) {
    for (; *text; text++) {
        const char *replacement = entity((unsigned char)*text);
        if (replacement)
            text_append(page, "%s", replacement);
        else
            text_append_bytes(page, text, 1);
    }
}

void html_name(Text *page, const char *name) {
    Text shown = text_create(page->arena);
    text_append_escaped(&shown, name);
    html_text(page, shown.data);
}

void html_png(Text *page, const void *bytes, size_t length) {
    size_t coded = BASE64_ENCODE_RAW_LENGTH(length);
    char *letters = arena_alloc(page->arena, coded + 1, 1);
    base64_encode_raw(letters, length, bytes);
    text_append(page, "data:image/png;base64,");
    text_append_bytes(page, letters, coded);
}

static void value_text(Text *page, const json_t *value) {
    if (json_is_string(value)) {
        html_text(page, json_string_value(value));
        return;
    }
    char *words = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    html_text(page, words ? words : "");
    free(words);
}

/* Calls itself for objects that are not empty. */
static void append_rows(Text *page, const json_t *object, const char *prefix) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        const char *name = arena_format(page->arena, "%s%s", prefix, key);
        if (json_object_size(value) > 0) {
            append_rows(page, value, arena_format(page->arena, "%s.", name));
            continue;
        }
        text_append(page, "<tr><th>");
        html_text(page, name);
        text_append(page, "</th><td>");
        value_text(page, value);
        text_append(page, "</td></tr>\n");
    }
}

void html_rows(Text *page, const json_t *object) {
    append_rows(page, object, "");
}

void html_words(Text *page, const json_t *value) {
    const char *key, *comma = "";
    json_t *item;
    if (!json_is_object(value)) {
        value_text(page, value);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item) {
        text_append(page, "%s", comma);
        html_text(page, key);
        text_append(page, " ");
        value_text(page, item);
        comma = ", ";
    }
}
