/* Which of the compiled instruction sets this processor has. */
#include "device/reduce.h"

#include "base/x86_level.h"

#include <pthread.h>

#ifdef __x86_64__
extern const dn_reducers dn_reducers_avx512, dn_reducers_avx2;
#endif
extern const dn_reducers dn_reducers_base;

static const dn_reducers *list[4];

static void fill_list(void)
{
    size_t n = 0;
#ifdef __x86_64__
    int level = dn_x86_level();
    if (level >= 4)
        list[n++] = &dn_reducers_avx512;
    if (level >= 3)
        list[n++] = &dn_reducers_avx2;
#endif
    list[n++] = &dn_reducers_base;
}

const dn_reducers *const *dn_reducers_all(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_list);
    return list;
}

const dn_reducers *dn_reducers_best(void)
{
    return dn_reducers_all()[0];
}
