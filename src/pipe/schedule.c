#include "pipe/schedule.h"

#include "base/size.h"

dn_pipe_op dn_pipe_schedule(size_t n_stages, size_t stage, size_t n_micro_batches, size_t i)
{
    size_t warm = dn_min(n_stages - 1 - stage, n_micro_batches), last = 2 * n_micro_batches - warm;
    if (i < warm)
        return (dn_pipe_op){false, i};
    if (i >= last)
        return (dn_pipe_op){true, i - n_micro_batches};
    size_t pair = (i - warm) / 2;
    bool backward = (i - warm) % 2;
    return (dn_pipe_op){backward, backward ? pair : warm + pair};
}

size_t dn_pipe_in_flight(size_t n_stages, size_t stage, size_t n_micro_batches)
{
    return dn_max(1, dn_min(n_stages - stage, n_micro_batches));
}

size_t dn_pipe_staleness(size_t n_stages, size_t stage, size_t n_micro_batches, size_t i)
{
    size_t ahead = n_stages - 1 - stage;
    return i < ahead ? (ahead - i + n_micro_batches - 1) / n_micro_batches : 0;
}
