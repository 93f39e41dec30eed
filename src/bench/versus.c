#include "bench/versus.h"

#include "base/fail.h"
#include "base/output.h"
#include "bench/measure.h"
#include "bench/mpi_program.h"
#include "bench/sizes.h"
#include "launch/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE  "DIONODE_BENCH_MPI"
#define COMPILE_S 120.0
#define RUN_S     1800.0
#define ROWS_MAX  512
#define TEXT_MAX  (32 * ROWS_MAX)

typedef struct build {
    char folder[64], source[96], program[96];
} build;

static const char *const missing =
    "--versus mpi needs an MPI: mpicc and mpirun (Debian: openmpi-bin and libopenmpi-dev)";

/* ---- building ---- */

static dn_status make_folder(build *b)
{
    const char *base = getenv("TMPDIR");
    int length =
        snprintf(b->folder, sizeof b->folder, "%s/dionode-mpi-XXXXXX", base && *base ? base : "/tmp");
    if (length >= (int)sizeof b->folder || !mkdtemp(b->folder))
        return dn_fail_errno(DN_ERR_IO, errno, "cannot make a temporary folder (TMPDIR)");
    snprintf(b->source, sizeof b->source, "%s/program.c", b->folder);
    snprintf(b->program, sizeof b->program, "%s/program", b->folder);
    return DN_OK;
}

static bool installed(const char *name)
{
    char text[4096];
    const char *const argv[] = {name, "--version", NULL};
    return dn_command_run(argv, COMPILE_S, text, sizeof text) == DN_OK;
}

/* ---- running ---- */

/* The arguments of the program: "all-reduce:1024:1", the last for out of place. */
static dn_status write_rows(const dn_bench_comm_options *o, int n_ranks, char text[][40], int *n)
{
    *n = 0;
    for (const dn_bench_op *op = dn_bench_ops; op->name; op++) {
        size_t bytes, unit = dn_bench_unit(o, op, n_ranks);
        if (!dn_bench_selects(o, op, n_ranks, 1))
            continue;
        for (bool more = dn_bench_first_size(o, unit, op->max_bytes, &bytes); more;
             more = dn_bench_next_size(o, unit, op->max_bytes, &bytes)) {
            if (*n == ROWS_MAX)
                return dn_fail(DN_ERR_CONFIG, "more than %d sizes with --versus mpi: use a larger -f or -i",
                               ROWS_MAX);
            snprintf(text[(*n)++], sizeof text[0], "%s:%zu:%d", op->name, bytes, dn_bench_has_two(op));
        }
    }
    return DN_OK;
}

static dn_status run(const dn_bench_comm_options *o, build *b, int n_ranks, int n_pus, char *text,
                     size_t bytes)
{
    enum { FIXED = 17 };
    static char rows[ROWS_MAX][40];
    char np[16], numbers[5][24];
    const char *argv[FIXED + ROWS_MAX + 1];
    int n = 0, n_rows;
    DN_TRY(write_rows(o, n_ranks, rows, &n_rows));
    snprintf(np, sizeof np, "%d", n_ranks);
    const int values[5] = {o->n_samples, o->n_warmup, !o->clean_buffers, o->root, o->check};
    const char *const head[] = {"mpirun",
                                "--oversubscribe",
                                "--allow-run-as-root",
                                "--bind-to",
                                n_ranks <= n_pus ? "core" : "none",
                                "-np",
                                np,
                                b->program};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        argv[n++] = head[i];
    for (int i = 0; i < 5; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%d", values[i]);
        argv[n++] = numbers[i];
    }
    argv[n++] = o->redop;
    argv[n++] = o->type;
    for (int i = 0; i < n_rows; i++)
        argv[n++] = rows[i];
    argv[n] = NULL;
    return dn_command_run(argv, RUN_S, text, bytes);
}

static dn_status build_and_run(const dn_bench_comm_options *o, build *b, int n_ranks, int n_pus)
{
    static char text[TEXT_MAX];
    const char *const compiler[] = {"mpicc", "-O3", "-std=gnu11", "-o", b->program, b->source, NULL};
    FILE *file = fopen(b->source, "w");
    bool written = file && fputs(dn_mpi_program, file) >= 0;
    written = file && fclose(file) == 0 && written;
    if (!written)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write '%s'", b->source);
    DN_TRY(dn_command_run(compiler, COMPILE_S, text, sizeof text));
    DN_TRY(run(o, b, n_ranks, n_pus, text, sizeof text));
    char *first_time = strchr(text, '\n');
    if (!first_time)
        return dn_fail(DN_ERR_SYSTEM, "the MPI program printed no times");
    printf("# versus %.*s, measured immediately before in the same way; MPI/ours is the ratio of medians\n",
           (int)(first_time - text), text);
    DN_TRY(dn_flush(stdout));
    return setenv(VARIABLE, first_time + 1, 1) == 0
               ? DN_OK
               : dn_fail_errno(DN_ERR_MEMORY, errno, "no memory for MPI's times");
}

dn_status dn_versus_mpi_run(const dn_bench_comm_options *options, int n_ranks, int n_pus)
{
    build b;
    if (!installed("mpicc") || !installed("mpirun"))
        return dn_fail(DN_ERR_CONFIG, "%s", missing);
    DN_TRY(make_folder(&b));
    dn_status status = build_and_run(options, &b, n_ranks, n_pus);
    unlink(b.source);
    unlink(b.program);
    rmdir(b.folder);
    return status;
}

void dn_versus_mpi_row(int i, double *seconds, double *overlap)
{
    const char *text = getenv(VARIABLE);
    for (; text && i > 0; i--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    *seconds = *overlap = 0;
    if (text)
        sscanf(text, "%lf %lf", seconds, overlap);
}
