#include "shard/selection.h"

#include "base/fail.h"
#include "linalg/select.h"

#include <math.h>
#include <string.h>

/* ---- shards: what a choice is made in ---- */

static dn_dim_sharding cut_of(const dn_param *param, bool by_rows)
{
    return by_rows ? param->row_sharding : param->col_sharding;
}

static int n_shards(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param *param,
                    bool by_rows)
{
    dn_dim_sharding cut = cut_of(param, by_rows);
    return config->local_selection && cut.axis != DN_N_AXES ? size[cut.axis] : 1;
}

static dn_range shard(const dn_param *param, const dn_selection *z, int n, int index)
{
    return dn_shard_range(z->size, cut_of(param, z->by_rows).unit, n, index);
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
    int n = n_shards(config, size, param, z.by_rows);
    z.k = 0;
    for (int i = 0; i < n; i++)
        z.k += chosen_of(config, dn_range_size(shard(param, &z, n, i)));
    return z;
}

static void choose(const dn_owner_work *w, const dn_owned_matrix *x)
{
    const dn_optim_config *config = w->group->config;
    const dn_param *param = x->ps->param;
    const dn_selection *z = &x->ps->selection;
    int n = n_shards(config, x->ps->layout.size, param, z->by_rows);
    int32_t *ids = x->ids;
    for (int i = 0; i < n; i++) {
        dn_range range = shard(param, z, n, i);
        size_t k = chosen_of(config, dn_range_size(range));
        dn_select_largest(x->scores + range.first, dn_range_size(range), k, w->scratch, ids);
        for (size_t j = 0; j < k; j++)
            ids[j] += (int32_t)range.first;
        ids += k;
    }
}

/* ---- this rank's part ---- */

static void find_here(const dn_owner_work *w, const dn_owned_matrix *x)
{
    bool by_rows = x->ps->selection.by_rows;
    dn_block part = dn_owned_matrix_block(x, w->group->mesh->at);
    size_t first = by_rows ? part.row0 : part.col0, n = by_rows ? part.rows : part.cols;
    size_t before = by_rows ? x->ps->part.row0 : x->ps->part.col0;
    for (size_t i = 0; i < n; i++)
        x->ids_here[i] = x->ids[first + i] - (int32_t)before;
}

/* ---- together ---- */

static void accumulate(const dn_owner_work *w, dn_owner_batch *b)
{
    memset(b->scores, 0, b->n_scores * sizeof *b->scores);
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        const dn_param_state *ps = x->ps;
        dn_matrix_shard part = dn_owned_matrix_shard(w, x);
        size_t first = ps->selection.by_rows ? ps->part.row0 : ps->part.col0;
        ps->rule->accumulate(w->group->stream, &part, x->scores ? x->scores + first : NULL);
    }
}

/* Parts tile the matrix: what each rank knows of a row's norm adds up to all of it. */
static dn_status sum_scores(const dn_owner_work *w, dn_owner_batch *b)
{
    DN_TRY(dn_stream_sync(w->group->stream));
    return dn_comm_all_reduce(w->group->mesh->all, b->scores, b->n_scores, DN_F64, DN_SUM, DN_TRAFFIC_BASIS);
}

dn_status dn_selection_choose(const dn_owner_work *w, dn_owner_batch *b)
{
    accumulate(w, b);
    if (b->n_scores)
        DN_TRY(sum_scores(w, b));
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        for (size_t j = 0; x->scores && j < x->ps->selection.size; j++)
            if (!isfinite(x->scores[j]))
                return dn_param_state_not_finite(x->ps);
        if (x->scores)
            choose(w, x);
        find_here(w, x);
    }
    return DN_OK;
}
