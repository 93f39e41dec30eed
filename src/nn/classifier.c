/*
 * A head of classes: scores = score(norm(x)), score [classes,C], and their cross-entropy, at labelled positions alone, of
 * which a sequence has one at most: behind it stands what fills a row up, which no earlier position sees.
 *
 * Over tp x is the same on all ranks, and each computes all of it: nothing is exchanged, as scores are few.
 */
#include "nn/classifier.h"

#include "base/fail.h"
#include "nn/linear.h"

enum { SCORE };

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    (void)index;
    if (params) {
        dn_layer_name(&params[SCORE], spec, DN_NO_BLOCK, DN_CLASSIFIER_NAME, "weight");
        dn_layer_param(&params[SCORE], DN_PARAM_HEAD, spec->classes, spec->C, DN_TP_NONE, 1);
    }
    return SCORE + 1 + dn_norm_describe(spec, params, SCORE + 1, DN_NO_BLOCK, spec->names->norm);
}

/* A pass over the labelled rows alone. */
static dn_pass labelled_rows(const dn_pass *pass, const dn_classifier_kept *k)
{
    dn_pass rows = *pass;
    rows.room = pass->room / pass->spec->T;
    rows.B = pass->n_labels;
    rows.T = 1;
    rows.x = k->x;
    return rows;
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    dn_classifier_kept *k = memory;
    (void)shared;
    const dn_pass rows = labelled_rows(pass, k);
    dn_norm_lay(&rows, &k->norm, SCORE + 1, own);
    k->x = dn_layer_take(own, rows.room * pass->spec->C);
    k->scores = dn_layer_take(own, rows.room * pass->spec->classes);
}

/* Of one position in a sequence. */
static double flops(const dn_spec *spec)
{
    return 6 * (double)spec->classes * (double)spec->C / (double)spec->T;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    dn_classifier_kept *k = layer->kept;
    dn_stream *s = pass->stream;
    const dn_weight *w = dn_layer_weight(pass, layer, SCORE);
    size_t n = pass->n_labels, C = pass->spec->C;
    dn_pass rows = labelled_rows(pass, k);

    s->kernels->take_rows(s, k->x, pass->x, pass->labelled, n, C, 1);
    const dn_buf *y = dn_norm_forward(&rows, layer, &k->norm, k->x); /* [n,C] */
    dn_linear_forward(s, k->scores, y, w, n);                        /* [n,classes] */
    if (pass->goal == DN_GOAL_NEXT)
        return DN_OK;
    double scale = pass->goal == DN_GOAL_TRAIN ? pass->scale : 0;
    s->kernels->cross_entropy(s, &pass->loss, k->scores, pass->targets, n, pass->spec->classes, scale);
    DN_TRY(dn_pass_progress(pass, false));
    if (scale == 0)
        return DN_OK;
    dn_linear_backward(s, pass->dy, k->scores, y, w, n); /* dy [n,C] */
    s->kernels->fill(s, k->x, n * C, 0);
    dn_norm_backward(&rows, layer, &k->norm);
    s->kernels->fill(s, pass->x, pass->B * pass->T * C, 0);
    s->kernels->add_rows(s, pass->x, pass->labelled, 1, NULL, k->x, n, C); /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_classifier = {
    .describe = describe, .lay = lay, .kept_bytes = sizeof(dn_classifier_kept), .flops = flops, .forward = forward};
