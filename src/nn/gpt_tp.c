/*
 * What the GPT exchanges over tp, on the symmetric memory x, dy and parts.
 *
 * The embedding costs no reduction. Each rank embeds the tokens of its words straight into its x; after one
 * meeting every other row is copied from the x of the rank that made it. (All-reducing rows filled with zeros
 * would read and write twice as much. Reading the owner's weights instead of its rows would save the meeting,
 * but where fs gathers by copying they are in its private memory.) A rank writes rows that others made, and
 * they read rows that it made; x as a whole changes only behind the first projection's sum, when all have
 * read.
 *
 * Norms are computed by all ranks of tp on all rows. Dealing the rows out (sequence-parallel norms) would
 * replace each all-reduce by a reduce-scatter and an all-gather of the same bytes, with a meeting more, and
 * save (tp-1)/tp of the norms: of a step of the 256-wide model on tp 2 norms are 2.4 % (measured), and their
 * share falls as 1/C.
 */
#include "nn/gpt_parts.h"

#include "base/fail.h"
#include "base/inject.h"

dn_words dn_gpt_words(const dn_spec *spec, int tp_size, int rank)
{
    dn_range words = dn_part(spec->V, 1, tp_size, rank);
    bool off = dn_injected(DN_INJECT_WRONG_VOCAB_OFFSET) && rank > 0;
    return (dn_words){words.first + off, words.end - words.first};
}

dn_status dn_gpt_sum_dy(dn_gpt *gpt, size_t N)
{
    if (!dn_gpt_cut(gpt))
        return DN_OK;
    DN_TRY(dn_stream_sync(gpt->stream));
    return dn_comm_all_reduce(gpt->tp, gpt->dy, N * gpt->spec.C, DN_REAL, DN_SUM, DN_TRAFFIC_ACTIVATIONS);
}

dn_status dn_gpt_share_rows(dn_gpt *gpt, size_t N)
{
    if (!dn_gpt_cut(gpt))
        return DN_OK;
    dn_stream *s = gpt->stream;
    size_t C = gpt->spec.C, row_bytes = C * sizeof(dn_real);
    int size = dn_comm_size(gpt->tp);
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(gpt->tp));
    for (int rank = 0; rank < size; rank++) {
        dn_words words = dn_gpt_words(&gpt->spec, size, rank);
        if (rank != dn_comm_rank(gpt->tp))
            s->kernels->copy_rows(s, gpt->x, dn_comm_peer(gpt->tp, gpt->x, rank), gpt->tokens, &words, N, C);
    }
    dn_comm_count_in_place(gpt->tp, DN_ALL_REDUCE, gpt->own_rows * row_bytes, N * row_bytes,
                           DN_TRAFFIC_ACTIVATIONS);
    return DN_OK;
}

/* Parts are read where they lie. Those of a chunk are written again two chunks later, behind the meeting of
 * the chunk between, or behind others where a pass ends. */
dn_status dn_gpt_join_loss(dn_gpt *gpt, size_t chunk, size_t first, size_t n, double scale)
{
    dn_stream *s = gpt->stream;
    dn_buf *part = gpt->parts[chunk % 2];
    const dn_ids *targets = dn_ids_at(gpt->targets, first);
    int size = dn_comm_size(gpt->tp), rank = dn_comm_rank(gpt->tp);
    size_t bytes = 3 * n * sizeof(dn_real);

    s->kernels->cross_entropy_part(s, part, gpt->logits, targets, &gpt->share.words, n);
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(gpt->tp));
    for (int k = 0; k < size; k++)
        gpt->all_parts[k] = dn_comm_peer(gpt->tp, part, k);
    s->kernels->cross_entropy_join(s, &gpt->loss, gpt->logits, gpt->all_parts, (size_t)size, (size_t)rank,
                                   targets, &gpt->share.words, n, scale);
    dn_comm_count_in_place(gpt->tp, DN_ALL_GATHER, bytes, bytes * (size_t)size, DN_TRAFFIC_ACTIVATIONS);
    return DN_OK;
}

void dn_gpt_tp_bytes(const dn_spec *spec, size_t B, int tp_size, bool train,
                     uint64_t bytes[DN_N_COLLECTIVES])
{
    size_t N = B * spec->T, sums = 2 * spec->L + 1 + (train ? 2 * spec->L + 1 : 0);
    for (int c = 0; c < DN_N_COLLECTIVES; c++)
        bytes[c] = 0;
    if (tp_size == 1)
        return;
    bytes[DN_ALL_REDUCE] = sums * N * spec->C * sizeof(dn_real);
    bytes[DN_ALL_GATHER] = 3 * N * sizeof(dn_real);
}
