#include "base/nofile.h"

#include "base/fail.h"

#include <sys/resource.h>

dn_status dn_nofile_allow(size_t n, const char *what)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || n <= limit.rlim_cur / 4)
        return DN_OK;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (n <= limit.rlim_cur / 2)
        return DN_OK;
    return dn_fail(
        DN_ERR_IO,
        "%s: %zu files, and a process may open %llu (ulimit -Hn); raise that limit, or make fewer, "
        "larger files",
        what, n, (unsigned long long)limit.rlim_cur);
}
