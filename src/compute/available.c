/* The backends that this processor can run. */
#include "compute/host.h"

#include "base/x86_level.h"

#include <pthread.h>

typedef void mix_fn(const char *name, const dn_kernels *plain, dn_kernels *mixed); /* cpu/mixed.c */

#ifdef __x86_64__
extern const dn_kernels dn_cpu_avx512_kernels, dn_cpu_avx2_kernels;
mix_fn dn_cpu_avx512bf16_mix, dn_cpu_avx512_mix, dn_cpu_avx2_mix;
#endif
extern const dn_kernels dn_cpu_base_kernels;
mix_fn dn_cpu_base_mix;

static const dn_kernels *available[5], *mixed[3];
static dn_kernels emulated;
#if defined __x86_64__ && !defined DN_REAL_DOUBLE
static dn_kernels bf16;
#endif

static void fill_lists(void)
{
    size_t n = 0, n_mixed = 0;
    mix_fn *emulate = dn_cpu_base_mix;
#ifdef __x86_64__
    int level = dn_x86_level();
    if (level >= 4)
        available[n++] = &dn_cpu_avx512_kernels;
    if (level >= 3)
        available[n++] = &dn_cpu_avx2_kernels;
    if (level >= 3)
        emulate = level >= 4 ? dn_cpu_avx512_mix : dn_cpu_avx2_mix;
#ifndef DN_REAL_DOUBLE /* these instructions add in float */
    if (dn_x86_has_bf16()) {
        dn_cpu_avx512bf16_mix("cpu-bf16", available[0], &bf16);
        mixed[n_mixed++] = &bf16;
    }
#endif
#endif
    available[n++] = &dn_cpu_base_kernels;
    available[n++] = &dn_kernels_ref;
    emulate("emulated", available[0], &emulated);
    mixed[n_mixed++] = &emulated;
}

static void fill_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_lists);
}

const dn_kernels *const *dn_kernels_available(void)
{
    fill_once();
    return available;
}

const dn_kernels *const *dn_kernels_mixed(void)
{
    fill_once();
    return mixed;
}
