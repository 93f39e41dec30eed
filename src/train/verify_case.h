/*
 * A few training steps as an operation to verify (dionode/verify.h): from one initial state, on tokens drawn
 * for it, with everything that sharding could get wrong shown: losses, gradients, weights, optimizer state,
 * what replicas hold, what was exchanged.
 */
#ifndef TRAIN_VERIFY_CASE_H
#define TRAIN_VERIFY_CASE_H

#include "dionode/verify.h"
#include "train/plan.h"

/* No more rows and no longer ones prove anything more, and meshes are many. */
enum { DN_VERIFY_CASE_TOKENS = 32 };

typedef struct dn_verify_case {
    dn_config config; /* as dn_verify_case_config makes it */
    int n_steps;
    dn_stream *stream; /* borrowed */
    bool apart;        /* on some mesh replicas round momenta of their own to bfloat16 */
    int n_domains;     /* NUMA domains that links are counted between; 0: they are not */
    int own_domain;
    double *links; /* [n_domains, n_domains] bytes of the first step, read and written by a rank of the first
                      with memory of a rank of the second; summed over all ranks */
} dn_verify_case;

/** What of a configuration is verified: a row a rank of n_ranks and DN_VERIFY_CASE_TOKENS tokens a row at
 * most, the learning rate as it stands, no files. */
dn_config dn_verify_case_config(const dn_config *config, int n_ranks, int n_steps);

/** Symmetric heap of a rank of a mesh of size[] of mesh->all. Errors: of dn_plan_make. */
dn_status dn_verify_case_heap_bytes(const dn_verify_case *vcase, const int size[DN_N_AXES],
                                    size_t *bytes) DN_MUST_USE;

/** Bytes of all tensors that are shown of one rank's run, and of the largest. Errors: of dn_plan_make. */
dn_status dn_verify_case_shown_bytes(const dn_verify_case *vcase, size_t *all, size_t *largest) DN_MUST_USE;

/** The operation: a dn_verify_fn; context is the dn_verify_case. */
dn_status dn_verify_case_run(dn_verify *v, const dn_mesh *mesh, void *context) DN_MUST_USE;

#endif
