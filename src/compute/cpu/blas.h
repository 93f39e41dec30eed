/* The BLAS and LAPACK routines of dn_real's precision under one name. Column-major memory read as row-major
 * is the transposed matrix: a row-major upper factor is LAPACK's 'L'. */
#ifndef COMPUTE_CPU_BLAS_H
#define COMPUTE_CPU_BLAS_H

#include <cblas.h>
#include <lapacke.h>

#ifdef DN_REAL_DOUBLE
#define dn_cblas_gemm     cblas_dgemm
#define dn_cblas_syrk     cblas_dsyrk
#define dn_cblas_trsm     cblas_dtrsm
#define dn_lapacke_potrf  LAPACKE_dpotrf_work
#define dn_lapacke_geqrt  LAPACKE_dgeqrt_work
#define dn_lapacke_gemqrt LAPACKE_dgemqrt_work
#else
#define dn_cblas_gemm     cblas_sgemm
#define dn_cblas_syrk     cblas_ssyrk
#define dn_cblas_trsm     cblas_strsm
#define dn_lapacke_potrf  LAPACKE_spotrf_work
#define dn_lapacke_geqrt  LAPACKE_sgeqrt_work
#define dn_lapacke_gemqrt LAPACKE_sgemqrt_work
#endif

#endif
