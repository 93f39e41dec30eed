#include "train/exchange.h"

#include "base/fail.h"

/* The table: flops a byte. docs/measured/speed.md says what is measured of it. */
#define SHARED_MEMORY 15.0
/* An emulated link: DN_EXCHANGE_FLOPS by its bandwidth. */

#define DEAR 1.01 /* a step with factors, of one with gradients */

static const dn_link shared_memory = {.bytes_per_s = DN_EXCHANGE_FLOPS / SHARED_MEMORY};

double dn_exchange_link_s(const dn_link *link, double hops, double bytes)
{
    return dn_link_s(link->bytes_per_s > 0 ? link : &shared_memory, hops, bytes);
}

static double step_s(double pass_flops, const dn_optimizer_cost *cost, const dn_link *link)
{
    double rate = DN_EXCHANGE_FLOPS * sizeof(float) / sizeof(dn_real); /* double weighs as float does */
    return (pass_flops + cost->flops) / rate + dn_link_s(&shared_memory, 0, cost->bytes) +
           dn_exchange_link_s(link, cost->hops_dp, cost->bytes_dp);
}

bool dn_exchange_takes_factors(const dn_exchange_choice *choice)
{
    return choice->factors_s <= DEAR * choice->gradients_s;
}

dn_status dn_exchange_predict(const dn_optim_config *config, const dn_param *trained, size_t n_trained,
                              const int size[DN_N_AXES], double pass_flops, const dn_link *link,
                              dn_exchange_choice *out)
{
    dn_optim_config c = *config;
    dn_optimizer_cost factors, gradients;
    c.compress = DN_COMPRESS_YES;
    DN_TRY(dn_optimizer_predict(&c, trained, n_trained, size, &factors));
    c.compress = DN_COMPRESS_NO;
    DN_TRY(dn_optimizer_predict(&c, trained, n_trained, size, &gradients));
    out->factors_s = step_s(pass_flops, &factors, link);
    out->gradients_s = step_s(pass_flops, &gradients, link);
    return DN_OK;
}
