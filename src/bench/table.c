#include "bench/table.h"

#include "base/fail.h"
#include "base/output.h"
#include "dionode/topo.h"
#include "dionode/version.h"
#include "report/json_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

struct dn_bench_table {
    const dn_bench_comm_options *options;
    FILE *out;
    json_t *rows;
    double n_wrong, triad_bytes_s;
    int n_checked;
};

static dn_status no_memory(void)
{
    return dn_fail(DN_ERR_MEMORY, "no memory for a table of measurements");
}

dn_status dn_bench_table_open(const dn_bench_comm_options *options, FILE *out, dn_bench_table **table)
{
    dn_bench_table *t = calloc(1, sizeof *t);
    json_t *rows = json_array();
    if (!t || !rows) {
        free(t);
        json_decref(rows);
        return no_memory();
    }
    *t = (dn_bench_table){.options = options, .out = out, .rows = rows};
    *table = t;
    return DN_OK;
}

void dn_bench_table_close(dn_bench_table **table)
{
    if (!*table)
        return;
    json_decref((*table)->rows);
    free(*table);
    *table = NULL;
}

/* ---- for people ---- */

void dn_bench_table_title(dn_bench_table *t, const dn_bench_op *op)
{
    bool mpi = t->options->versus_mpi;
    const char *place = !dn_bench_has_buffer(op) ? ""
                        : dn_bench_has_two(op)   ? ", out of place"
                                                 : ", in place";
    fprintf(t->out, "#\n# %s%s\n", op->name, place);
    fprintf(t->out, "# %10s %11s %6s %5s | %9s %9s %9s %9s | %8s %8s | %12s %8s %6s | %6s%s%s%s\n", "size",
            "count", "type", "redop", "time", "p50", "p99", "max", "algbw", "busbw", "moved", "membw",
            "%triad", "#wrong", op->overlaps ? " | overlap" : "", mpi ? " |   MPI p50  MPI/ours" : "",
            mpi && op->overlaps ? "   overlap" : "");
    fprintf(t->out, "# %10s %11s %6s %5s | %9s %9s %9s %9s | %8s %8s | %12s %8s %6s | %6s%s%s%s\n", "(B)",
            "(elements)", "", "", "(us)", "(us)", "(us)", "(us)", "(GB/s)", "(GB/s)", "(B)", "(GB/s)", "", "",
            op->overlaps ? " |     (%)" : "", mpi ? " |      (us)          " : "",
            mpi && op->overlaps ? "       (%)" : "");
}

static void print_time(FILE *out, double seconds)
{
    fprintf(out, " %9.*f", seconds < 1e-3 ? 2 : 1, 1e6 * seconds);
}

static dn_status print_row(FILE *out, const dn_bench_op *op, const dn_bench_row *row)
{
    fprintf(out, "%12zu %11zu %6s %5s |", row->bytes, row->count, row->type, row->redop);
    print_time(out, row->time_s.mean);
    print_time(out, row->time_s.p50);
    print_time(out, row->time_s.p99);
    print_time(out, row->time_s.max);
    fprintf(out, " | %8.2f %8.2f | %12.0f %8.2f", 1e-9 * dn_bench_algbw(row), 1e-9 * dn_bench_busbw(row, op),
            row->bytes_moved, 1e-9 * dn_bench_membw(row));
    fprintf(out, " %6.1f |", 100 * dn_bench_membw(row) / row->triad_bytes_s);
    if (row->n_wrong < 0)
        fprintf(out, " %6s", "N/A");
    else
        fprintf(out, " %6.0f", row->n_wrong);
    if (row->overlap >= 0)
        fprintf(out, " | %7.1f", 100 * row->overlap);
    if (row->mpi_s > 0) {
        fprintf(out, " |");
        print_time(out, row->mpi_s);
        fprintf(out, " %8.2fx", row->mpi_s / row->time_s.p50);
        if (row->overlap >= 0)
            fprintf(out, " %9.1f", 100 * row->mpi_overlap);
    }
    fputc('\n', out);
    return dn_flush(out);
}

