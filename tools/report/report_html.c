#include "tools/report/report_html.h"

#include <nettle/base64.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Colours, light and dark; text, headings, cards with facts. */
static const char common_style[] =
    ":root{--page:#f6f7f9;--card:#fff;--ink:#1c2330;--soft:#5d6878;--rule:#e3e7ec;"
    "--series-0:#3b6fd4;--series-1:#e07b1a;--bad:#c0392b}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#14171c;--card:#1d2128;--ink:#e4e8ee;"
    "--soft:#98a3b3;--rule:#323944;--series-0:#7aa5ff;--series-1:#ffab52;--bad:#ff8a75}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}\n"
    "h1{font-size:26px;margin:0;overflow-wrap:anywhere}h2{font-size:18px;margin:36px 0 12px}\n"
    "p{margin:4px 0 0}.soft{color:var(--soft)}.bad{color:var(--bad)}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;"
    "margin:22px 0 0}\n"
    ".fact,.plot,.picture,.table{background:var(--card);border:1px solid var(--rule);"
    "border-radius:8px;padding:12px 14px}\n"
    ".fact b{display:block;font-size:20px;font-weight:600;overflow-wrap:anywhere}\n";

void html_begin(Text *page, const char *title, const char *style) {
    text_append(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    text_append(page, "%s</title>\n<style>%s%s</style></head>\n<body><main>\n<h1>%s</h1>\n", title,
                common_style, style, title);
}

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
