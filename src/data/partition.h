/*
 * Which rows of a token stream which client has. Every row belongs to one client; a row that begins in one file and ends in the
 * next is of the first.
 *
 *     iid          rows are dealt in turn
 *     by_file      files are dealt in turn: a client's rows are like one another, and unlike others'
 *     dirichlet:A  of each file every client has a part; the parts are drawn from a symmetric Dirichlet distribution (Hsu et al.,
 *                  arXiv 1909.06335, where labels are what files are here): the smaller A, the more uneven
 *
 * Of labelled texts, whose rows stand by label, labels are what files are: by_label deals these in turn.
 *
 * A function of files, row length, number of clients and seed: no other state.
 */
#ifndef DATA_PARTITION_H
#define DATA_PARTITION_H

#include "data/tokens.h"

typedef enum dn_partition_kind { DN_PARTITION_IID, DN_PARTITION_BY_FILE, DN_PARTITION_BY_LABEL, DN_PARTITION_DIRICHLET } dn_partition_kind;

typedef struct dn_partition_rule {
    dn_partition_kind kind;
    double alpha; /* of dirichlet */
} dn_partition_rule;

/** Parses "iid", "by_file", "by_label" or "dirichlet:A". Errors: DN_ERR_CONFIG "where: ...". */
dn_status dn_partition_parse(const char *text, const char *where, dn_partition_rule *rule) DN_MUST_USE;

typedef struct dn_partition dn_partition;

/** Of rows of T tokens. Errors: DN_ERR_DATA: a client would have no row; DN_ERR_CONFIG: by_label; DN_ERR_MEMORY. Owned by the caller. */
dn_status dn_partition_create(const dn_partition_rule *rule, const dn_tokens *tokens, size_t T, int n_clients, uint64_t seed,
                              dn_partition **out) DN_MUST_USE;
/** Of rows that stand in groups, first[g] to first[g + 1] - 1 in group g of n_groups. Errors: the same, but by_label is fine, and by_file is
 * not. */
dn_status dn_partition_create_by_label(const dn_partition_rule *rule, const size_t *first, size_t n_groups, int n_clients, uint64_t seed,
                                       dn_partition **out) DN_MUST_USE;
void dn_partition_destroy(dn_partition **partition);

/** How many rows the client has: at least 1. */
size_t dn_partition_rows(const dn_partition *partition, int client);

/** Its row number `index` among all rows. */
size_t dn_partition_row(const dn_partition *partition, int client, size_t index);

#endif
