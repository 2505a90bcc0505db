/* Files that are loaded into this process. */
#ifndef SPARKC_CODEGEN_CPU_LOADED_FILE_H
#define SPARKC_CODEGEN_CPU_LOADED_FILE_H

#include <link.h>
#include <stdbool.h>

/* Whether an address is in one of the file's segments; for a callback of dl_iterate_phdr. */
bool loaded_file_contains(const struct dl_phdr_info *file, const void *address);

/* Gives the pages back that hold what nobody can write to of the file that `address` is in, so that
 * they do not count as this process's memory; they are read from the file again when somebody needs
 * them. */
void loaded_file_release(const void *address);

#endif
