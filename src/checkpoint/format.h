/* Constants of the checkpoint format beyond those of safetensors. */
#ifndef CHECKPOINT_FORMAT_H
#define CHECKPOINT_FORMAT_H

#include "dionode/real.h"

#define DN_CHECKPOINT_ALIGN 64 /* tensor data starts at a multiple of this many bytes in the file */

/* The start of every header, which fixes the offset of the checksum in the file. */
#define DN_CHECKPOINT_PREFIX     "{\"__metadata__\":{\"xxh3\":\""
#define DN_CHECKPOINT_ZEROS      "0000000000000000" /* its digits while the sum is computed */
#define DN_CHECKPOINT_DIGITS     (sizeof DN_CHECKPOINT_ZEROS - 1)
#define DN_CHECKPOINT_DIGITS_AT  (8 + sizeof DN_CHECKPOINT_PREFIX - 1) /* offset in the file */
#define DN_CHECKPOINT_HEADER_MAX 100000000 /* bytes; the limit of the safetensors library */

#if defined DN_REAL_DOUBLE
#define DN_CHECKPOINT_DTYPE "F64"
#elif !defined DN_REAL_EITHER
#define DN_CHECKPOINT_DTYPE "F32"
#endif
#define DN_CHECKPOINT_BF16 "BF16"

#endif
