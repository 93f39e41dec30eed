/* What a configuration says of clients. */
#include "train/clients.h"

#include "base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "a,b,c": each to `read`. */
static dn_status read_list(const char *text, const char *key, dn_status (*read)(const char *one, const char *key, dn_client_plan *plan),
                           dn_client_plan *plan)
{
    char copy[DN_KEY_TEXT_MAX];
    snprintf(copy, sizeof copy, "%s", text);
    if (*text && strspn(text, ", ") == strlen(text))
        return dn_fail(DN_ERR_CONFIG, "%s: '%.40s' names none", key, text);
    for (char *rest, *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        DN_TRY(read(one + strspn(one, " "), key, plan));
    return DN_OK;
}

static dn_status read_speed(const char *one, const char *key, dn_client_plan *plan)
{
    char *end;
    double speed = strtod(one, &end);
    if (plan->n_speeds == DN_CLIENT_KINDS_MAX || end == one || *end || !(speed >= 1e-6 && speed <= 1e15))
        return dn_fail(DN_ERR_CONFIG, "%s: '%.40s': give up to %d positive numbers of tokens a second, as 2000,500", key, one,
                       DN_CLIENT_KINDS_MAX);
    plan->speeds[plan->n_speeds++] = speed;
    return DN_OK;
}

static dn_status read_link(const char *one, const char *key, dn_client_plan *plan)
{
    if (plan->n_links == DN_CLIENT_KINDS_MAX)
        return dn_fail(DN_ERR_CONFIG, "%s: more than %d links", key, DN_CLIENT_KINDS_MAX);
    return dn_link_parse(one, key, &plan->links[plan->n_links++]);
}

static dn_status read_clock(dn_plan *plan)
{
    static const char replay[] = "replay:";
    const dn_config *c = &plan->config;
    dn_client_plan *p = &plan->clients;
    bool of_log = strncmp(c->clock, replay, strlen(replay)) == 0 && c->clock[strlen(replay)];
    p->clock = of_log ? DN_CLOCK_REPLAY : strcmp(c->clock, "real") == 0 ? DN_CLOCK_REAL : DN_CLOCK_VIRTUAL;
    if (p->clock == DN_CLOCK_VIRTUAL && strcmp(c->clock, "virtual") != 0)
        return dn_fail(DN_ERR_CONFIG, "clock: '%.100s' is none of virtual, real and replay:FILE", c->clock);
    if (p->clock != DN_CLOCK_VIRTUAL && (*c->client_speeds || *c->client_links))
        return dn_fail(DN_ERR_CONFIG, "clock %s: client_speeds and client_links are of virtual time: leave them out", c->clock);
    if (p->clock == DN_CLOCK_REAL && p->n_out > plan->n_workers)
        return dn_fail(DN_ERR_CONFIG, "clock real: %d clients train at a time, each on a worker, of which there are %d: lower client_fraction, or "
                       "take more workers", p->n_out, plan->n_workers);
    if (of_log)
        strcpy(p->log, c->clock + strlen(replay));
    return DN_OK;
}

dn_status dn_clients_check_strategy(const dn_config *config, const dn_strategy *strategy)
{
    if (!strategy->clients && config->clients)
        return dn_fail(DN_ERR_CONFIG, "clients %lld: strategy %s has none; choose one of clients, as fedavg, or leave clients out",
                       (long long)config->clients, strategy->name);
    if (strategy->clients && !config->clients)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: say how many clients there are, as clients 8", strategy->name);
    return DN_OK;
}

dn_status dn_clients_plan(dn_plan *plan)
{
    const dn_config *c = &plan->config;
    const dn_client_rules *rules = plan->strategy->clients;
    dn_client_plan *p = &plan->clients;
    DN_TRY(dn_clients_check_strategy(c, plan->strategy));
    if (!rules)
        return DN_OK;
    p->n = (int)c->clients;
    p->n_out = rules->out(&plan->strategy_config, p->n);
    p->quorum = dn_client_quorum(rules, &plan->strategy_config, p->n);
    if (p->quorum > p->n_out)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: the server would wait for %d clients while %d train at a time: raise "
                       "client_fraction", plan->strategy->name, p->quorum, p->n_out);
    p->local_steps = (uint64_t)c->local_steps;
    DN_TRY(dn_partition_parse(c->partition, "partition", &p->partition));
    DN_TRY(read_clock(plan));
    DN_TRY(read_list(*c->client_speeds ? c->client_speeds : "1000", "client_speeds", read_speed, p));
    return read_list(c->client_links, "client_links", read_link, p);
}

dn_status dn_clients_check_mesh(const dn_plan *plan)
{
    if (!plan->strategy->clients || plan->n_workers == plan->mesh[DN_DP])
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "strategy %s: each worker trains whole models: leave out fs_size and tp_size", plan->strategy->name);
}
