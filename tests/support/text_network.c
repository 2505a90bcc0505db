#include "tests/support/text_network.h"

#include <string.h>

Graph *text_network(Arena *arena, Diagnostics *diagnostics, const char *text) {
    FrontendMemoryFile source = {"net.cnn", text, strlen(text)};
    FrontendMemory memory = {&source, 1};
    FrontendAccess access = frontend_memory_access(&memory);
    FrontendOptions options = {0};
    FrontendFile *file = frontend_read(arena, diagnostics, source.path, &access);
    return file ? frontend_build(file, diagnostics, &options) : NULL;
}