/* ---- as JSON ---- */

static json_t *as_json(const dn_bench_op *op, const dn_bench_row *row)
{
    const dn_summary *t = &row->time_s;
    json_t *object =
        json_pack("{s:s, s:i, s:I, s:I, s:s, s:s, s:i, s:f, s:f, s:f, s:f}", "op", row->op, "ranks",
                  row->n_ranks, "bytes", (json_int_t)row->bytes, "count", (json_int_t)row->count, "type",
                  row->type, "redop", row->redop, "batch", row->batch, "time_us", 1e6 * t->mean, "p50_us",
                  1e6 * t->p50, "p99_us", 1e6 * t->p99, "max_us", 1e6 * t->max);
    json_t *rest =
        json_pack("{s:f, s:f, s:f, s:f, s:f}", "algbw", 1e-9 * dn_bench_algbw(row), "busbw",
                  1e-9 * dn_bench_busbw(row, op), "bytes_moved", row->bytes_moved, "membw",
                  1e-9 * dn_bench_membw(row), "triad_share", dn_bench_membw(row) / row->triad_bytes_s);
    bool good =
        object && rest && json_object_update(object, rest) == 0 &&
        json_object_set_new(object, "wrong",
                            row->n_wrong < 0 ? json_null() : json_integer((json_int_t)row->n_wrong)) == 0 &&
        json_object_set_new(object, "in_place",
                            dn_bench_has_buffer(op) ? json_boolean(row->in_place) : json_null()) == 0;
    if (good && row->overlap >= 0)
        good = json_object_set_new(object, "overlap", json_real(row->overlap)) == 0;
    if (good && row->mpi_s > 0)
        good = json_object_set_new(object, "mpi_p50_us", json_real(1e6 * row->mpi_s)) == 0;
    if (good && row->mpi_s > 0 && row->overlap >= 0)
        good = json_object_set_new(object, "mpi_overlap", json_real(row->mpi_overlap)) == 0;
    json_decref(rest);
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

dn_status dn_bench_table_add(dn_bench_table *t, const dn_bench_op *op, const dn_bench_row *row)
{
    DN_TRY(print_row(t->out, op, row));
    if (row->n_wrong >= 0) {
        t->n_wrong += row->n_wrong;
        t->n_checked++;
    }
    t->triad_bytes_s = row->triad_bytes_s;
    json_t *object = as_json(op, row);
    return object && json_array_append_new(t->rows, object) == 0 ? DN_OK : no_memory();
}

/* The rows, and what was measured where, with what, when. */
static json_t *whole(const dn_bench_table *t)
{
    char processor[128], os[128], date[40];
    struct utsname system;
    time_t now = time(NULL);
    struct tm utc;
    uname(&system);
    snprintf(os, sizeof os, "%.40s %.60s %.20s", system.sysname, system.release, system.machine);
    dn_topo_processor(processor, sizeof processor);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:f, s:O}", "version", dn_version(), "processor",
                     processor, "system", os, "date", date, "warmup", t->options->n_warmup, "samples",
                     t->options->n_samples, "clean_buffers", t->options->clean_buffers, "triad_gb_s",
                     1e-9 * t->triad_bytes_s, "rows", t->rows);
}

dn_status dn_bench_table_finish(dn_bench_table *t)
{
    if (t->n_checked)
        fprintf(t->out, "#\n# wrong values: %.0f %s\n", t->n_wrong, t->n_wrong > 0 ? "FAILED" : "OK");
    dn_status printed = dn_flush(t->out); /* told after the file, which may still be written */
    if (t->options->json)
        DN_TRY(dn_json_file_write(whole(t), 9, t->options->json));
    if (t->n_wrong > 0)
        return dn_fail(DN_ERR_NUMERIC, "%.0f values differ from the expected ones", t->n_wrong);
    return printed;
}
