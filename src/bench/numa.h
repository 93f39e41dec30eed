/* The results of `dionode bench numa`, and their output. */
#ifndef BENCH_NUMA_H
#define BENCH_NUMA_H

#include "dionode/bench.h"
#include "shm/pages.h"
#include "topo/domains.h"

#include <stdio.h>

#define DN_NUMA_DOMAINS 64
#define DN_NUMA_CORES   32 /* of which all pairs are measured; more are sampled evenly */
#define DN_NUMA_LOADS   10
#define DN_NUMA_MIXES   5
#define DN_NUMA_CACHES  5
#define DN_NUMA_RUNGS   (2 * DN_NUMA_CACHES + 1)

typedef struct dn_numa_load {
    double delay_ns; /* of each reader after every KiB; infinite: nobody reads */
    double ns, bytes_s;
} dn_numa_load;

/* A working set of one core. */
typedef struct dn_numa_rung {
    size_t bytes;
    int cache; /* the first that holds it, from 0; n_caches: memory */
    double ns, bytes_s;
} dn_numa_rung;

/* A square matrix; NAN where a pair cannot be measured. */
typedef struct dn_numa_matrix {
    int n;
    double at[DN_NUMA_DOMAINS][DN_NUMA_DOMAINS]; /* [who][whose] */
} dn_numa_matrix;

typedef struct dn_numa_results {
    dn_machine machine;
    char processor[128], system[128];
    const char *version;
    size_t cache_bytes, buffer_bytes, huge_bytes;
    double seconds;

    int n_domains;
    dn_domain domains[DN_NUMA_DOMAINS];
    dn_numa_matrix latency_ns, read_bytes_s;
    double copy_bytes_s[DN_NUMA_DOMAINS], triad_bytes_s[DN_NUMA_DOMAINS];
    double mix_bytes_s[DN_NUMA_DOMAINS]
                      [DN_NUMA_MIXES]; /* as dn_numa_mixes; NAN where there is no core or memory */

    int ladder_domain, ladder_pu; /* -1: no domain has a core and memory */
    int n_caches, n_rungs;
    size_t cache_sizes[DN_NUMA_CACHES]; /* of that core, the first level first */
    dn_numa_rung rungs[DN_NUMA_RUNGS];

    int n_cores, n_usable_cores; /* measured in pairs; there are */
    int pus[DN_NUMA_CORES];
    dn_numa_matrix line_ns;

    int loaded_domain; /* -1: no domain has two cores */
    int n_loads;
    dn_numa_load loads[DN_NUMA_LOADS];

    dn_pages_places places[DN_NUMA_DOMAINS]; /* of the buffer of each domain */
    dn_pages_places shared;                  /* of a world's arena, first touched in the first domain */
    char numa_balancing[64], huge_private[64], huge_shared[64]; /* the kernel's settings; "?" if not told */
} dn_numa_results;

/* Reads and writes: as tables and programs name them. */
typedef struct dn_numa_mix {
    const char *title, *key;
} dn_numa_mix;
extern const dn_numa_mix dn_numa_mixes[DN_NUMA_MIXES];

/** "L1", "L2", ... or "memory": what holds a rung. Returns text. */
const char *dn_numa_holder(const dn_numa_results *results, const dn_numa_rung *rung, char text[16]);

/** Fills the bytes and the cache of n_rungs rungs from the sizes of caches: half of each cache, which fits,
 * and twice of each, which does not; those below `limit` bytes, in order, and `limit` itself: memory. */
void dn_numa_choose_rungs(dn_numa_results *results, size_t limit);

void dn_numa_print(const dn_numa_results *results, FILE *out);
dn_status dn_numa_write_json(const dn_numa_results *results, const char *path) DN_MUST_USE;
/** A self-contained HTML page. */
dn_status dn_numa_write_html(const dn_numa_results *results, const char *path) DN_MUST_USE;

#endif
