/* The code cache: object code on disk, by everything that decided it.
 *
 * An entry is a file named after the hash of its key. It holds the whole key and a checksum of the
 * code, and is taken only if both agree; whatever else is found there counts as nothing found.
 * Entries are written under another name and renamed, so that readers see whole ones and any number
 * of processes may share a folder. A write that fails leaves no entry and is no failure: the code
 * was compiled anyway.
 *
 * Code from the cache runs with the user's rights. So the folder must belong to the user, and
 * nobody else may be able to write to it. */
#ifndef SPARKC_CODEGEN_CPU_CACHE_H
#define SPARKC_CODEGEN_CPU_CACHE_H

#include <stdint.h>

#include "base/status.h"
#include "codegen/cpu/object.h"

/* Reading and writing need no lock: any thread may, at the same time as others. */
typedef struct CodeCache CodeCache;

/* Bytes that a cache may take if nothing else is said. */
enum { CODE_CACHE_LIMIT = 512 << 20 };

/* $XDG_CACHE_HOME/sparkc, else ~/.cache/sparkc; NULL if the environment says neither. */
const char *code_cache_default_directory(Arena *arena);

/* Opens a folder, which is made (0700) with those above it if it is not there. Fails if it cannot
 * be, or if others may write to it. */
Status code_cache_open(Arena *arena, const char *directory, int64_t limit, CodeCache **cache);
void code_cache_close(CodeCache *cache);

/* The code of a key; false if there is none. The caller destroys it. */
bool code_cache_read(const CodeCache *cache, const char *key, Object *object);

/* Keeps the code of a key; a failure leaves no entry. */
void code_cache_write(const CodeCache *cache, const char *key, Object object);

/* Removes entries until all together fit the limit, those that were not used for longest first, and
 * what writers that died left behind. */
void code_cache_trim(const CodeCache *cache);

typedef struct CodeCacheSize {
    int64_t entries, bytes;
} CodeCacheSize;
CodeCacheSize code_cache_size(const CodeCache *cache);

/* The BLAKE3 hash of a text, as 64 hexadecimal digits. */
enum { CODE_HASH_DIGITS = 64 };
void code_cache_hash(const void *bytes, size_t length, char digits[CODE_HASH_DIGITS + 1]);

#endif
