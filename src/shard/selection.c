#include "shard/selection.h"

#include "base/fail.h"
#include "base/size.h"
#include "linalg/select.h"

#include <math.h>
#include <string.h>

/* ---- shards: what a choice is made in ---- */

static dn_dim_sharding sharding_of(const dn_param *param, bool by_rows)
{
    return by_rows ? param->tensor.row_sharding : param->tensor.col_sharding;
}

static int n_shards(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param *param,
                    bool by_rows)
{
    dn_dim_sharding sharding = sharding_of(param, by_rows);
    return config->local_selection && sharding.unit ? size[sharding.axis] : 1;
}

static dn_range shard(const dn_param *param, const dn_selection *z, int n, int index)
{
    return dn_shard_range(z->size, dn_max(sharding_of(param, z->by_rows).unit, 1), n, index);
}

static size_t chosen_of(double fraction, size_t n)
{
    return (size_t)ceil(fraction * (double)n);
}

dn_selection dn_selection_of(const dn_rule *rule, const dn_optim_config *config, const int size[DN_N_AXES],
                             const dn_param *param)
{
    dn_selection z = dn_rule_selection(rule, param->tensor.rows, param->tensor.cols, config->rank_fraction);
    if (rule->selects == DN_SELECT_ALL)
        return z;
    int n = n_shards(config, size, param, z.by_rows);
    z.k = 0;
    for (int i = 0; i < n; i++)
        z.k += chosen_of(config->rank_fraction, dn_range_size(shard(param, &z, n, i)));
    return z;
}

dn_status dn_selection_choose(const dn_owner_work *w, dn_owner_batch *b)
{
    const dn_param_group *group = w->group;
    const dn_optim_config *config = group->config;

    /* M += G, and the norms of what of each row is here: parts tile the matrix, and add up to all of it. */
    memset(b->scores, 0, b->n_scores * sizeof *b->scores);
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        const dn_param_state *ps = x->ps;
        dn_matrix_shard part = dn_owned_matrix_shard(w, x);
        size_t first = ps->selection.by_rows ? ps->part.row0 : ps->part.col0;
        ps->rule->accumulate(group->stream, &part, x->scores ? x->scores + first : NULL);
    }
    if (b->n_scores) {
        DN_TRY(dn_stream_sync(group->stream));
        DN_TRY(
            dn_comm_all_reduce(group->mesh->all, b->scores, b->n_scores, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    }

    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        const dn_param_state *ps = x->ps;
        const dn_selection *z = &ps->selection;
        for (size_t j = 0; x->scores && j < z->size; j++)
            if (!isfinite(x->scores[j]))
                return dn_param_state_not_finite(ps);

        /* The largest of each shard, in rising order. */
        int n = x->scores ? n_shards(config, ps->layout.size, ps->param, z->by_rows) : 0;
        int32_t *ids = x->ids;
        for (int k = 0; k < n; k++) {
            dn_range range = shard(ps->param, z, n, k);
            size_t chosen = chosen_of(ps->fraction, dn_range_size(range));
            dn_select_largest(x->scores + range.first, dn_range_size(range), chosen, w->scratch, ids);
            for (size_t j = 0; j < chosen; j++)
                ids[j] += (int32_t)range.first;
            ids += chosen;
        }

        /* Those of them that are in this rank's part, counted there. */
        dn_block part = dn_owned_matrix_block(x, group->mesh->at);
        size_t first = z->by_rows ? part.row0 : part.col0, n_here = z->by_rows ? part.rows : part.cols;
        size_t before = z->by_rows ? ps->part.row0 : ps->part.col0;
        for (size_t j = 0; j < n_here; j++)
            x->ids_here[j] = x->ids[first + j] - (int32_t)before;
    }
    return DN_OK;
}
