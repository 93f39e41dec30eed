#include "shm/limits.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the two versions of control groups keep the same three facts. */
typedef struct group_kind {
    const char *selector; /* the field before the path in /proc/self/cgroup */
    const char *mount;
    const char *limit, *usage;
    const char *cache[2]; /* keys of memory.stat */
} group_kind;

static const group_kind version_1 = {":memory:",
                                     "/sys/fs/cgroup/memory",
                                     "memory.limit_in_bytes",
                                     "memory.usage_in_bytes",
                                     {"total_inactive_file", "total_active_file"}};
static const group_kind version_2 = {
    "0::", "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};

static FILE *open_under(const char *root, const char *folder, const char *path, const char *name)
{
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s%s/%s", root, folder, path, name) >= (int)sizeof full)
        return NULL;
    return fopen(full, "re");
}

/* The number a one-number file holds; false for "max" and for no file. */
static bool read_number(const char *root, const group_kind *kind, const char *path, const char *name,
                        uint64_t *out)
{
    FILE *file = open_under(root, kind->mount, path, name);
    if (!file)
        return false;
    unsigned long long number;
    bool found = fscanf(file, "%llu", &number) == 1;
    fclose(file);
    *out = number;
    return found;
}

/* The number after a key ("key 123" or "key: 123"), 0 if there is none. */
static uint64_t find_number(FILE *file, const char *key)
{
    char line[256];
    size_t length = strlen(key);
    rewind(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && strchr(": \t", line[length]))
            return strtoull(line + length + 1, NULL, 10);
    return 0;
}

static uint64_t droppable_cache(const char *root, const group_kind *kind, const char *path)
{
    FILE *file = open_under(root, kind->mount, path, "memory.stat");
    if (!file)
        return 0;
    uint64_t bytes = find_number(file, kind->cache[0]) + find_number(file, kind->cache[1]);
    fclose(file);
    return bytes;
}

static uint64_t one_group_leaves(const char *root, const group_kind *kind, const char *path)
{
    uint64_t limit, usage;
    if (!read_number(root, kind, path, kind->limit, &limit) ||
        !read_number(root, kind, path, kind->usage, &usage))
        return UINT64_MAX;
    uint64_t cache = droppable_cache(root, kind, path);
    usage -= cache < usage ? cache : usage;
    return usage < limit ? limit - usage : 0;
}

/* The least that a group and all groups above it leave. A container may see the path of its host, of which
 * only the last step up, the mount itself, exists: absent groups limit nothing. */
static uint64_t groups_leave(const char *root, const group_kind *kind, char *path)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t here = one_group_leaves(root, kind, path);
        if (here < least)
            least = here;
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static uint64_t own_groups_leave(const char *root, const group_kind *kind)
{
    FILE *file = open_under(root, "/proc", "/self", "cgroup");
    if (!file)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof line, file)) {
        char *path = strstr(line, kind->selector);
        if (!path)
            continue;
        path += strlen(kind->selector);
        path[strcspn(path, "\n")] = '\0';
        uint64_t here = groups_leave(root, kind, path);
        if (here < least)
            least = here;
    }
    fclose(file);
    return least;
}

static uint64_t machine_leaves(const char *root)
{
    FILE *file = open_under(root, "/proc", "", "meminfo");
    if (!file)
        return UINT64_MAX;
    uint64_t kib = find_number(file, "MemAvailable");
    fclose(file);
    return kib ? kib * 1024 : UINT64_MAX;
}

uint64_t dn_limits_memory(const char *root)
{
    uint64_t least = machine_leaves(root);
    const group_kind *kinds[] = {&version_1, &version_2};
    for (int i = 0; i < 2; i++) {
        uint64_t here = own_groups_leave(root, kinds[i]);
        if (here < least)
            least = here;
    }
    return least;
}
