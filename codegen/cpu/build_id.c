#include "codegen/cpu/build_id.h"

#include <string.h>

#include "base/text.h"
#include "codegen/cpu/loaded_file.h"

typedef struct Search {
    Arena *arena;
    const void *address;
    const char *found;
} Search;

static size_t round_up(size_t size, size_t unit) {
    return (size + unit - 1) / unit * unit;
}

static const char *digits_of(Arena *arena, const unsigned char *bytes, size_t count) {
    Text text = text_create(arena);
    for (size_t i = 0; i < count; i++)
        text_append(&text, "%02x", bytes[i]);
    return text.data;
}

/* The notes of a segment follow one another: header, name, contents, each padded. */
static const char *search_notes(Arena *arena, const char *notes, size_t size, size_t unit) {
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        size_t name = round_up(sizeof *note + note->n_namesz, unit) - sizeof *note;
        size_t whole = round_up(sizeof *note + name + note->n_descsz, unit);
        if (whole > size)
            return NULL;
        const char *text = notes + sizeof *note;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof "GNU" &&
            memcmp(text, "GNU", sizeof "GNU") == 0)
            return digits_of(arena, (const unsigned char *)text + name, note->n_descsz);
        notes += whole;
        size -= whole;
    }
    return NULL;
}

static int search_file(struct dl_phdr_info *file, size_t size, void *context) {
    (void)size;
    Search *search = context;
    if (!loaded_file_contains(file, search->address))
        return 0;
    for (int i = 0; i < file->dlpi_phnum && !search->found; i++) {
        const ElfW(Phdr) *segment = &file->dlpi_phdr[i];
        if (segment->p_type == PT_NOTE)
            search->found =
                search_notes(search->arena, (const char *)(file->dlpi_addr + segment->p_vaddr),
                             segment->p_memsz, segment->p_align == 8 ? 8 : 4);
    }
    return 1;
}

const char *build_id_find(Arena *arena, const void *address) {
    Search search = {.arena = arena, .address = address};
    dl_iterate_phdr(search_file, &search);
    return search.found;
}
