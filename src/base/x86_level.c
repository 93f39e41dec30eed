#include "base/x86_level.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The features of level 3 that __builtin_cpu_supports of clang 14 does not know, nor the levels by name. They
 * need no support of the operating system beyond that of AVX2. */
static bool has_rest_of_level_3(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C) || !(c & bit_MOVBE))
        return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

int dn_x86_level(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2") || !has_rest_of_level_3())
        return 1;
    bool has_512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl");
    return has_512 ? 4 : 3;
}

bool dn_x86_has_bf16(void)
{
    enum { OF_SUBLEAF_1 = 1 << 5 };
    unsigned a, b, c, d;
    return dn_x86_level() == 4 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & OF_SUBLEAF_1);
}

/* The system keeps tiles for a thread only where it was asked to (Linux 5.16: Documentation/arch/x86/xstate.rst). */
bool dn_x86_has_amx(void)
{
    enum { OSXSAVE = 1 << 27, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, TILE_STATES = 1 << 17 | 1 << 18 };
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    unsigned a, b, c, d, kept, high;
    if (!dn_x86_has_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE) ||
        !__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    return (kept & TILE_STATES) == TILE_STATES && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}
#else
int dn_x86_level(void)
{
    return 0;
}

bool dn_x86_has_bf16(void)
{
    return false;
}

bool dn_x86_has_amx(void)
{
    return false;
}
#endif
