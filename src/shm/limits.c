#include "shm/limits.h"

#include "base/size.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the two versions of control groups keep limit, usage and cache. */
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

/* Memory left in one group: what its limit leaves, reclaimable file cache counted as free. No limit:
 * UINT64_MAX. */
static uint64_t group_available(const char *root, const group_kind *kind, const char *path)
{
    uint64_t limit, usage, cache = 0;
    if (!read_number(root, kind, path, kind->limit, &limit) ||
        !read_number(root, kind, path, kind->usage, &usage))
        return UINT64_MAX;
    FILE *file = open_under(root, kind->mount, path, "memory.stat");
    if (file) {
        cache = find_number(file, kind->cache[0]) + find_number(file, kind->cache[1]);
        fclose(file);
    }
    usage -= cache < usage ? cache : usage;
    return usage < limit ? limit - usage : 0;
}

/* The minimum over the process's groups and all their ancestors. A container may see a path of its host, of
 * which only the mount itself exists here: absent groups have no limit. */
static uint64_t groups_available(const char *root, const group_kind *kind)
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
        for (char *slash = path; slash;) {
            least = dn_min(least, group_available(root, kind, path));
            slash = strrchr(path, '/');
            if (slash)
                *slash = '\0';
        }
    }
    fclose(file);
    return least;
}

/* Where the kernel promises no more memory than there is, what it has promised counts. */
static bool promises_are_kept(const char *root)
{
    int mode = 0;
    FILE *file = open_under(root, "/proc", "/sys/vm", "overcommit_memory");
    bool kept = file && fscanf(file, "%d", &mode) == 1 && mode == 2;
    if (file)
        fclose(file);
    return kept;
}

uint64_t dn_limits_memory(const char *root)
{
    uint64_t machine = UINT64_MAX;
    FILE *file = open_under(root, "/proc", "", "meminfo");
    if (file) {
        uint64_t kib = find_number(file, "MemAvailable"), limit = find_number(file, "CommitLimit"),
                 promised = find_number(file, "Committed_AS");
        fclose(file);
        machine = kib ? kib * 1024 : UINT64_MAX;
        if (limit && promises_are_kept(root))
            machine = dn_min(machine, promised < limit ? (limit - promised) * 1024 : 0);
    }
    return dn_min(machine, dn_min(groups_available(root, &version_1), groups_available(root, &version_2)));
}
