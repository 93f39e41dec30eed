/* The backends that this processor can run. */
#include "compute/host.h"

#include "base/fail.h"
#include "base/x86_level.h"

#include <pthread.h>
#include <string.h>

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

dn_status dn_kernels_of_precision(const char *precision, const char **kernels)
{
    const char *fastest = dn_kernels_mixed()[0]->name;
    bool is_mixed = strcmp(precision, "mixed") == 0;
    *kernels = is_mixed ? fastest : strcmp(precision, "float") == 0 ? "cpu" : precision;
    if (is_mixed && DN_REAL != DN_F64 && strcmp(fastest, "emulated") == 0)
        return dn_fail(DN_ERR_CONFIG, "precision mixed: this processor has no instructions for bfloat16 (AVX512_BF16); use float, or "
                                      "emulated, which is slower than float");
    if (!is_mixed && strcmp(precision, "float") != 0 && strcmp(precision, "emulated") != 0)
        return dn_fail(DN_ERR_CONFIG, "precision: there is no '%s', only %s", precision, DN_PRECISION_NAMES);
    return DN_OK;
}
