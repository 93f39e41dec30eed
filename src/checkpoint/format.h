/* What writer and reader of a checkpoint agree on beyond safetensors itself. */
#ifndef CHECKPOINT_FORMAT_H
#define CHECKPOINT_FORMAT_H

#include "dionode/real.h"

#define DN_CHECKPOINT_ALIGN 64 /* tensor data starts at a multiple of this many bytes in the file */

/* Every header starts so, which fixes the place of the checksum's digits in the file. */
#define DN_CHECKPOINT_PREFIX     "{\"__metadata__\":{\"xxh3\":\""
#define DN_CHECKPOINT_ZEROS      "0000000000000000" /* the digits while the sum is taken */
#define DN_CHECKPOINT_DIGITS     (sizeof DN_CHECKPOINT_ZEROS - 1)
#define DN_CHECKPOINT_DIGITS_AT  (8 + sizeof DN_CHECKPOINT_PREFIX - 1) /* offset in the file */
#define DN_CHECKPOINT_HEADER_MAX 100000000                             /* bytes, as other readers demand */

#ifdef DN_REAL_DOUBLE
#define DN_CHECKPOINT_DTYPE "F64"
#else
#define DN_CHECKPOINT_DTYPE "F32"
#endif
#define DN_CHECKPOINT_BF16 "BF16"

#endif
