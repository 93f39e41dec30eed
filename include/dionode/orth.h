/** How matrices are orthonormalized: the choices that a program or a configuration can make. */
#ifndef DIONODE_ORTH_H
#define DIONODE_ORTH_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The orthonormal factor of a tall matrix. There is no warm-up from rcqr to cqr as the reference has it: a
 * step is a function of its state, not of the age of the run, and cqr2 is accurate from the first step at
 * about the price of cqr.
 */
typedef enum dn_orth {
    DN_ORTH_CQR2, /* Cholesky QR twice, inside in double: the default. Dion at full rank: Householder, where
                     the two would take two to five times as long, or fail */
    DN_ORTH_QR,   /* Householder                                           */
    DN_ORTH_CQR,  /* Cholesky QR once, error in P'P grows as eps_double cond^2; else rcqr */
    DN_ORTH_RCQR, /* randomized Cholesky QR, the reference's default; Householder when m = r */
} dn_orth;

#define DN_ORTH_NAMES "cqr2|qr|cqr|rcqr" /* of configurations, in the order of dn_orth */

/* Newton-Schulz towards the polar factor of any matrix: whose coefficients. */
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
