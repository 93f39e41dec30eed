#include "dionode/comm.h"

#include "base/fail.h"
#include "comm/internal.h"
#include "dionode/descriptors.h"
#include "dionode/topo.h"
#include "launch/peer_monitor.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- who is this process ---- */

/* What launchers call the three numbers: torchrun and ours, Open MPI. */
static const char *const rank_names[] = {"RANK", "OMPI_COMM_WORLD_RANK"};
static const char *const size_names[] = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"};
static const char *const local_rank_names[] = {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"};
static const char *const local_size_names[] = {"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"};

/* The first of two variables that is set; `missing` if none is. Fails unless it is a number below
 * DN_MAX_RANKS
 * + 1. */
static dn_status read_number(const char *const names[2], int missing, int *out)
{
    const char *name = getenv(names[0]) ? names[0] : names[1];
    const char *text = getenv(name);
    *out = missing;
    if (!text)
        return DN_OK;
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > DN_MAX_RANKS)
        return dn_fail(DN_ERR_CONFIG, "%s='%s' in the environment is not a number from 0 to %d", name, text,
                       DN_MAX_RANKS);
    *out = (int)value;
    return DN_OK;
}

typedef struct seat {
    int rank, size; /* rank -1: no launcher at all */
    int local_rank; /* 0: the one that makes a world where no launcher did */
} seat;

static dn_status read_seat(seat *s)
{
    int local_size;
    DN_TRY(read_number(rank_names, -1, &s->rank));
    DN_TRY(read_number(size_names, -1, &s->size));
    DN_TRY(read_number(local_rank_names, s->rank, &s->local_rank));
    DN_TRY(read_number(local_size_names, s->size, &local_size));
    if (s->rank < 0 && s->size < 0)
        return DN_OK;
    if (s->rank < 0 || s->rank >= s->size)
        return dn_fail(DN_ERR_CONFIG, "the environment says rank %d of %d: set RANK and WORLD_SIZE", s->rank,
                       s->size);
    if (local_size != s->size)
        return dn_fail(DN_ERR_CONFIG,
                       "%d of the %d ranks are on this node: all must be, shared memory reaches no further",
                       local_size, s->size);
    if (s->local_rank >= s->size)
        return dn_fail(DN_ERR_CONFIG, "the environment says local rank %d of %d: set LOCAL_RANK",
                       s->local_rank, s->size);
    return DN_OK;
}

#define DIGITS "0123456789"

/* What all ranks of a run have in common, and other runs of this moment have not: torchrun's port, mpirun's
 * number of the job, or, where neither is told, the process that started them all. */
static void make_id(char *id, size_t bytes)
{
    static const char *const names[] = {"MASTER_PORT", "PMIX_NAMESPACE"};
    static const char *const words[] = {"port", "job"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text && *text && strspn(text, DIGITS) == strlen(text)) {
            snprintf(id, bytes, "%s%.20s", words[i], text);
            return;
        }
    }
    snprintf(id, bytes, "parent%d", (int)getppid());
}

/* ---- joining ---- */

/* Tells everybody that this rank failed, and why. */
static void publish(dn_world *world, int rank, dn_status status)
{
    dn_failure failure = {.status = status, .rank = rank, .step = dn_world_step(world, rank)};
    /* The bound keeps the compiler sure that the line fits. */
    snprintf(failure.message, sizeof failure.message, "worker %d: %.*s", rank, DN_MESSAGE_MAX - 32,
             dn_error_message());
    dn_world_abort(world, &failure);
}

/* Where this process runs: at its place of the plan of all local ranks, unless its launcher has bound it
 * already, which it then did on purpose. */
static dn_status take_place(const seat *s, dn_rendezvous *rendezvous)
{
    dn_topo *topo;
    DN_TRY(dn_topo_create(s->size, &topo));
    const dn_machine *machine = dn_topo_machine(topo);
    if (machine->this_system && !machine->bound)
        dn_topo_bind(topo, s->local_rank);
    int numa = dn_topo_numa_here(topo);
    rendezvous->domain = numa < 0 ? 0 : numa;
    rendezvous->n_usable_pus = machine->n_allowed;
    dn_topo_destroy(&topo);
    malloc_trim(0); /* the description of a large machine was up to a MiB, in every rank */
    return DN_OK;
}

