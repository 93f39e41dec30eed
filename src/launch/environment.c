#include "launch/environment.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Threads of one worker: the plan's; of an imagined machine's plan no more than the real one runs. */
static int n_threads(const dn_topo *topo, int rank)
{
    int planned = dn_topo_place(topo, rank)->n_threads;
    int here = dn_topo_machine(topo)->n_here / dn_topo_n_workers(topo);
    int n = here < planned ? here : planned;
    return n > 1 ? n : 1;
}

/* Fills text with the added entries; returns how many. */
static int write_added(const dn_topo *topo, int rank, int restart, dn_world *world, dn_environment *e)
{
    const size_t bytes = sizeof e->text[0];
    int n = 0, n_workers = dn_topo_n_workers(topo);
    snprintf(e->text[n++], bytes, "RANK=%d", rank);
    snprintf(e->text[n++], bytes, "LOCAL_RANK=%d", rank);
    snprintf(e->text[n++], bytes, "WORLD_SIZE=%d", n_workers);
    snprintf(e->text[n++], bytes, "LOCAL_WORLD_SIZE=%d", n_workers);
    snprintf(e->text[n++], bytes, "DIONODE_RESTART=%d", restart);
    snprintf(e->text[n++], bytes, "OMP_NUM_THREADS=%d", n_threads(topo, rank));
    dn_world_export(world, e->text[n++], bytes);
    return n;
}

/* Whether an entry has the name (up to and with '=') of one of the added ones. */
static bool is_replaced(const char *entry, const dn_environment *e, int n_added)
{
    for (int i = 0; i < n_added; i++)
        if (strncmp(entry, e->text[i], strcspn(e->text[i], "=") + 1) == 0)
            return true;
    return false;
}

dn_status dn_environment_make(const dn_topo *topo, int rank, int restart, dn_world *world,
                              dn_environment *out)
{
    int n_added = write_added(topo, rank, restart, world, out);
    size_t n_inherited = 0, n = 0;
    while (environ && environ[n_inherited])
        n_inherited++;
    out->entries = calloc(n_inherited + (size_t)n_added + 1, sizeof *out->entries);
    if (!out->entries)
        return dn_fail(DN_ERR_MEMORY, "no memory for the environment of a worker");
    for (size_t i = 0; i < n_inherited; i++)
        if (!is_replaced(environ[i], out, n_added))
            out->entries[n++] = environ[i];
    for (int i = 0; i < n_added; i++)
        out->entries[n++] = out->text[i];
    return DN_OK;
}

void dn_environment_free(dn_environment *environment)
{
    free(environment->entries);
    environment->entries = NULL;
}
