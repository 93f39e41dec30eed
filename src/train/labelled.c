#include "train/labelled.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* Random streams of the order of texts: with this tag above the epoch number they differ from those of all parameters. */
#define EPOCH_STREAMS (UINT64_C(0x7465787473) << 24)

/* Batches whose texts are sorted by length together: with fewer texts differ more, with more the order is less random. */
enum { BATCHES_TOGETHER = 32 };

/* ---- tokens ---- */

static dn_status append(dn_labelled_tokens *x, size_t row, const char *text, const int32_t *ids, size_t n, size_t vocab_size,
                        size_t *room)
{
    size_t have = x->first[row], take = dn_min(n, x->most);
    if (take == 0)
        return dn_fail(DN_ERR_DATA, "line %zu of the labels: its text has no tokens", row + 1);
    if (have + take > *room) {
        *room = dn_size_add(dn_size_mul(*room, 2), take);
        int32_t *larger = realloc(x->tokens, dn_size_mul(*room, sizeof *larger));
        if (!larger)
            return dn_fail(DN_ERR_MEMORY, "no memory for more than %zu tokens", have);
        x->tokens = larger;
    }
    for (size_t i = 0; i < take; i++) {
        int32_t id = ids ? ids[i] : (unsigned char)text[i];
        if (id < 0 || (size_t)id >= vocab_size)
            return dn_fail(DN_ERR_DATA, "line %zu of the labels: token %d is not below the model's vocab_size %zu", row + 1,
                           (int)id, vocab_size);
        x->tokens[have + i] = id;
    }
    x->n_cut += n > x->most;
    x->first[row + 1] = have + take;
    return DN_OK;
}

static dn_status encode_all(dn_labelled_tokens *x, dn_encoder *encoder, size_t vocab_size)
{
    size_t room = 1 << 12, longest = 0;
    x->tokens = malloc(room * sizeof *x->tokens);
    x->first = calloc(x->labels->n + 1, sizeof *x->first);
    if (!x->tokens || !x->first)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tokens of %zu texts", x->labels->n);
    for (size_t row = 0; row < x->labels->n; row++) {
        const dn_labelled *text = &x->labels->rows[row];
        const int32_t *ids = NULL;
        size_t n = text->n;
        if (encoder)
            DN_TRY(dn_encode(encoder, text->text, text->n, &ids, &n));
        DN_TRY(append(x, row, text->text, ids, n, vocab_size, &room));
        longest = dn_max(longest, dn_labelled_length(x, row));
    }
    x->most = longest;
    return DN_OK;
}

dn_status dn_labelled_encode(const dn_labels *labels, const dn_tokenizer *tokenizer, size_t vocab_size, size_t most,
                             dn_labelled_tokens *out)
{
    dn_encoder *encoder = NULL;
    *out = (dn_labelled_tokens){.labels = labels, .most = most};
    if (tokenizer)
        DN_TRY(dn_encoder_create(tokenizer, &encoder));
    dn_status status = encode_all(out, encoder, vocab_size);
    dn_encoder_destroy(&encoder);
    return status;
}

void dn_labelled_close(dn_labelled_tokens *texts)
{
    free(texts->tokens);
    free(texts->first);
    *texts = (dn_labelled_tokens){0};
}

size_t dn_labelled_length(const dn_labelled_tokens *texts, size_t row)
{
    return texts->first[row + 1] - texts->first[row];
}

/* ---- order ---- */

size_t dn_labelled_rows(const dn_labelled_tokens *texts, bool held_out, uint32_t *rows)
{
    size_t n = 0;
    for (size_t row = 0; row < texts->labels->n; row++)
        if (dn_labels_held_out(row) == held_out)
            rows[n++] = (uint32_t)row;
    return n;
}

/* Entries of `size` numbers change places (Fisher and Yates). */
static void shuffle(uint32_t *x, size_t n, size_t size, uint64_t seed, uint64_t stream)
{
    for (size_t i = n; i-- > 1;) {
        size_t j = dn_random_bits(seed, stream, i) % (i + 1);
        for (size_t k = 0; k < size; k++) {
            uint32_t kept = x[i * size + k];
            x[i * size + k] = x[j * size + k];
            x[j * size + k] = kept;
        }
    }
}

static int by_length(const void *a, const void *b, void *context)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    size_t m = dn_labelled_length(context, i), n = dn_labelled_length(context, j);
    return m != n ? (m < n) - (m > n) : (i > j) - (i < j);
}

void dn_labelled_sort(const dn_labelled_tokens *texts, uint32_t *rows, size_t n)
{
    dn_labelled_tokens them = *texts;
    qsort_r(rows, n, sizeof *rows, by_length, &them);
}

void dn_labelled_shuffle(const dn_labelled_tokens *texts, uint32_t *rows, size_t n, size_t batch, uint64_t seed, uint64_t epoch)
{
    uint64_t stream = EPOCH_STREAMS + 2 * epoch;
    shuffle(rows, n, 1, seed, stream);
    for (size_t at = 0; at < n; at += BATCHES_TOGETHER * batch)
        dn_labelled_sort(texts, rows + at, dn_min(n - at, BATCHES_TOGETHER * batch));
    shuffle(rows, n / batch, batch, seed, stream + 1); /* a rest stays at the end */
}

void dn_labelled_batch(const dn_labelled_tokens *texts, const uint32_t *rows, size_t B, int32_t *inputs, int32_t *targets,
                       size_t *T)
{
    *T = 1;
    for (size_t b = 0; b < B; b++)
        *T = dn_max(*T, dn_labelled_length(texts, rows[b]));
    for (size_t b = 0; b < B; b++) {
        size_t n = dn_labelled_length(texts, rows[b]);
        memset(inputs + b * *T, 0, *T * sizeof *inputs);
        memcpy(inputs + b * *T, texts->tokens + texts->first[rows[b]], n * sizeof *inputs);
        memset(targets + b * *T, -1, *T * sizeof *targets);
        targets[b * *T + n - 1] = texts->labels->rows[rows[b]].class;
    }
}
