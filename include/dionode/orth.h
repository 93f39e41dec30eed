/** Methods of orthonormalization that programs and configurations choose from. */
#ifndef DIONODE_ORTH_H
#define DIONODE_ORTH_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The orthonormal factor of a tall matrix [m,r], m >= r. There is no warm-up from rcqr to cqr as in
 * microsoft/dion: a step depends on the state alone, not on the step number, and cqr2 is accurate from the
 * first step at about the cost of cqr.
 */
typedef enum dn_orth {
    DN_ORTH_CQR2, /* Cholesky QR twice, internally in double: the default. Dion at full rank uses
                     Householder, as Cholesky QR would take two to five times as long there, or fail */
    DN_ORTH_QR,   /* Householder QR */
    DN_ORTH_CQR,  /* Cholesky QR once, error in P^T P grows as eps_double cond^2; rcqr if it fails */
    DN_ORTH_RCQR, /* randomized Cholesky QR, microsoft/dion's default; Householder QR if m = r */
} dn_orth;

#define DN_ORTH_NAMES "cqr2|qr|cqr|rcqr" /* of configurations, in the order of dn_orth */

/* Coefficients of the Newton-Schulz iteration for the polar factor of a matrix. */
typedef enum dn_ns_set {
    DN_NS_POLAR_EXPRESS, /* Amsel et al., arXiv 2505.16932, for five steps, cushion 2, safety factor 1.02   */
    DN_NS_DION,          /* microsoft/dion: five triples                                                    */
    DN_NS_KELLER,        /* Keller Jordan's Muon (2024): one triple five times                              */
} dn_ns_set;

#define DN_NS_NAMES "polar_express|dion|keller" /* in the order of dn_ns_set */

#ifdef __cplusplus
}
#endif

#endif
