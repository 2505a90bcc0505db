#include "base/machine.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The whole number in a file of nothing else; UINT64_MAX if there is none, or "max". */
static uint64_t read_number(const char *path) {
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file)
        return number;
    if (fscanf(file, "%" SCNu64, &number) != 1)
        number = UINT64_MAX;
    fclose(file);
    return number;
}

/* The sum of the numbers in a file's lines of two names, "NAME 12" or "NAME: 12 kB"; false if there
 * is none. */
static bool add_up(const char *path, const char *one, const char *other, uint64_t *sum) {
    char line[128], name[64];
    uint64_t number;
    bool found = false;
    FILE *file = fopen(path, "re");
    *sum = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%63[^: ]%*[: ]%" SCNu64, name, &number) != 2 ||
            (strcmp(name, one) != 0 && strcmp(name, other) != 0))
            continue;
        *sum += number;
        found = true;
    }
    if (file)
        fclose(file);
    return found;
}

static uint64_t free_of_system(void) {
    uint64_t kibibytes;
    bool said = add_up("/proc/meminfo", "MemAvailable", "SwapFree", &kibibytes);
    return said ? kibibytes << 10 : UINT64_MAX;
}

/* Pages of files count as used, but are given up for others. */
static uint64_t free_of_group(void) {
    uint64_t most = read_number("/sys/fs/cgroup/memory.max"), files;
    uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (most == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    add_up("/sys/fs/cgroup/memory.stat", "active_file", "inactive_file", &files);
    used -= files < used ? files : used;
    return most > used ? most - used : 0;
}

uint64_t machine_free_memory(void) {
    uint64_t system = free_of_system(), group = free_of_group();
    return system < group ? system : group;
}
