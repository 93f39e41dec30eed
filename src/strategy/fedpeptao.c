/* FedPepTAO (Che et al., arXiv 2310.15080): in rounds, as fedavg; then the server makes a step with a momentum v that is corrected by
 * control variates: c_i of each client, c of all. Of round r, with m the mean of the clients' w_i by their rows n_i, w what they set out
 * from, K_i their steps at rate lr, and rho the part of the clients that trains:
 *
 *     c_i = c_i - c + (w - w_i) / (K_i lr);   c = c + rho sum K_i (change of c_i) / sum K_i
 *     v = 0.9 v + 0.1 D + c - sum n_i c_i / sum n_i;   w = m - eta v,   eta = max(0.99^r server_lr, 0.0001)
 *
 * Round 0 only makes the mean, and c. Where the c of all is subtracted, it is that before the round. Of the authors' code, which was
 * read and not the text, D is by how much the mean changed less in this round than in the one before it, (w - m) of that round minus
 * (w - m) of this one (`server_gradient: difference`); by default it is w - m. This project's choices: that default, and that
 * clients' rules begin anew. With server_lr 0 it is fedavg, bit for bit. The prompts that its clients tune, and
 * which blocks get them, are `dionode finetune`'s (train/prompt_layers.h).
 */
#include "strategy/strategy.h"

#include <math.h>

enum { FRACTION, SERVER_LR, GRADIENT };
enum { OF_DELTA, OF_DIFFERENCE };
enum { CONTROL, MOMENTUM, LAST };     /* states */
enum { OF_CHANGES, OF_CONTROLS };     /* sums: of K_i (change of c_i), of n_i c_i */

static const dn_key server_lr = DN_STRATEGY_REAL("server_lr", 0, 1e6, "rate of the server's step behind the mean; it falls by 1 % a round");
static const dn_key server_gradient =
    DN_STRATEGY_ENUM("server_gradient", "delta|difference", "what that step follows: by how much the mean has changed, or by how much less than in the round before");

static int out(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[FRACTION].real, n_clients);
}

static void received(const dn_client_context *c, const dn_client_numbers *x)
{
    const dn_kernels *k = c->stream->kernels;
    double steps = (double)c->n_steps;
    if (c->lr > 0) { /* else nothing was trained, and nothing is known */
        const struct {
            dn_buf *to;
            double factor;
        } changes[] = {{x->client, 1}, {x->sums[OF_CHANGES], steps}};
        for (size_t i = 0; i < 2; i++) {
            double by = changes[i].factor / (steps * c->lr);
            k->axpby(c->stream, changes[i].to, -changes[i].factor, x->states[CONTROL], 1, x->n);
            k->axpby(c->stream, changes[i].to, by, x->version, 1, x->n);
            k->axpby(c->stream, changes[i].to, -by, x->sent, 1, x->n);
        }
    }
    k->axpby(c->stream, x->sums[OF_CONTROLS], (double)c->n_rows, x->client, 1, x->n);
}

static void serve(const dn_client_context *c, const dn_client_numbers *x)
{
    const dn_kernels *k = c->stream->kernels;
    dn_buf *control = x->states[CONTROL], *v = x->states[MOMENTUM], *last = x->states[LAST], *m = x->weight;
    double initial = c->config->options[SERVER_LR].real, lr = fmax(initial * pow(0.99, (double)c->step), fmin(initial, 1e-4));
    bool difference = c->config->options[GRADIENT].choice == OF_DIFFERENCE;

    k->axpby(c->stream, control, c->share_out / (double)c->n_steps, x->sums[OF_CHANGES], 1, x->n);
    if (c->step > 0) {
        double of_delta = difference ? -0.1 : 0.1;
        k->scale(c->stream, v, 0.9, v, x->n);
        if (difference)
            k->axpby(c->stream, v, 0.1, last, 1, x->n);
        k->axpby(c->stream, v, of_delta, x->version, 1, x->n);
        k->axpby(c->stream, v, -of_delta, m, 1, x->n);
        k->axpby(c->stream, v, 1, control, 1, x->n);
        k->axpby(c->stream, v, -1 / (double)c->n_rows, x->sums[OF_CONTROLS], 1, x->n);
    }
    k->copy(c->stream, last, x->version, x->n);
    k->axpby(c->stream, last, -1, m, 1, x->n);
    if (c->step > 0 && lr > 0)
        k->axpby(c->stream, m, -lr, v, 1, x->n);
}

static const dn_client_rules rules = {
    .out = out,
    .received = received,
    .serve = serve,
    .states = {[CONTROL] = "fedpeptao.control", [MOMENTUM] = "fedpeptao.momentum", [LAST] = "fedpeptao.last"},
    .client_state = "fedpeptao.control.client",
    .n_sums = 2,
};

const dn_strategy dn_strategy_fedpeptao = {
    .name = "fedpeptao",
    .help = "of clients: fedavg and a step of the server, with momentum and control variates",
    .family = DN_OF_CLIENTS,
    .lossless = "server_lr=0",
    .options = {[FRACTION] = {&dn_option_client_fraction, "0.1"},
                [SERVER_LR] = {&server_lr, "0.05"},
                [GRADIENT] = {&server_gradient, "delta"}},
    .clients = &rules,
};
