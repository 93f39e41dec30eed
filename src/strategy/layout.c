/* Memory of a strategy: its states, and the windows of its exchanges. */
#include "base/arena.h"
#include "base/size.h"
#include "device/device.h"
#include "strategy/run.h"

dn_block dn_strategy_share(const dn_param *p, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    dn_block block = dn_param_block(p, size, at);
    dn_range rows = dn_shard_range(block.rows, 1, size[DN_DP], at[DN_DP]);
    return (dn_block){block.row0 + rows.first, dn_range_size(rows), block.col0, block.cols};
}

size_t dn_strategy_depth(const dn_exchange *e, const dn_strategy_config *config)
{
    uint64_t every = e->every ? e->every(config) : 1;
    return e->delay ? (size_t)(e->delay(config) / every) + 1 : 1;
}

/* States of all parameters, each with room for the largest of any rank's. */
static void take_states(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                        size_t n_params, const int size[DN_N_AXES], dn_arena *heap, dn_strategy_run *r)
{
    const int first[DN_N_AXES] = {0}; /* nobody has more */
    for (size_t i = 0; i < n_params; i++)
        for (int k = 0; k < dn_strategy_n_kinds(strategy); k++) {
            const dn_state_of_strategy *state = &strategy->states[k];
            dn_block most = state->residence == DN_SHARDED ? dn_strategy_share(&params[i], size, first)
                                                           : dn_param_block(&params[i], size, first);
            dn_block_shape shape = state->shape ? state->shape(config, most.rows, most.cols)
                                                : (dn_block_shape){most.rows, most.cols};
            void *memory = dn_arena_take(heap, dn_size_mul(dn_size_mul(shape.rows, shape.cols), sizeof(dn_real)));
            if (r)
                r->blocks[i].states[k] = r->shares[i].states[k] = memory;
        }
}

/* Messages lie in the device's memory, their lengths in the host's, which has the same layout. */
static void take_windows(const dn_exchange *e, const dn_strategy_config *config, const dn_param *params, size_t n_params,
                         const int size[DN_N_AXES], dn_arena *heap, dn_exchange_run *run)
{
    const int first[DN_N_AXES] = {0};
    bool bytes = e->pattern == DN_GATHER;
    size_t depth = dn_strategy_depth(e, config);
    if (e->of != DN_OF_MESSAGE || (e->used && !e->used(config)))
        return;
    bool shown = bytes && e->delay && e->delay(config) > 0;
    uint64_t *lengths = dn_heap_on_host(dn_arena_take(heap, dn_size_mul(n_params * depth, sizeof *lengths)));
    for (size_t i = 0; i < n_params; i++) {
        dn_block most = dn_param_block(&params[i], size, first);
        size_t n = e->length ? e->length(config, params[i].kind, most.rows, most.cols) : most.rows * most.cols;
        for (size_t k = i * depth; k < (i + 1) * depth; k++) {
            void *memory = dn_arena_take(heap, dn_size_mul(n, bytes ? 1 : sizeof(dn_real)));
            void *numbers = shown ? dn_arena_take(heap, dn_size_mul(n, sizeof(dn_real))) : NULL;
            if (run)
                run->messages[k] = (dn_window_message){.message = {.numbers = bytes ? NULL : memory,
                                                                   .bytes = bytes ? memory : NULL},
                                                       .length = &lengths[k],
                                                       .shown = numbers};
        }
    }
}

void dn_strategy_lay_out(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                         size_t n_params, const int size[DN_N_AXES], dn_arena *heap, dn_strategy_run *r)
{
    const int first[DN_N_AXES] = {0};
    size_t scratch = 0;
    take_states(strategy, config, params, n_params, size, heap, r);
    for (size_t i = 0; i < n_params && strategy->scratch; i++) {
        dn_block most = dn_param_block(&params[i], size, first);
        scratch = dn_max(scratch, strategy->scratch(config, params[i].kind, most.rows, most.cols));
    }
    void *shown = dn_arena_take(heap, 4 * strategy->n_numbers * sizeof(dn_real));
    void *memory = dn_arena_take(heap, dn_size_mul(scratch, sizeof(dn_real)));
    if (r) {
        r->shown = shown;
        r->scratch = memory;
    }
    for (int k = 0; k < dn_strategy_n_exchanges(strategy); k++)
        take_windows(strategy->exchanges[k], config, params, n_params, size, heap, r ? &r->exchanges[k] : NULL);
}

size_t dn_strategy_heap_bytes(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                              size_t n_params, const int size[DN_N_AXES])
{
    dn_arena measure = {0};
    if (dn_strategy_has_engine(strategy))
        dn_strategy_lay_out(strategy, config, params, n_params, size, &measure, NULL);
    return dn_size_add(measure.used, dn_strategy_islands_bytes(strategy, size));
}
