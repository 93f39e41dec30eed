#include "sync/selection.h"

#include "base/fail.h"
#include "linalg/select.h"

#include <math.h>
#include <string.h>

/* ---- bands: what a choice is made in ---- */

static dn_cut cut_of(const dn_param *param, bool by_rows)
{
    return by_rows ? param->row_cut : param->col_cut;
}

static int n_bands(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param *param,
                   bool by_rows)
{
    dn_cut cut = cut_of(param, by_rows);
    return config->local_selection && cut.axis != DN_N_AXES ? size[cut.axis] : 1;
}

static dn_range band(const dn_param *param, const dn_selection *z, int n, int index)
{
    return dn_part(z->size, cut_of(param, z->by_rows).unit, n, index);
}

static size_t chosen_of(const dn_optim_config *config, size_t n)
{
    return (size_t)ceil(config->rank_fraction * (double)n);
}

dn_selection dn_selection_of(const dn_rule *rule, const dn_optim_config *config, const int size[DN_N_AXES],
                             const dn_param *param)
{
    dn_selection z = dn_rule_selection(rule, param->rows, param->cols, config->rank_fraction);
    if (rule->selects == DN_SELECT_ALL)
        return z;
    int n = n_bands(config, size, param, z.by_rows);
    z.k = 0;
    for (int i = 0; i < n; i++)
        z.k += chosen_of(config, dn_range_size(band(param, &z, n, i)));
    return z;
}

static void choose(const dn_wholes *w, const dn_whole *x)
{
    const dn_optim_config *config = w->party->config;
    const dn_param *param = x->slot->param;
    const dn_selection *z = &x->slot->selection;
    int n = n_bands(config, x->slot->layout.size, param, z->by_rows);
    int32_t *ids = x->ids;
    for (int i = 0; i < n; i++) {
        dn_range range = band(param, z, n, i);
        size_t k = chosen_of(config, dn_range_size(range));
        dn_select_largest(x->scores + range.first, dn_range_size(range), k, w->scratch, ids);
        for (size_t j = 0; j < k; j++)
            ids[j] += (int32_t)range.first;
        ids += k;
    }
}

/* ---- this rank's part ---- */

static void find_here(const dn_wholes *w, const dn_whole *x)
{
    bool by_rows = x->slot->selection.by_rows;
    dn_block part = dn_whole_part(x, w->party->mesh->at);
    size_t first = by_rows ? part.row0 : part.col0, n = by_rows ? part.rows : part.cols;
    size_t before = by_rows ? x->slot->part.row0 : x->slot->part.col0;
    for (size_t i = 0; i < n; i++)
        x->ids_here[i] = x->ids[first + i] - (int32_t)before;
}

/* ---- together ---- */

static void accumulate(const dn_wholes *w, dn_whole_batch *b)
{
    memset(b->scores, 0, b->n_scores * sizeof *b->scores);
    for (size_t i = 0; i < b->n; i++) {
        const dn_whole *x = &b->matrices[i];
        const dn_slot *slot = x->slot;
        dn_matrix_part part = dn_whole_matrix_part(w, x);
        size_t first = slot->selection.by_rows ? slot->part.row0 : slot->part.col0;
        slot->rule->accumulate(w->party->stream, &part, x->scores ? x->scores + first : NULL);
    }
}

/* Parts tile the matrix: what each rank knows of a row's norm adds up to all of it. */
static dn_status sum_scores(const dn_wholes *w, dn_whole_batch *b)
{
    DN_TRY(dn_stream_sync(w->party->stream));
    return dn_comm_all_reduce(w->party->mesh->all, b->scores, b->n_scores, DN_F64, DN_SUM, DN_TRAFFIC_BASIS);
}

dn_status dn_selection_choose(const dn_wholes *w, dn_whole_batch *b)
{
    accumulate(w, b);
    if (b->n_scores)
        DN_TRY(sum_scores(w, b));
    for (size_t i = 0; i < b->n; i++) {
        const dn_whole *x = &b->matrices[i];
        for (size_t j = 0; x->scores && j < x->slot->selection.size; j++)
            if (!isfinite(x->scores[j]))
                return dn_slot_broken(x->slot);
        if (x->scores)
            choose(w, x);
        find_here(w, x);
    }
    return DN_OK;
}
