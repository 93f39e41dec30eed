/* What a step must exchange, known before it is taken: held against the ledgers (dn_ledger). */
#ifndef SYNC_FORMULA_H
#define SYNC_FORMULA_H

#include "dionode/mesh.h"

/* Payload of one rank, by the set of axes that the group is along (without axes of size 1: those of mesh->all
 * are all others). */
typedef struct dn_formula {
    uint64_t payload[DN_ALL_AXES + 1][DN_N_TRAFFIC];           /* momentum: in those steps that re-average */
    uint64_t by_collective[DN_ALL_AXES + 1][DN_N_COLLECTIVES]; /* payload again; momentum: only if all do */
    uint64_t uncompressed; /* gradients of this rank's blocks, if all were averaged in full */
} dn_formula;

static inline void dn_formula_add(dn_formula *formula, unsigned axes, dn_collective as, dn_traffic kind,
                                  uint64_t bytes)
{
    formula->payload[axes][kind] += bytes;
    formula->by_collective[axes][as] += bytes;
}

#endif
