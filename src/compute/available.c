/* The columns this processor can run. */
#include "compute/host.h"

#include "base/x86_level.h"

#include <pthread.h>

#ifdef __x86_64__
extern const dn_kernels dn_cpu_avx512_kernels, dn_cpu_avx2_kernels;
#endif
extern const dn_kernels dn_cpu_base_kernels;

static const dn_kernels *list[5];

static void fill_list(void)
{
    size_t n = 0;
#ifdef __x86_64__
    int level = dn_x86_level();
    if (level >= 4)
        list[n++] = &dn_cpu_avx512_kernels;
    if (level >= 3)
        list[n++] = &dn_cpu_avx2_kernels;
#endif
    list[n++] = &dn_cpu_base_kernels;
    list[n++] = &dn_kernels_ref;
}

const dn_kernels *const *dn_kernels_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_list);
    return list;
}
