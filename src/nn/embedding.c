/*
 * x = scale E[token] (+ P[position]), E [V,C], of which tp cuts the rows (words) and fs the columns, P [max_positions,C].
 * Where the head is E too, the parameters of the norm before it are this layer's, so that one unit has all.
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

enum { E, P };

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    size_t n = 1 + (size_t)spec->positions;
    if (params) {
        dn_layer_name(&params[E], spec, DN_NO_BLOCK, spec->names->embedding, "weight");
        dn_layer_param(&params[E], DN_PARAM_EMBEDDING, spec->V, spec->C, DN_TP_ROWS, 1);
    }
    if (params && spec->positions) {
        dn_layer_name(&params[P], spec, DN_NO_BLOCK, spec->names->positions, "weight");
        dn_layer_param(&params[P], DN_PARAM_EMBEDDING, spec->max_positions, spec->C, DN_TP_NONE, 1);
    }
    return n + (dn_spec_is_tied(spec) ? dn_norm_describe(spec, params, n, DN_NO_BLOCK, spec->names->norm) : 0);
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

/* x += P[position], before others copy rows of this rank's words. With a cache positions are anywhere; what is
 * added to rows of other words is overwritten then. */
static void add_positions(dn_pass *pass, const dn_weight *wpe)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    for (size_t i = 0; i < wpe->n_blocks; i++) {
        const dn_weight_block *p = &wpe->blocks[i];
        const dn_vocab_shard rows = {p->block.row0, p->block.rows};
        if (pass->rows)
            s->kernels->embed_forward(s, pass->dy, C, p->weight, 1, pass->positions, &rows, N, C);
        else
            s->kernels->positions_forward(s, pass->x, p->weight, p->block.row0, p->block.rows, pass->tokens, &pass->vocab,
                                          pass->B, pass->T, C);
    }
    if (pass->rows)
        s->kernels->axpby(s, pass->x, 1, pass->dy, 1, N * C);
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    dn_stream *s = pass->stream;
    const dn_weight *wte = dn_layer_weight(pass, layer, E);
    for (size_t i = 0; i < wte->n_blocks; i++) {
        const dn_weight_block *p = &wte->blocks[i];
        s->kernels->embed_forward(s, dn_at(pass->x, p->block.col0), pass->spec->C, p->weight, pass->spec->embed_scale,
                                  pass->tokens, &pass->vocab, pass->B * pass->T, p->block.cols);
    }
    if (pass->spec->positions)
        add_positions(pass, dn_layer_weight(pass, layer, P));
    return pass->tp_size > 1 ? share_rows(pass) : DN_OK;
}

/* Each rank adds to its own words. */
static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    dn_stream *s = pass->stream;
    const dn_weight *wte = dn_layer_weight(pass, layer, E);
    for (size_t i = 0; i < wte->n_blocks && wte->blocks[i].grad; i++) {
        const dn_weight_block *p = &wte->blocks[i];
        s->kernels->embed_backward(s, p->grad, dn_at(pass->x, p->block.col0), pass->spec->C, pass->spec->embed_scale,
                                   pass->tokens, &pass->vocab, pass->B * pass->T, p->block.cols);
    }
    const dn_weight *wpe = pass->spec->positions ? dn_layer_weight(pass, layer, P) : NULL;
    for (size_t i = 0; wpe && i < wpe->n_blocks && wpe->blocks[i].grad; i++) { /* all ranks of tp have the same x */
        const dn_weight_block *p = &wpe->blocks[i];
        s->kernels->positions_backward(s, p->grad, pass->x, p->block.row0, p->block.rows, pass->B, pass->T, pass->spec->C);
    }
    return DN_OK;
}

const dn_layer_ops dn_embedding = {
    .describe = describe, .flops = flops, .sums_forward = 1, .forward = forward, .backward = backward};
