/* The backends that this processor can run. */
#include "compute/host.h"

#include "base/fail.h"
#include "base/x86_level.h"
#include "device/device.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef void mix_fn(const char *name, const dn_kernels *plain, dn_kernels *mixed); /* cpu/mixed.c */

#ifdef __x86_64__
extern const dn_kernels dn_cpu_avx512_kernels, dn_cpu_avx2_kernels;
mix_fn dn_cpu_amx_mix, dn_cpu_avx512bf16_mix, dn_cpu_avx512_mix, dn_cpu_avx2_mix;
#endif
extern const dn_kernels dn_cpu_base_kernels;
mix_fn dn_cpu_tiles_mix, dn_cpu_base_mix;

enum { ISAS = 3 };
static const dn_kernels *available[ISAS + 3], *mixed[ISAS + 5]; /* of both, the first may be the device's */
static dn_kernels own, own_mixed;
static size_t n_isas, n_mixed = 1;
static dn_kernels emulated[ISAS];
#ifndef DN_REAL_DOUBLE /* instructions for bfloat16 add in float */
static dn_kernels tiles;
#ifdef __x86_64__
static dn_kernels amx, bf16;
#endif
#endif

/* The backend of an instruction set, of ever slower ones, and the one that emulates mixed precision with it. */
static void add_isa(const dn_kernels *kernels, mix_fn *emulate)
{
    static char names[ISAS][24];
    char *name = names[n_isas];
    snprintf(name, sizeof names[0], "emulated%s", n_isas == 0 ? "" : kernels->name + strlen("cpu"));
    emulate(name, kernels, &emulated[n_isas]);
    mixed[n_mixed++] = &emulated[n_isas];
    available[++n_isas] = kernels;
}

/* A table of the device, completed by what queues a kernel for the host. */
static const dn_kernels *completed(const dn_kernels *table, dn_kernels *out)
{
    *out = *table;
#define OP(name, ...)                                                                                        \
    if (!out->name)                                                                                          \
        out->name = dn_kernels_fallback.name;
#include "compute/ops.h"
#undef OP
    return out;
}

static void complete_own(void)
{
    const dn_device *device = dn_device_selected();
    available[0] = completed(device->kernels, &own);
    mixed[0] = completed(device->mixed_kernels, &own_mixed);
}

static void fill_lists(void)
{
#ifdef __x86_64__
    int level = dn_x86_level();
#ifndef DN_REAL_DOUBLE
    if (dn_x86_has_amx()) {
        dn_cpu_amx_mix("cpu-amx", &dn_cpu_avx512_kernels, &amx);
        mixed[n_mixed++] = &amx;
    }
    if (dn_x86_has_bf16()) {
        dn_cpu_avx512bf16_mix("cpu-bf16", &dn_cpu_avx512_kernels, &bf16);
        mixed[n_mixed++] = &bf16;
    }
#endif
    if (level >= 4)
        add_isa(&dn_cpu_avx512_kernels, dn_cpu_avx512_mix);
    if (level >= 3)
        add_isa(&dn_cpu_avx2_kernels, dn_cpu_avx2_mix);
#endif
    add_isa(&dn_cpu_base_kernels, dn_cpu_base_mix);
#ifndef DN_REAL_DOUBLE
    dn_cpu_tiles_mix("emulated-amx", available[1], &tiles);
    mixed[n_mixed++] = &tiles;
#endif
    available[n_isas + 1] = &dn_kernels_ref;
}

static void fill_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_lists);
}

bool dn_kernels_are_the_devices(const dn_kernels *kernels)
{
    return kernels == &own || kernels == &own_mixed;
}

/* Where the lists begin: at the device's own kernels, if it has any. */
static size_t first_kernels(void)
{
    fill_once();
    if (!dn_device_selected()->kernels)
        return 1;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, complete_own);
    return 0;
}

const dn_kernels *const *dn_kernels_available(void)
{
    return available + first_kernels();
}

const dn_kernels *const *dn_kernels_mixed(void)
{
    return mixed + first_kernels();
}

dn_status dn_kernels_of_precision(const char *precision, const char **kernels)
{
    const char *fastest = dn_kernels_mixed()[0]->name;
    bool is_mixed = strcmp(precision, "mixed") == 0;
    *kernels = is_mixed ? fastest : strcmp(precision, "float") == 0 ? "cpu" : precision;
    if (strcmp(precision, "emulated") == 0 && dn_device_selected()->kernels)
        return dn_fail(DN_ERR_CONFIG, "precision emulated: the host would compute, and device: %s has mixed precision itself: take mixed",
                       dn_device_selected()->name);
    if (is_mixed && DN_REAL != DN_F64 && strcmp(fastest, "emulated") == 0)
        return dn_fail(DN_ERR_CONFIG, "precision mixed: this processor has no instructions for bfloat16 (AVX512_BF16, AMX); use float, or "
                                      "emulated, which is slower than float");
    if (!is_mixed && strcmp(precision, "float") != 0 && strcmp(precision, "emulated") != 0)
        return dn_fail(DN_ERR_CONFIG, "precision: there is no '%s', only %s", precision, DN_PRECISION_NAMES);
    return DN_OK;
}

bool dn_precision_narrows(const char *precision, const char *device)
{
    bool narrows = false;
    for (const dn_device *const *d = dn_device_all(); *d; d++)
        narrows = narrows || ((*d)->narrows && strcmp((*d)->name, device) == 0);
    return narrows && DN_REAL != DN_F64 && strcmp(precision, "mixed") == 0;
}
