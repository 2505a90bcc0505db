#include "codegen/cpu/loaded_file.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

bool loaded_file_contains(const struct dl_phdr_info *file, const void *address) {
    for (int i = 0; i < file->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &file->dlpi_phdr[i];
        uintptr_t start = file->dlpi_addr + segment->p_vaddr, wanted = (uintptr_t)address;
        if (segment->p_type == PT_LOAD && wanted >= start && wanted - start < segment->p_memsz)
            return true;
    }
    return false;
}

/* Whole pages inside the segment only: its neighbours may be written to. */
static int release_file(struct dl_phdr_info *file, size_t size, void *address) {
    (void)size;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!loaded_file_contains(file, address))
        return 0;
    for (int i = 0; i < file->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &file->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        uintptr_t start = file->dlpi_addr + segment->p_vaddr;
        uintptr_t begin = (start + page - 1) / page * page;
        uintptr_t end = (start + segment->p_filesz) / page * page;
        if (begin < end)
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 1;
}

void loaded_file_release(const void *address) {
    dl_iterate_phdr(release_file, (void *)(uintptr_t)address);
}