static dn_status rendezvous_others(const seat *s, size_t heap_bytes, double deadline_s, dn_world **world)
{
    char id[32];
    dn_rendezvous rendezvous = {.id = id,
                                .host = s->local_rank == 0,
                                .rank = s->rank,
                                .n_ranks = s->size,
                                .arena_bytes = heap_bytes,
                                .deadline_s = deadline_s};
    make_id(id, sizeof id);
    DN_TRY(take_place(s, &rendezvous));
    return dn_world_rendezvous(&rendezvous, world);
}

/* Who cannot reach the world cannot tell the launcher why: the line must name the worker by itself. */
static dn_status attach(const seat *s, dn_world **world)
{
    dn_status status = dn_world_attach(s->rank, world);
    if (status != DN_OK)
        return dn_fail(status, "worker %d cannot join the others: %s", s->rank, dn_error_message());
    return status;
}

static dn_status settle(dn_comm *comm, size_t heap_bytes)
{
    size_t room = dn_world_arena_bytes(comm->world);
    if (room < heap_bytes)
        return dn_fail(DN_ERR_MEMORY,
                       "rank %d needs a heap of %.1f MiB, and the launcher gives %.1f MiB: launch with "
                       "--arena %zuM",
                       comm->rank, (double)heap_bytes / (1 << 20), (double)room / (1 << 20),
                       (heap_bytes + (1 << 20) - 1) >> 20);
    if (heap_bytes > 0) /* what is not asked for is not touched */
        comm->heap.capacity = room = (heap_bytes + DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
    DN_TRY(dn_world_populate(comm->world, comm->rank, room));
    return dn_world_inherited() ? DN_OK : dn_peer_monitor_start(comm->world, comm->rank, &comm->peers);
}

static void do_nothing(int signal)
{
    (void)signal;
}

/* The launcher hears these and passes them on. A batch system sends them to every process of a job: here they
 * do nothing. A handler rather than SIG_IGN, as what this process executes starts with the default again. */
static void leave_signals_to_the_launcher(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        action = (struct sigaction){.sa_handler = do_nothing, .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, NULL);
    }
}

dn_status dn_comm_join(size_t heap_bytes, double deadline_s, dn_comm **out)
{
    seat s;
    dn_world *world;
    *out = NULL;
    if (!(deadline_s > 0))
        return dn_fail(DN_ERR_ARG, "joining with a deadline of %g s (> 0)", deadline_s);
    DN_TRY(dn_descriptors_occupy());
    /* Executed as /proc/self/exe, the process would show as "exe" in top. */
    prctl(PR_SET_NAME, program_invocation_short_name);
    DN_TRY(read_seat(&s));
    if (s.rank < 0 && !dn_world_inherited())
        return dn_comm_create_alone(heap_bytes, out);
    DN_TRY(dn_world_inherited() ? attach(&s, &world) : rendezvous_others(&s, heap_bytes, deadline_s, &world));
    if (dn_world_inherited())
        leave_signals_to_the_launcher();
    dn_status status = dn_comm_create(world, s.rank, out);
    if (status != DN_OK) {
        publish(world, s.rank, status);
        dn_world_destroy(&world);
        return status;
    }
    (*out)->joined = true;
    return settle(*out, heap_bytes);
}

/* ---- leaving ---- */

int dn_comm_leave(dn_comm **comm, dn_status status)
{
    dn_world *world = *comm && (*comm)->joined ? (*comm)->world : NULL;
    if (status != DN_OK && world)
        publish(world, (*comm)->rank, status);
    if (status != DN_OK && !(world && dn_world_inherited()))
        dn_log(DN_LOG_WARNING, "%s", dn_error_message());
    if (world)
        dn_world_leave(world, (*comm)->rank);
    if (*comm)
        dn_peer_monitor_stop(&(*comm)->peers);
    dn_comm_destroy(comm);
    dn_world_destroy(&world);
    return dn_status_exit(status);
}

int dn_comm_stop_requested(const dn_comm *comm)
{
    return comm->world ? dn_world_stop_requested(comm->world) : 0;
}

uint32_t dn_comm_saves_requested(const dn_comm *comm)
{
    return comm->world ? dn_world_saves_requested(comm->world) : 0;
}

void dn_comm_report_saved(dn_comm *comm, uint64_t step)
{
    if (comm->world)
        dn_world_report_saved(comm->world, step);
}
