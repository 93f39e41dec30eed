/*
 * Low-rank adapters beside the matrices of a block (LoRA, Hu et al., arXiv:2106.09685):
 *
 *     y += scale (x A^T) B^T,  A [rank,in], B [out,rank]
 *
 * Their parameters stand behind all others of a layer, named as the matrix with .lora_A and .lora_B. Where tp cuts the rows of
 * the matrix it cuts those of B, and every rank has all of A; where it cuts the columns, those of A, and every rank has all of
 * B, so that what an adapter adds is a part of the sum that its matrix takes part in anyway: nothing more is exchanged.
 */
#ifndef NN_ADAPTER_H
#define NN_ADAPTER_H

#include "nn/layer.h"

/** Describes the adapters of the matrices params[0 .. n-1], whose roles are `first` and on, as parameters number `at` and on;
 * returns how many parameters that are. params NULL only counts. */
size_t dn_adapter_describe(const dn_spec *spec, dn_param *params, size_t at, dn_role first, size_t n);

/** Whether a parameter is of an adapter; and, of these, B, which begins as 0. */
bool dn_param_of_adapter(const dn_param *param);
bool dn_adapter_is_b(const dn_param *param);

/** Of a role, if it has an adapter: y [N,out], rows of ld numbers, += what it adds for x [N,in], dense. */
void dn_adapter_forward(dn_pass *pass, const dn_layer *layer, const dn_adapters *of, dn_role role, const dn_buf *x, dn_buf *y,
                        size_t ld);

/** Its gradients, from dy [N,out], rows of ld numbers; dx [N,in], dense, += that of x. */
void dn_adapter_backward(dn_pass *pass, const dn_layer *layer, const dn_adapters *of, dn_role role, dn_buf *dx, const dn_buf *x,
                         const dn_buf *dy, size_t ld);

/** Flops of a token, forward and backward. */
double dn_adapter_flops(const dn_spec *spec, dn_role role, size_t out, size_t in);

#endif
