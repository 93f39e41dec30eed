/*
 * The reference backend: each row of the table as its formula says, in plain loops, one thread, sums in
 * double. Slow on purpose; every other backend is tested against it. Signatures and meaning: kernels.h.
 */
#ifndef COMPUTE_REF_REF_H
#define COMPUTE_REF_REF_H

#include "compute/host.h"

#define OP(name, ...) void dn_ref_##name DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP

/** The value of a bfloat16's bits. */
double dn_ref_bf16_value(uint16_t bits);

#endif
