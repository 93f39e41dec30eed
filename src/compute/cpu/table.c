/* The cpu backend of one instruction set. */
#include "compute/cpu/cpu.h"
#include "compute/ref/ref.h"

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

extern const dn_kernels DN_CPU(kernels);

/* What is not named here is the reference's. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
const dn_kernels DN_CPU(kernels) = {
    .name = "cpu-" TEXT(DN_ISA),
#define OP(name, ...) .name = dn_ref_##name,
#include "compute/ops.h"
#undef OP
    .gemm = dn_cpu_gemm,
    .gemm_many = dn_cpu_gemm_many,
    .matvec = DN_CPU(matvec),
    .fill = DN_CPU(fill),
    .copy = DN_CPU(copy),
    .axpby = DN_CPU(axpby),
    .sum_squares = DN_CPU(sum_squares),
    .embed_forward = DN_CPU(embed_forward),
    .embed_backward = DN_CPU(embed_backward),
    .copy_rows = DN_CPU(copy_rows),
    .rmsnorm_forward = DN_CPU(rmsnorm_forward),
    .rmsnorm_backward = DN_CPU(rmsnorm_backward),
    .bias_forward = DN_CPU(bias_forward),
    .bias_backward = DN_CPU(bias_backward),
    .gain_forward = DN_CPU(gain_forward),
    .gain_backward = DN_CPU(gain_backward),
    .rotary_angles = dn_cpu_rotary_angles,
    .rotary_forward = DN_CPU(rotary_forward),
    .rotary_backward = DN_CPU(rotary_backward),
    .norm_rotary_forward = DN_CPU(norm_rotary_forward),
    .norm_rotary_backward = DN_CPU(norm_rotary_backward),
    .attention_forward = DN_CPU(attention_forward),
    .attention_backward = DN_CPU(attention_backward),
    .attention_decode = DN_CPU(attention_decode),
    .relu2_forward = DN_CPU(relu2_forward),
    .relu2_backward = DN_CPU(relu2_backward),
    .swiglu_forward = DN_CPU(swiglu_forward),
    .swiglu_backward = DN_CPU(swiglu_backward),
    .cross_entropy = DN_CPU(cross_entropy),
    .cross_entropy_part = DN_CPU(cross_entropy_part),
    .cross_entropy_join = DN_CPU(cross_entropy_join),
    .adamw = DN_CPU(adamw),
    .lion = DN_CPU(lion),
    .scale_aligned = DN_CPU(scale_aligned),
    .normalize_columns = DN_CPU(normalize_columns),
    .column_squares = DN_CPU(column_squares),
    .gemm_batch = dn_cpu_gemm_batch,
    .symmetric_product = dn_cpu_symmetric_product,
    .scale = DN_CPU(scale),
    .row_squares = DN_CPU(row_squares),
    .add_row_norms1 = DN_CPU(add_row_norms1),
    .add_column_norms1 = DN_CPU(add_column_norms1),
    .take_rows = DN_CPU(take_rows),
    .take_columns = DN_CPU(take_columns),
    .add_rows = DN_CPU(add_rows),
    .add_columns = DN_CPU(add_columns),
    .row_moments = DN_CPU(row_moments),
    .to_bf16 = DN_CPU(to_bf16),
    .from_bf16 = DN_CPU(from_bf16),
    .topk = DN_CPU(topk),
    .add_entries = DN_CPU(add_entries),
    .divide_counts = DN_CPU(divide_counts),
    .gram = DN_CPU(gram),
    .sketch = DN_CPU(sketch),
    .factor_gram = DN_CPU(factor_gram),
    .factor_sketch = DN_CPU(factor_sketch),
    .apply = DN_CPU(apply),
    .householder = DN_CPU(householder),
};
#pragma GCC diagnostic pop
