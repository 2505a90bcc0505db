#include "base/machine.h"

#include <inttypes.h>
#include <stdio.h>

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

static uint64_t free_of_system(void) {
    char line[128];
    uint64_t free = 0, kibibytes;
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kibibytes) == 1 ||
            sscanf(line, "SwapFree: %" SCNu64 " kB", &kibibytes) == 1)
            free += kibibytes << 10;
    fclose(file);
    return free > 0 ? free : UINT64_MAX;
}

static uint64_t free_of_group(void) {
    uint64_t most = read_number("/sys/fs/cgroup/memory.max");
    uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (most == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    return most > used ? most - used : 0;
}

uint64_t machine_free_memory(void) {
    uint64_t system = free_of_system(), group = free_of_group();
    return system < group ? system : group;
}
