/*
 * x = E[token], E [V,C], of which tp cuts the rows (words) and fs the columns.
 *
 * Over tp it costs no reduction. Each rank embeds the tokens of its words straight into its x; after one
 * barrier every other row is copied from the x of the rank that made it. (All-reducing rows filled with zeros
 * would read and write twice as much. Reading the owner's weights instead of its rows would save the barrier,
 * but where fs gathers by copying they are in its private memory.) A rank writes rows that others made, and
 * they read rows that it made; x as a whole changes only behind the first projection's sum, when all have
 * read. It is counted as the all-reduce that a cluster would need.
 */
#include "nn/layer.h"

#include "base/fail.h"

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    if (params) {
        dn_layer_name_alone(params, spec->names->embedding);
        dn_layer_param(params, DN_PARAM_EMBEDDING, spec->V, spec->C, DN_TP_ROWS, 1);
    }
    return 1;
}

static double flops(const dn_spec *spec)
{
    return 0;
}

/* x [N,C]: each rank has filled the rows of its words' tokens; the others' are copied from where they lie. */
static dn_status share_rows(dn_pass *pass)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C, row_bytes = C * sizeof(dn_real);
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(pass->tp));
    dn_comm_count_in_place(pass->tp, DN_ALL_REDUCE, 0, N * row_bytes, DN_TRAFFIC_ACTIVATIONS);
    for (int rank = 0; rank < pass->tp_size; rank++) {
        const dn_vocab_shard vocab = dn_layer_vocab_shard(pass->spec, pass->tp_size, rank);
        const dn_comm_chunk rows = {pass->x, N * row_bytes, pass->rows_of[rank] * row_bytes};
        if (rank != pass->tp_rank)
            s->kernels->copy_rows(s, pass->x, dn_comm_view(pass->tp, rows, rank, DN_TRAFFIC_ACTIVATIONS),
                                  pass->tokens, &vocab, N, C);
    }
    return DN_OK;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    dn_stream *s = pass->stream;
    const dn_weight *wte = dn_layer_weight(pass, layer, 0);
    for (size_t i = 0; i < wte->n_blocks; i++) {
        const dn_weight_block *p = &wte->blocks[i];
        s->kernels->embed_forward(s, dn_at(pass->x, p->block.col0), pass->spec->C, p->weight, pass->tokens,
                                  &pass->vocab, pass->B * pass->T, p->block.cols);
    }
    return pass->tp_size > 1 ? share_rows(pass) : DN_OK;
}

/* Each rank adds to its own words. */
static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    dn_stream *s = pass->stream;
    const dn_weight *wte = dn_layer_weight(pass, layer, 0);
    for (size_t i = 0; i < wte->n_blocks; i++) {
        const dn_weight_block *p = &wte->blocks[i];
        s->kernels->embed_backward(s, p->grad, dn_at(pass->x, p->block.col0), pass->spec->C, pass->tokens,
                                   &pass->vocab, pass->B * pass->T, p->block.cols);
    }
    return DN_OK;
}

const dn_layer_ops dn_embedding = {
    .describe = describe, .flops = flops, .sums_forward = 1, .forward = forward, .backward = backward};
