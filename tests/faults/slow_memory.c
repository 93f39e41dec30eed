/* Memory that takes its time, for whoever preloads this: POPULATE_MS milliseconds for each range whose pages are asked for, which are
 * then left to be allocated when they are touched, and COPY_MS for each copy of 65,536 numbers, as weights are drawn and read. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static void take(const char *name)
{
    const char *text = getenv(name);
    long ms = text ? atol(text) : 0;
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

__attribute__((visibility("default"))) int madvise(void *start, size_t bytes, int advice)
{
    int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise");
    if (advice != MADV_POPULATE_WRITE || !getenv("POPULATE_MS"))
        return real(start, bytes, advice);
    take("POPULATE_MS");
    return 0;
}

/* Before any library has begun, too: so it calls nothing that needs one. */
__attribute__((visibility("default"))) void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    if (bytes == 65536 * sizeof(float))
        take("COPY_MS");
    return memmove(to, from, bytes);
}
