/*
 * Hierarchical reductions, by NUMA domain. Flat, every rank reads its chunk from all others: of P ranks on G
 * domains, P S (1 - 1/G) bytes cross between domains. Here the members of each domain first reduce among
 * themselves, and each rank then reads its chunk once per domain: (G-1) S bytes cross, P/G times fewer.
 *
 *     domain 0   ranks 0, 1      1. chunk of the domain: sum over its members, in place
 *     domain 1   ranks 2, 3      2. chunk of the communicator: sum over one owner per domain
 *                                3. to the chunk's rank (reduce-scatter), or to the leader of every domain
 *                                4. from its leader to each member (all-reduce)
 *
 * A domain's sum of an element is read only by the rank that owns the element in the communicator, so that
 * rank may overwrite it.
 */
#include "comm/internal.h"
#include "comm/peer.h"

#include "base/fail.h"
#include "base/size.h"

/* Two more barriers cost up to 2 (P - 1) line transfers, some 0.1 us each; from here on that is
 * less than what the saved bytes take on a link of 50 GB/s, unless there are many small domains. How fast
 * that link must be, relative to the domain's own memory, is in docs/collectives.md, which also says what was
 * measured on emulated domains only. */
#define HIERARCHY_BYTES ((size_t)256 << 10)

static int domain_size(const dn_domains *d, int domain)
{
    return d->first[domain + 1] - d->first[domain];
}

int dn_hierarchy_leader(const dn_comm *comm, int member)
{
    const dn_domains *d = &comm->domains;
    return d->members[d->first[d->of[member]]];
}

/* Not for bfloat16: sums of domains would be rounded between the steps. */
bool dn_hierarchy_pays(const dn_comm *comm, const dn_job *job)
{
    const dn_domains *d = &comm->domains;
    if (d->n < 2 || job->bytes < HIERARCHY_BYTES || job->type == DN_BF16)
        return false;
    for (int domain = 0; domain < d->n; domain++)
        if (domain_size(d, domain) < 2)
            return false;
    return true;
}

/* ---- within a domain ---- */

static dn_status reduce_in_domain(dn_comm *comm, const dn_job *job)
{
    const dn_domains *d = &comm->domains;
    int domain = d->of[comm->rank], size = domain_size(d, domain), index = 0;
    const int16_t *members = &d->members[d->first[domain]];
    size_t first, end;
    while (members[index] != comm->rank)
        index++;
    dn_chunk_bounds(job->count, job->type, size, index, &first, &end);
    char *mine = job->buffer + first * dn_type_bytes(job->type);
    if (first == end)
        return DN_OK;
    dn_job_fold fold;
    dn_fold_init(&fold, comm, job, end - first);
    if (job->op == DN_AVG)
        fold.work.op = DN_SUM; /* divided once, between domains */
    for (int i = 0; i < size; i++)
        dn_fold_from(&fold, members[i], dn_comm_peer(comm, mine, members[i]));
    dn_fold_to(&fold, comm->rank, mine);
    return dn_fold_run(&fold);
}

/* ---- between domains ---- */

/* The member of a domain that holds the domain's sum of element `at`; *end: the end of its chunk. */
static int owner_in_domain(const dn_comm *comm, const dn_job *job, int domain, size_t at, size_t *end)
{
    const dn_domains *d = &comm->domains;
    size_t first;
    int index = -1;
    do
        dn_chunk_bounds(job->count, job->type, domain_size(d, domain), ++index, &first, end);
    while (*end <= at);
    return d->members[d->first[domain] + index];
}

/* Sums of domains to the sum over all, for the own chunk: run by run, over which no domain changes its owner.
 */
static dn_status reduce_between_domains(dn_comm *comm, const dn_job *job, bool to_leaders)
{
    const dn_domains *d = &comm->domains;
    int owners[DN_MAX_RANKS];
    size_t at, end;
    dn_comm_chunk_bounds(comm, job->count, job->type, comm->rank, &at, &end);
    while (at < end) {
        size_t run_end = end;
        for (int domain = 0; domain < d->n; domain++) {
            size_t owned_to;
            owners[domain] = owner_in_domain(comm, job, domain, at, &owned_to);
            run_end = dn_min(run_end, owned_to);
        }
        char *mine = job->buffer + at * dn_type_bytes(job->type);
        dn_job_fold fold;
        dn_fold_init(&fold, comm, job, run_end - at);
        for (int domain = 0; domain < d->n; domain++)
            dn_fold_from(&fold, owners[domain], dn_comm_peer(comm, mine, owners[domain]));
        for (int domain = 0; to_leaders && domain < d->n; domain++) {
            int leader = d->members[d->first[domain]];
            dn_fold_to(&fold, leader, dn_comm_peer(comm, mine, leader));
        }
        if (!to_leaders)
            dn_fold_to(&fold, comm->rank, mine);
        DN_TRY(dn_fold_run(&fold));
        at = run_end;
    }
    return DN_OK;
}

/* ---- collectives ---- */

dn_status dn_hierarchy_reduce_scatter(dn_comm *comm, dn_job *job)
{
    DN_TRY(dn_job_barrier(comm, job));
    DN_TRY(reduce_in_domain(comm, job));
    DN_TRY(dn_job_barrier(comm, job));
    return reduce_between_domains(comm, job, false);
}

dn_status dn_hierarchy_all_reduce(dn_comm *comm, dn_job *job, bool shared)
{
    DN_TRY(dn_job_barrier(comm, job));
    DN_TRY(reduce_in_domain(comm, job));
    DN_TRY(dn_job_barrier(comm, job));
    DN_TRY(reduce_between_domains(comm, job, true));
    DN_TRY(dn_job_barrier(comm, job));
    int leader = dn_hierarchy_leader(comm, comm->rank);
    if (shared)
        return DN_OK;
    if (comm->rank != leader) {
        DN_TRY(dn_comm_copy(comm, job->buffer, dn_comm_peer(comm, job->buffer, leader), job->bytes));
        dn_comm_count_moved(comm, job->kind, leader, 2 * job->bytes); /* both in this domain */
    }
    return dn_job_barrier(comm, job);
}
