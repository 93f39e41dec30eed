/* A ticket's training on one worker, which no other waits for, step by step. */
#include "train/clients_internal.h"

#include "base/fail.h"
#include "compute/kernels.h"

#include <math.h>

dn_status dn_client_training_begin(dn_clients *k, const dn_ticket *ticket)
{
    dn_stream *s = k->instance->stream;
    k->training = (dn_client_training){.ticket = *ticket, .finite = true};
    dn_client_version_load(&k->store, ticket->version, k->start);
    s->kernels->copy(s, k->instance->values, k->start, k->n);
    return dn_optimizer_reset(k->instance->optimizer);
}

/* What the server gets is made of the weights. */
static void upload(dn_clients *k, const dn_client_context *c)
{
    for (size_t i = 0; i < k->plan->n_trained && k->rules->upload; i++) {
        const dn_param *p = &k->instance->trained[i];
        size_t at = (size_t)((const char *)p->weight - (const char *)k->instance->values) / sizeof(dn_real);
        const dn_client_numbers one = {
            .param = p, .n = dn_param_size(p), .weight = p->weight, .version = dn_at(k->start, at), .grad = p->grad};
        k->rules->upload(c, &one);
    }
}

static dn_status make_step(dn_clients *k, const dn_client_context *c)
{
    dn_client_training *t = &k->training;
    const dn_client_numbers all = {.n = k->n, .weight = k->instance->values, .version = k->start, .grad = k->instance->grads};
    const dn_step_params rates = k->work.rates(k->work.context, t->ticket.version),
                         params = {.step = t->n_done, .lr = rates.lr, .decay = rates.decay};
    uint64_t batch = (uint64_t)k->plan->config.batch_size, first = (t->ticket.before * c->n_steps + t->n_done) * batch;
    double loss;
    size_t n;
    dn_step_report report;
    DN_TRY(k->work.gradient(k->work.context, t->ticket.client, first, batch, &loss, &n));
    t->n_done++;
    t->loss += loss;
    t->counted += (double)n;
    t->finite = isfinite(loss);
    if (!t->finite || n == 0)
        return DN_OK;
    if (k->rules->local)
        k->rules->local(c, &all);
    dn_status status = dn_optimizer_step(k->instance->optimizer, &params, &report);
    t->finite = status == DN_OK && !report.skipped;
    return status == DN_ERR_NUMERIC ? DN_OK : status;
}

dn_status dn_client_training_step(dn_clients *k, bool *over, double *loss)
{
    const dn_client_training *t = &k->training;
    const dn_client_context c = dn_clients_context_of(k, &t->ticket);
    dn_stream *s = k->instance->stream;
    double squares;
    *loss = NAN;
    DN_TRY(make_step(k, &c));
    *over = t->n_done == c.n_steps || !t->finite;
    if (!*over || !t->finite)
        return DN_OK;
    upload(k, &c);
    s->kernels->sum_squares(s, &squares, k->instance->values, k->n);
    DN_TRY(dn_stream_sync(s));
    if (isfinite(squares))
        *loss = t->loss;
    return DN_OK;
}
