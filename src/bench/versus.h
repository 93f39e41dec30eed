/* The same collectives of an installed MPI, measured by a small program that is compiled at run time. */
#ifndef BENCH_VERSUS_H
#define BENCH_VERSUS_H

#include "dionode/bench.h"

/**
 * Launcher's side, before the workers exist: compiles the program with mpicc in a temporary folder, runs it
 * under mpirun with n_ranks ranks (n_pus may run at once) for every row the options ask for, and leaves the
 * times in the environment for the workers. Errors: DN_ERR_CONFIG where mpicc or mpirun is missing; those of
 * dn_command_run.
 */
dn_status dn_versus_mpi_run(const dn_bench_comm_options *options, int n_ranks, int n_pus) DN_MUST_USE;

/** A worker's side: MPI's median time of row i, in seconds; 0 where MPI has no such collective. *overlap: of the calls
 * that overlap, otherwise 0. */
void dn_versus_mpi_row(int i, double *seconds, double *overlap);

#endif
