#include "launch/environment.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The plan's, but no more than this machine has PUs: the plan may be of a synthetic one. */
static int n_threads(const dn_topo *topo, int rank)
{
    int planned = dn_topo_place(topo, rank)->n_threads;
    int here = dn_topo_machine(topo)->n_here / dn_topo_n_workers(topo);
    int n = here < planned ? here : planned;
    return n > 1 ? n : 1;
}

dn_status dn_environment_make(const dn_topo *topo, int rank, int restart, dn_world *world,
                              dn_environment *out)
{
    const size_t bytes = sizeof out->text[0];
    int n_added = 0, n_workers = dn_topo_n_workers(topo);
    snprintf(out->text[n_added++], bytes, "RANK=%d", rank);
    snprintf(out->text[n_added++], bytes, "LOCAL_RANK=%d", rank);
    snprintf(out->text[n_added++], bytes, "WORLD_SIZE=%d", n_workers);
    snprintf(out->text[n_added++], bytes, "LOCAL_WORLD_SIZE=%d", n_workers);
    snprintf(out->text[n_added++], bytes, "DIONODE_RESTART=%d", restart);
    snprintf(out->text[n_added++], bytes, "OMP_NUM_THREADS=%d", n_threads(topo, rank));
    dn_world_export(world, out->text[n_added++], bytes);

    size_t n_inherited = 0, n = 0;
    while (environ && environ[n_inherited])
        n_inherited++;
    out->entries = calloc(n_inherited + (size_t)n_added + 1, sizeof *out->entries);
    if (!out->entries)
        return dn_fail(DN_ERR_MEMORY, "no memory for the environment of a worker");
    for (size_t i = 0; i < n_inherited; i++) {
        bool replaced = false;
        for (int k = 0; k < n_added; k++)
            replaced |= strncmp(environ[i], out->text[k], strcspn(out->text[k], "=") + 1) == 0;
        if (!replaced)
            out->entries[n++] = environ[i];
    }
    for (int k = 0; k < n_added; k++)
        out->entries[n++] = out->text[k];
    return DN_OK;
}

void dn_environment_free(dn_environment *environment)
{
    free(environment->entries);
    environment->entries = NULL;
}

bool dn_environment_of_srun(void)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    return tasks && atoi(tasks) > 1 && getenv("PMIX_RANK") && !getenv("OMPI_COMM_WORLD_SIZE");
}
