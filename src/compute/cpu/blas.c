/* OpenBLAS: threads, and what core it runs as. */
#include "compute/cpu/blas.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/printable.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OpenBLAS keeps one buffer a thread in a table without a lock: change its size one caller at a time. */
void dn_cpu_set_threads(int n_threads)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    openblas_set_num_threads(n_threads); /* and with it OpenMP's count for the calling thread */
    pthread_mutex_unlock(&mutex);
}

/* Bits of the widest vectors that a core type of OpenBLAS multiplies with; 128 for all others. */
static int core_width(const char *core)
{
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    static const char *const middle[] = {"Haswell", "Zen"};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strcasecmp(core, wide[i]) == 0)
            return 512;
    for (size_t i = 0; i < sizeof middle / sizeof *middle; i++)
        if (strcasecmp(core, middle[i]) == 0)
            return 256;
    return 128;
}

/* The core type for this processor, or NULL where there is none to suggest. */
static const char *wanted_core(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
#endif
    return NULL;
}

/* What gives OpenBLAS its threads; NULL: OpenMP, as everything else here. */
static const char *foreign_threads(void)
{
    int parallel = openblas_get_parallel();
    return parallel == OPENBLAS_OPENMP ? NULL : parallel == OPENBLAS_THREAD ? "POSIX threads" : "no threads";
}

static void warn_of_foreign_threads(void)
{
    if (foreign_threads())
        dn_log(DN_LOG_WARNING,
               "this OpenBLAS was built with %s, not with OpenMP, and multiplies at a fraction of its speed here: "
               "install the other one (Debian: libopenblas0-openmp) and choose it (update-alternatives --config "
               "libopenblas.so.0-$(uname -m)-linux-gnu)",
               foreign_threads());
}

/* The variable is set before the program starts over, so it starts over once at most. */
static void start_over_with(const char *variable, const char *value, char **argv)
{
    if (setenv(variable, value, 1) == 0) {
        execv("/proc/self/exe", argv);
        unsetenv(variable); /* no /proc: go on as we are */
    }
}

#define CORE_TYPE "OPENBLAS_CORETYPE"

const char *dn_blas_better_core(void)
{
    const char *core = wanted_core();
    return !getenv(CORE_TYPE) && core && core_width(core) > core_width(openblas_get_corename()) ? core : NULL;
}

void dn_blas_tune(char **argv)
{
    const char *core = dn_blas_better_core();
    if (core)
        start_over_with(CORE_TYPE, core, argv);
    warn_of_foreign_threads();
}

/* Turns of the loop in which libgomp's threads wait, that take about WAIT_S. Hypervisors take a processor away from whoever
 * pauses for some thousand turns: MOST stays below. */
static int spins(void)
{
    enum { TURNS = 400, MOST = 2000 };
    const double WAIT_S = 10e-6;
    volatile int awaited = 0;
    double best_s = INFINITY;
    for (int k = 0; k < 5; k++) { /* others may have the processor in between */
        double begin_s = dn_clock_s();
        for (int i = 0; i < TURNS && !awaited; i++) {
#ifdef __x86_64__
            __builtin_ia32_pause();
#endif
        }
        best_s = fmin(best_s, dn_clock_s() - begin_s);
    }
    return (int)fmin(MOST, 1 + TURNS * WAIT_S / best_s);
}

void dn_threads_sleep(char **argv)
{
    char count[16];
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    snprintf(count, sizeof count, "%d", spins());
    if (setenv("GOMP_SPINCOUNT", count, 1) == 0) /* libgomp's, which goes before the other: other libraries know that */
        start_over_with("OMP_WAIT_POLICY", "passive", argv);
    unsetenv("GOMP_SPINCOUNT");
}

const char *dn_blas_describe(void)
{
    static _Thread_local char text[128];
    char version[64] = "";
    sscanf(openblas_get_config(), "OpenBLAS %63s", version);
    const char *foreign = foreign_threads();
    snprintf(text, sizeof text, "OpenBLAS %s %s%s%s%s, %d thread%s", version, openblas_get_corename(),
             foreign ? " (" : "", foreign ? foreign : "", foreign ? ")" : "", openblas_get_num_threads(),
             dn_plural(openblas_get_num_threads()));
    return text;
}
