/*
 * Training steps as an operation to verify (dionode/verify.h): from a fixed initial state, on random tokens,
 * showing everything that sharding could get wrong: losses, gradients, weights, optimizer states, equality of
 * replicas, and traffic.
 */
#ifndef TRAIN_VERIFY_CASE_H
#define TRAIN_VERIFY_CASE_H

#include "dionode/verify.h"
#include "train/plan.h"

/* Longer sequences would prove nothing more, and there are many meshes. */
enum { DN_VERIFY_CASE_TOKENS = 32 };

typedef struct dn_verify_case {
    dn_config config; /* as dn_verify_case_config makes it */
    dn_config of_one; /* the same for one rank, where that trains otherwise: of clients */
    int only[DN_N_AXES]; /* the one mesh; all 0: every mesh. With channels of its stages the reference has them, too */
    int n_steps;
    dn_stream *stream; /* borrowed */
    bool of_clients;   /* virtual clients on dp workers, of one rank each: all makes the bits of one, or rounds otherwise than it */
    bool by_replicas;  /* compared with replicas of one rank each, which may be apart: of their weights, too, the mean is shown */
    bool apart;        /* on some mesh replicas round momenta of their own to bfloat16 */
    int n_domains;     /* NUMA domains that links are counted between; 0: they are not */
    int own_domain;
    double *links; /* [n_domains, n_domains] bytes of the first step, read and written by a rank of the first
                      with memory of a rank of the second; summed over all ranks */
} dn_verify_case;

/** The configuration that is verified: config with at most one sequence per rank of n_ranks and
 * DN_VERIFY_CASE_TOKENS tokens per sequence, a constant learning rate, and no files. */
dn_config dn_verify_case_config(const dn_config *config, int n_ranks, int n_steps);

/** Of a strategy of clients: what one rank does that is compared with. In double and float alike: the same clients by fedavg, or, of
 * fedavg, steps on the rows of all of them; with by_replicas the same clients by the same strategy. Errors: those of the strategy's options. */
dn_status dn_verify_case_clients(dn_verify_case *vcase) DN_MUST_USE;

/** Symmetric heap of a rank of a mesh of size[] of mesh->all. Errors: of dn_plan_make. */
dn_status dn_verify_case_heap_bytes(const dn_verify_case *vcase, const int size[DN_N_AXES],
                                    size_t *bytes) DN_MUST_USE;

/** Bytes of all tensors that a reference shows, and of the largest. Errors: of dn_plan_make. */
dn_status dn_verify_case_shown_bytes(const dn_verify_case *vcase, size_t *all, size_t *largest) DN_MUST_USE;

/** The operation: a dn_verify_fn; context is the dn_verify_case. */
dn_status dn_verify_case_run(dn_verify *v, const dn_mesh *mesh, void *context) DN_MUST_USE;

#endif
