/* The table of `dionode bench comm`, for people and as JSON. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "bench/measure.h"

#include <stdio.h>

typedef struct dn_bench_table dn_bench_table;

/** A table that goes to out row by row, and into options->json at its end. Borrows both. */
dn_status dn_bench_table_open(const dn_bench_comm_options *options, FILE *out,
                              dn_bench_table **table) DN_MUST_USE;

/** The line of column titles, with the collective's name above. */
void dn_bench_table_title(dn_bench_table *table, const dn_bench_op *op);
dn_status dn_bench_table_add(dn_bench_table *table, const dn_bench_op *op,
                             const dn_bench_row *row) DN_MUST_USE;

/** Prints the sum of wrong elements and writes the JSON file. */
dn_status dn_bench_table_finish(dn_bench_table *table) DN_MUST_USE;
void dn_bench_table_close(dn_bench_table **table);

#endif
