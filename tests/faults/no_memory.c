/*
 * For whoever preloads this, the N-th request for memory (FAIL_AT=N) that our own library makes is refused; the file FAILED is there
 * when it has come. Requests of other libraries are not counted.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n), *__libc_calloc(size_t n, size_t size), *__libc_realloc(void *memory, size_t n),
    *__libc_memalign(size_t alignment, size_t n);

/* Whether this request, which came from `caller`, is the one. dladdr may ask for memory itself. */
static bool refuse(void *caller)
{
    static __thread bool busy;
    static int n_requests;
    Dl_info info;
    const char *at = getenv("FAIL_AT"), *failed = getenv("FAILED");
    bool now = false;
    if (busy || !at || !failed)
        return false;
    busy = true;
    if (dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libdionode") && ++n_requests == atoi(at)) {
        close(open(failed, O_WRONLY | O_CREAT, 0600));
        errno = ENOMEM;
        now = true;
    }
    busy = false;
    return now;
}

void *malloc(size_t n)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t n)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, n);
}
