/* Matrix products that take PRODUCT_MS milliseconds longer each, and sorts that take SORT_MS longer, for whoever preloads this. Each
 * product adds a line to the file PRODUCTS, if there is that variable, when it begins: the rank. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void gemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                  int ldb, float beta, float *c, int ldc);

typedef void sort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));

__attribute__((visibility("default"))) gemm cblas_sgemm;
__attribute__((visibility("default"))) sort qsort;

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        _exit(98);
    return found;
}

static void take(const char *ms)
{
    nanosleep(&(struct timespec){.tv_sec = atol(ms) / 1000, .tv_nsec = atol(ms) % 1000 * 1000000}, NULL);
}

static void count(const char *path)
{
    const char *rank = getenv("RANK");
    char line[8] = "?\n";
    if (rank && strlen(rank) == 1)
        line[0] = rank[0];
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file < 0 || write(file, line, 2) != 2)
        _exit(99);
    close(file);
}

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc)
{
    const char *path = getenv("PRODUCTS"), *ms = getenv("PRODUCT_MS");
    gemm *real;
    memcpy(&real, &(void *){next("cblas_sgemm")}, sizeof real);
    if (path)
        count(path);
    take(ms ? ms : "0");
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    const char *ms = getenv("SORT_MS");
    sort *real;
    memcpy(&real, &(void *){next("qsort")}, sizeof real);
    take(ms ? ms : "0");
    real(base, n, size, compare);
}
