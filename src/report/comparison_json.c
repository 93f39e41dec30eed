#include "report/comparison.h"

#include "report/json_file.h"

#include <jansson.h>
#include <math.h>

/* JSON knows neither NaN nor infinity: null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *spread(dn_spread s)
{
    return json_pack("{s:o, s:o}", "mean", number(s.mean), "deviation", number(s.deviation));
}

static json_t *trial(const dn_trial *t)
{
    static const char *const ends[] = {"open", "done", "diverged",
                                       "failed"}; /* in the order of dn_trial_end */
    double loss = t->record.n ? t->record.steps[t->record.n - 1].val_loss : NAN;
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:o}", "seed", (json_int_t)t->seed, "dir", t->dir, "end",
                     ends[t->end], "message", t->message, "steps", (json_int_t)t->record.n, "val_loss",
                     number(loss));
}

static json_t *learning_rates(const dn_contender *c, size_t n_seeds)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->n_lrs; i++) {
        json_t *runs = json_array();
        for (size_t k = 0; runs && k < n_seeds; k++)
            json_array_append_new(runs, trial(&c->trials[i * n_seeds + k]));
        json_array_append_new(array, json_pack("{s:f, s:o, s:o, s:o}", "lr", c->trials[i * n_seeds].lr, "outer_lr", number(c->trials[i * n_seeds].outer_lr), "val_loss",
                                               spread(dn_contender_loss(c, i, n_seeds)), "runs", runs));
    }
    return array;
}

/* Of replicas. */
static void add_exchange(json_t *best, const dn_contender *c)
{
    json_t *links = json_object();
    for (int link = 0; link < DN_N_LINKS; link++)
        json_object_set_new(links, dn_links[link].name, number(c->link_s[link]));
    json_object_set_new(best, "hops_dp", number(c->hops));
    json_object_set_new(best, "cluster_bytes_dp", number(c->cluster_bytes));
    json_object_set_new(best, "link_s", links);
}

static void add_clients(json_t *best, const dn_contender *c)
{
    json_object_set_new(best, "client_bytes_down", number(c->client_bytes_down));
    json_object_set_new(best, "client_bytes_up", number(c->client_bytes_up));
    json_object_set_new(best, "virtual_s", number(c->virtual_s));
    json_object_set_new(best, "reached_s", number(c->reached_s));
}

static json_t *contender(const dn_contender *c, size_t n_seeds, bool clients)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:I, s:o}", "strategy", c->strategy, "settings", c->settings, "optimizer", c->optimizer, "rank",
                               c->rank > 0 ? json_real(c->rank) : json_null(), "steps", (json_int_t)c->n_steps, "learning_rates",
                               learning_rates(c, n_seeds));
    json_t *best = json_null();
    if (c->best < c->n_lrs)
        best = json_pack("{s:f, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "lr",
                         c->trials[c->best * n_seeds].lr, "at_edge", (int)c->at_edge, "val_loss",
                         spread(c->val_loss), "step_s", number(c->step_s), "optimizer_s",
                         number(c->optimizer_s), "tokens_per_s", number(c->tokens_per_s), "bytes_dp",
                         number(c->bytes[DN_DP]), "bytes_fs", number(c->bytes[DN_FS]), "bytes_tp",
                         number(c->bytes[DN_TP]), "bytes_pp", number(c->bytes[DN_PP]), "state_bytes", number(c->state_bytes));
    if (c->best < c->n_lrs) {
        json_object_set_new(best, "outer_lr", number(c->trials[c->best * n_seeds].outer_lr));
        json_object_set_new(best, "memory_bytes", number(c->memory_bytes));
        (clients ? add_clients : add_exchange)(best, c);
        json_object_set_new(best, "reached", c->reached ? json_integer((json_int_t)c->reached) : json_null());
    }
    json_object_set_new(object, "best", best);
    return object;
}

static json_t *contenders(const dn_comparison *comparison)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < comparison->n_contenders; i++)
        json_array_append_new(array, contender(&comparison->contenders[i], comparison->n_seeds, comparison->n_clients > 0));
    return array;
}

dn_status dn_comparison_write_json(const dn_comparison *c, const char *path)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:[iiii], s:i, s:I, s:I, s:I, s:o}", "version", c->version, "command",
                  c->command, "machine", c->machine, "config", c->config, "mesh", c->mesh[DN_DP], c->mesh[DN_FS],
                  c->mesh[DN_TP], c->mesh[DN_PP], "clients", c->n_clients, "steps", (json_int_t)c->n_steps, "step_tokens", (json_int_t)c->step_tokens,
                  "seeds", (json_int_t)c->n_seeds, "contenders", contenders(c));
    return dn_json_file_write(object, 0, path);
}
