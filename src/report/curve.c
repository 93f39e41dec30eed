/* The curves of a comparison, from the records of its runs. */
#include "report/comparison.h"

#include "base/fail.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

void dn_curve_free(dn_curve *curve)
{
    free(curve->x[0]); /* all of it is one piece */
    *curve = (dn_curve){0};
}

static dn_status allocate(dn_curve *curve, size_t n)
{
    *curve = (dn_curve){0};
    double *memory = calloc((DN_CURVE_N_BY + 3) * (n ? n : 1), sizeof *memory);
    if (!memory)
        return dn_fail(DN_ERR_MEMORY, "no memory for a curve of %zu points", n);
    curve->n = n;
    for (int by = 0; by < DN_CURVE_N_BY; by++)
        curve->x[by] = memory + (size_t)by * n;
    curve->loss = memory + DN_CURVE_N_BY * n;
    curve->low = curve->loss + n;
    curve->high = curve->low + n;
    return DN_OK;
}

static double bytes_of(const dn_record_step *x, bool clients)
{
    double bytes = clients ? x->client_bytes_down + x->client_bytes_up : 0;
    for (int axis = 0; axis < DN_RECORD_AXES && !clients; axis++)
        bytes += x->bytes[axis];
    return bytes;
}

/* Adds one of n_seeds runs, of `last` steps, to the means. */
static void add_run(const dn_record *r, uint64_t last, double share, bool first, bool clients, dn_curve *curve)
{
    double seconds = dn_gaps_none(&r->gaps) ? 0 : NAN, bytes = seconds;
    for (size_t point = 0, i = 0; point < curve->n; point++) {
        size_t begin = i;
        uint64_t end = (point + 1) * last / curve->n;
        double sum = 0;
        for (; i < r->n && r->steps[i].step <= end; i++) {
            sum += r->steps[i].loss;
            seconds = clients ? r->steps[i].virtual_s : seconds + r->steps[i].step_s;
            bytes += bytes_of(&r->steps[i], clients);
        }
        double loss = sum / (double)(i - begin);
        curve->x[DN_CURVE_STEP][point] = (double)end;
        curve->x[DN_CURVE_SECOND][point] += share * seconds;
        curve->x[DN_CURVE_BYTE][point] += share * bytes;
        curve->loss[point] += share * loss;
        curve->low[point] = first ? loss : fmin(curve->low[point], loss);
        curve->high[point] = first ? loss : fmax(curve->high[point], loss);
    }
}

dn_status dn_curve_make(const dn_comparison *comparison, const dn_contender *contender, size_t max_points,
                        dn_curve *out)
{
    const dn_trial *trials = &contender->trials[contender->best * comparison->n_seeds];
    const dn_record *r = &trials[0].record;
    uint64_t last = r->n > 0 ? r->steps[r->n - 1].step : 0;
    DN_TRY(allocate(out, dn_min(last, max_points)));
    for (size_t k = 0; k < comparison->n_seeds; k++)
        add_run(&trials[k].record, last, 1 / (double)comparison->n_seeds, k == 0, comparison->n_clients > 0, out);
    return DN_OK;
}
