/* Waiting for a device, which no other rank can do. */
#include "device/device.h"

#include "base/clock.h"
#include "shm/world.h"

#include <time.h>

/* Of the world's deadline: the rank that knows what it waits for reports it before its peers find that it
 * makes no progress. */
#define SHARE 0.8
/* Without a world. */
#define ALONE_S 600.0
/* A longer time between two looks, and this process was not running. */
#define LONGEST_STEP_S 0.2
#define LONGEST_NAP_NS 1000000

static _Thread_local struct {
    dn_world *world; /* NULL: none */
    int rank;
} here;

void dn_device_attach(dn_world *world, int rank)
{
    here.world = world;
    here.rank = rank;
}

dn_status dn_device_wait(dn_awaited (*look)(void *context), void *context)
{
    const double deadline_s = here.world ? SHARE * dn_world_deadline_s(here.world) : ALONE_S;
    double looked_s = dn_clock_s(), idle_s = 0;
    long nap_ns = 20000;
    dn_awaited seen;
    while ((seen = look(context)) != DN_AWAITED_DONE) {
        double now_s = dn_clock_s(), step_s = now_s - looked_s;
        looked_s = now_s;
        idle_s += step_s < LONGEST_STEP_S ? step_s : LONGEST_STEP_S;
        if (seen == DN_AWAITED_MOVES) {
            idle_s = 0;
            if (here.world)
                dn_world_touch(here.world, here.rank);
        }
        if (here.world && dn_world_failed(here.world))
            return dn_world_check(here.world);
        if (idle_s > deadline_s)
            return DN_ERR_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = nap_ns}, NULL);
        nap_ns = 2 * nap_ns < LONGEST_NAP_NS ? 2 * nap_ns : LONGEST_NAP_NS;
    }
    return DN_OK;
}
