#include "strategy/merge.h"

#include "compute/kernels.h"

extern const dn_codec dn_codec_topk;

const dn_key dn_option_demo_mean =
    DN_STRATEGY_ENUM("demo_mean", "senders|all", "an entry's mean is over the replicas that sent it, or over all");

dn_merge dn_merge_of(const dn_tiling *tiling, double share, dn_option_value wire, dn_option_value over)
{
    return (dn_merge){.config = {.values = dn_option_codec(wire), .cols = tiling->cols, .tile_rows = tiling->tile_rows,
                                 .tile_cols = tiling->tile_cols, .share = share},
                      .n = tiling->rows * tiling->cols,
                      .over_senders = over.choice == DN_OVER_SENDERS && share < 1};
}

size_t dn_merge_bytes(const dn_merge *merge)
{
    return dn_codec_bytes(&dn_codec_topk, &merge->config, merge->n);
}

size_t dn_merge_work(const dn_merge *merge)
{
    return dn_codec_work(&dn_codec_topk, &merge->config, merge->n);
}

void dn_merge_add(dn_stream *s, const dn_merge *merge, const dn_message *message)
{
    if (message->from == 0)
        s->kernels->fill(s, merge->sum, merge->n, 0);
    if (message->from == 0 && merge->over_senders)
        s->kernels->fill(s, merge->counts, merge->n, 0);
    dn_codec_decode_add(s, &dn_codec_topk, &merge->config, merge->sum, 1, message->bytes, merge->n, merge->work);
    if (merge->over_senders)
        dn_codec_count_add(s, &dn_codec_topk, &merge->config, merge->counts, message->bytes, merge->n);
}

void dn_merge_finish(dn_stream *s, const dn_merge *merge, int n_replicas)
{
    if (merge->over_senders)
        s->kernels->divide_counts(s, merge->sum, merge->counts, merge->n);
    else
        s->kernels->scale(s, merge->sum, 1. / n_replicas, merge->sum, merge->n);
}
