#include "comm/worker.h"

#include "base/fail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* The number in an environment variable that the launcher sets. */
static dn_status read_rank(int *rank)
{
    const char *text = getenv("RANK");
    char *end;
    long value = text ? strtol(text, &end, 10) : -1;
    if (!text || end == text || *end || value < 0 || value >= DN_MAX_RANKS)
        return dn_fail(DN_ERR_SYSTEM, "RANK=%s in the environment is not a rank", text ? text : "");
    *rank = (int)value;
    return DN_OK;
}

dn_status dn_worker_begin(dn_world **world, dn_comm **comm)
{
    int rank = -1;
    *world = NULL;
    *comm = NULL;
    /* Executed as /proc/self/exe, the process would show as "exe" in top. */
    prctl(PR_SET_NAME, program_invocation_short_name);
    DN_TRY(read_rank(&rank));
    DN_TRY(dn_world_attach(rank, world));
    DN_TRY(dn_world_populate(*world, rank));
    return dn_comm_create(*world, rank, comm);
}

static void publish(dn_world *world, dn_status status)
{
    int rank = -1;
    dn_failure failure = {.status = status};
    if (read_rank(&rank) == DN_OK)
        failure.step = dn_world_step(world, rank);
    failure.rank = rank;
    /* The bound keeps the compiler sure that the line fits. */
    snprintf(failure.message, sizeof failure.message, "worker %d: %.*s", rank, DN_MESSAGE_MAX - 32,
             dn_error_message());
    dn_world_abort(world, &failure);
}

int dn_worker_end(dn_world **world, dn_comm **comm, dn_status status)
{
    if (status != DN_OK && *world)
        publish(*world, status);
    else if (status != DN_OK)
        dn_log(DN_LOG_WARNING, "a worker could not join: %s", dn_error_message());
    dn_comm_destroy(comm);
    dn_world_destroy(world);
    return dn_status_exit(status);
}
