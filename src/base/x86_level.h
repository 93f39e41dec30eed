/* Which level of the x86-64 instruction set this processor and its operating system offer. */
#ifndef BASE_X86_LEVEL_H
#define BASE_X86_LEVEL_H

#include <stdbool.h>

/** 4, 3, or 1 for what is below 3, as the x86-64 psABI numbers the levels (x86-64-v3 has AVX2 and FMA,
 * x86-64-v4 AVX-512 F, BW, CD, DQ and VL); 0 on other processors. */
int dn_x86_level(void);

/** Whether it has AVX512_BF16 and all of level 4. */
bool dn_x86_has_bf16(void);

/** Whether it has AMX_TILE, AMX_BF16 and AVX512_BF16, and the system lets this process use them: it is asked for that here,
 * for all threads and for children, until another program is executed. */
bool dn_x86_has_amx(void);

#endif
