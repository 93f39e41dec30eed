#include "dionode/comm.h"

#include "base/fail.h"
#include "comm/internal.h"
#include "comm/nodes.h"
#include "dionode/descriptors.h"
#include "dionode/topo.h"
#include "launch/environment.h"
#include "launch/peer_monitor.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- rank and world size ---- */

/* torchrun and Dionode's launcher; Open MPI. */
static const char *const rank_names[] = {"RANK", "OMPI_COMM_WORLD_RANK"};
static const char *const size_names[] = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"};
static const char *const local_rank_names[] = {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"};
static const char *const local_size_names[] = {"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"};

/* The first of two variables that is set; `missing` if none is. Errors: not an integer from 0 to
 * DN_MAX_RANKS. */
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

/* Rank and world size, from the environment or, over several nodes, from the transport. */
typedef struct launch_info {
    int rank, size; /* rank -1: not launched */
    int local_rank; /* 0 creates the world unless Dionode's launcher did */
    int local_size;
    int machine_size; /* ranks that share this machine's processors */
    dn_wire *wire; /* NULL: all ranks are on this node */
} launch_info;

/* The transport of this process; opened once. */
static dn_wire *opened;

static dn_status open_wire(const char *name, double deadline_s, launch_info *info)
{
    if (dn_device_is_apart())
        return dn_fail(DN_ERR_CONFIG, "several nodes exchange host memory: use device: cpu");
    if (!opened)
        DN_TRY(dn_wire_open(name, deadline_s, &opened));
    *info = (launch_info){.rank = dn_wire_rank(opened),
                          .size = dn_wire_size(opened),
                          .local_rank = dn_wire_local_rank(opened, dn_wire_rank(opened)),
                          .local_size = dn_wire_local_size(opened),
                          .machine_size = dn_wire_machine_size(opened),
                          .wire = opened};
    return DN_OK;
}

/* DIONODE_TRANSPORT asks for one, and so do a launcher that has started ranks on several nodes, srun, whose environment does not say
 * on how many, and ranks that are told to pretend so. */
static dn_status read_launch_info(double deadline_s, launch_info *info)
{
    const char *transport = getenv("DIONODE_TRANSPORT"), *pretended = getenv("DIONODE_NODE");
    const bool by_mpi = getenv("OMPI_COMM_WORLD_SIZE") != NULL && !dn_world_inherited();
    *info = (launch_info){.rank = -1, .size = -1};
    if (transport && *transport && !dn_world_inherited())
        return open_wire(transport, deadline_s, info);
    if (opened || (by_mpi && pretended && *pretended) || (dn_environment_of_srun() && !dn_world_inherited()))
        return open_wire("mpi", deadline_s, info);
    DN_TRY(read_number(rank_names, -1, &info->rank));
    DN_TRY(read_number(size_names, -1, &info->size));
    DN_TRY(read_number(local_rank_names, info->rank, &info->local_rank));
    DN_TRY(read_number(local_size_names, info->size, &info->local_size));
    info->machine_size = info->local_size;
    if (info->rank < 0 && info->size < 0)
        return DN_OK;
    if (info->rank < 0 || info->rank >= info->size)
        return dn_fail(DN_ERR_CONFIG, "rank %d of world size %d in the environment: set RANK and WORLD_SIZE",
                       info->rank, info->size);
    if (info->local_size != info->size && by_mpi)
        return open_wire("mpi", deadline_s, info);
    if (info->local_size != info->size)
        return dn_fail(
            DN_ERR_CONFIG,
            "%d of %d ranks are on this node: all must be, as they communicate through shared memory; over several nodes "
            "start them with mpirun",
            info->local_size, info->size);
    if (info->local_rank >= info->size)
        return dn_fail(DN_ERR_CONFIG, "local rank %d of world size %d in the environment: set LOCAL_RANK",
                       info->local_rank, info->size);
    return DN_OK;
}

#define DIGITS "0123456789"

/* What the ranks of one run have in common, and no other run at the same time: torchrun's port, mpirun's job
 * number or, without these, their parent process. */
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

/* Without Dionode's launcher: this process binds itself to its place in the plan of all local ranks, unless
 * its launcher has bound it already, and finds the others by an id. */
static dn_status join_by_rendezvous(const launch_info *info, size_t heap_bytes, double deadline_s,
                                    dn_world **world)
{
    char id[64];
    dn_rendezvous rendezvous = {.id = id,
                                .host = info->local_rank == 0,
                                .rank = info->rank,
                                .n_ranks = info->size,
                                .n_here = info->local_size,
                                .arena_bytes = heap_bytes,
                                .deadline_s = deadline_s};
    make_id(id, sizeof id);
    if (info->wire)
        snprintf(id + strlen(id), sizeof id - strlen(id), "node%d", dn_wire_node(info->wire, info->rank));
    dn_topo *topo;
    DN_TRY(dn_topo_create(info->local_size, &topo));
    const dn_machine *machine = dn_topo_machine(topo);
    if (machine->this_system && !machine->bound)
        dn_topo_bind(topo, info->local_rank);
    int numa = dn_topo_numa_here(topo);
    rendezvous.domain = numa < 0 ? 0 : numa;
    rendezvous.n_usable_pus = machine->n_allowed * info->local_size / info->machine_size; /* this node's share */
    dn_topo_destroy(&topo);
    malloc_trim(0); /* the topology of a large machine takes up to 1 MiB in every rank */
    return dn_world_rendezvous(&rendezvous, world);
}

_Static_assert(DN_OBJECTION_BYTES <= DN_LINE_BYTES, "an objection travels with a barrier");

static dn_status agree(void *context, char objection[DN_OBJECTION_BYTES])
{
    dn_comm *comm = context;
    const dn_call call = {.purpose = DN_FOR_BARRIER};
    DN_TRY(dn_barrier_wait(&comm->barrier, &call, objection, DN_OBJECTION_BYTES));
    for (int rank = comm->size - 1; rank >= 0; rank--) {
        const char *theirs = dn_barrier_payload(&comm->barrier, rank);
        if (*theirs)
            memcpy(objection, theirs, DN_OBJECTION_BYTES);
    }
    return DN_OK;
}

/* The device's part of the heap: whole arenas, which the launcher has made as large as they need to be. */
static dn_status map_on_device(dn_comm *comm)
{
    const dn_device *device = dn_device_selected();
    int pids[DN_MAX_RANKS];
    bool mapped;
    if (!device->map_heap)
        return DN_OK;
    dn_world_set_pid(comm->world, comm->rank, (int)getpid());
    DN_TRY(dn_comm_barrier(comm));
    for (int rank = 0; rank < comm->size; rank++)
        pids[rank] = dn_world_pid(comm->world, rank);
    char *segment = dn_world_at(comm->world, 0), *first = dn_world_arena(comm->world, 0); /* barriers' lines carry small sums */
    size_t bytes = dn_world_arena_bytes(comm->world), all = (size_t)comm->size * bytes;
    const dn_device_heap heap = {.first = first, .bytes = bytes, .shared = segment, .shared_bytes = (size_t)(first + all - segment),
                                 .rank = comm->rank, .n = comm->size, .pids = pids, .agree = agree, .context = comm,
                                 .needed = dn_device_expected()};
    DN_TRY(device->map_heap(&heap, &mapped));
    if (mapped)
        return DN_OK;
    DN_TRY(dn_proxy_start(comm->world, comm->rank, &comm->proxy));
    comm->ops = &dn_comm_ops_staged;
    return dn_comm_barrier(comm); /* all can be asked */
}

static dn_status take_heap(dn_comm *comm, size_t heap_bytes)
{
    size_t available = dn_world_arena_bytes(comm->world), used = available;
    if (available < heap_bytes)
        return dn_fail(DN_ERR_MEMORY,
                       "rank %d needs a heap of %.1f MiB, and the launcher gives %.1f MiB: launch with "
                       "--arena %zuM",
                       comm->rank, (double)heap_bytes / (1 << 20), (double)available / (1 << 20),
                       (heap_bytes + (1 << 20) - 1) >> 20);
    if (heap_bytes > 0) /* only what is needed is backed by memory */
        comm->heap.capacity = used = (heap_bytes + DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
    DN_TRY(dn_world_populate(comm->world, comm->rank, used));
    return map_on_device(comm);
}

static void do_nothing(int signal)
{
    (void)signal;
}

static volatile pid_t launcher;

/* The kernel tells a process that its processor time (ulimit -t) is used up; the run is stopped as a whole. */
static void tell_launcher(int signal)
{
    int error = errno;
    kill(launcher, signal);
    errno = error;
}

/* The launcher receives these and forwards them. A batch system sends them to every process of a job: workers
 * ignore them, with a handler instead of SIG_IGN, which would be inherited by programs that they execute. */
static void leave_signals_to_the_launcher(const dn_world *world)
{
    launcher = dn_world_launcher(world);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        action = (struct sigaction){.sa_handler = signals[i] == SIGXCPU ? tell_launcher : do_nothing, .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, NULL);
    }
}

/* Where all ranks are: their nodes, and domains, of which those of different nodes have different numbers. */
static dn_status tell_places(const launch_info *info, dn_world *world)
{
    enum { DOMAINS = 64 }; /* of a node */
    int64_t domains[DN_MAX_RANKS];
    const int own = dn_world_domain(world, info->rank);
    DN_TRY(dn_wire_gather(info->wire, own < DOMAINS ? own : DOMAINS - 1, domains));
    for (int rank = 0; rank < info->size; rank++) {
        dn_world_set_node(world, rank, dn_wire_node(info->wire, rank));
        dn_world_set_domain(world, rank, dn_wire_node(info->wire, rank) * DOMAINS + (int)domains[rank]);
    }
    dn_wire_attach(info->wire, world);
    return DN_OK;
}

/* For handlers. Rank 0 alone answers a request to save, which a launcher sends to every rank. */
static dn_world *signalled;
static bool answers;

static void request(int signal)
{
    if (signal != SIGUSR1)
        dn_world_request_stop(signalled, signal);
    else if (answers)
        dn_world_request_save(signalled);
}

void dn_comm_take_signals(dn_comm *comm)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    if (!comm->world)
        return;
    signalled = comm->world;
    answers = comm->rank == 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        action = (struct sigaction){.sa_handler = request, .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, NULL);
    }
}

dn_status dn_comm_world_size(double deadline_s, int *size)
{
    launch_info info;
    DN_TRY(read_launch_info(deadline_s, &info));
    *size = info.rank < 0 ? 1 : info.size;
    return DN_OK;
}

dn_status dn_comm_join(size_t heap_bytes, double deadline_s, dn_comm **out)
{
    launch_info info;
    dn_world *world;
    bool launched = dn_world_inherited();
    *out = NULL;
    if (!(deadline_s > 0))
        return dn_fail(DN_ERR_ARG, "dn_comm_join: a deadline of %g s, must be > 0", deadline_s);
    DN_TRY(dn_descriptors_occupy());
    /* Executed as /proc/self/exe, the process would show as "exe" in top. */
    prctl(PR_SET_NAME, program_invocation_short_name);
    DN_TRY(read_launch_info(deadline_s, &info));
    if (info.rank < 0 && !launched)
        return dn_comm_create_alone(heap_bytes, out);
    dn_status status = launched ? dn_world_attach(info.rank, &world)
                                : join_by_rendezvous(&info, heap_bytes, deadline_s, &world);
    if (status != DN_OK) /* without the world the launcher does not learn why: the message names the worker */
        return launched
                   ? dn_fail(status, "worker %d cannot join the others: %s", info.rank, dn_error_message())
                   : status;
    if (launched)
        leave_signals_to_the_launcher(world);
    if (info.wire)
        status = tell_places(&info, world);
    if (status == DN_OK)
        status = dn_comm_create(world, info.rank, out);
    if (status == DN_OK && info.wire)
        status = dn_span_open(*out, info.wire, 0);
    if (status != DN_OK) {
        dn_comm_publish(world, info.rank, status);
        if (info.wire)
            dn_wire_attach(info.wire, NULL);
        dn_world_destroy(&world);
        return status;
    }
    (*out)->joined = true;
    DN_TRY(take_heap(*out, heap_bytes));
    return launched ? DN_OK : dn_peer_monitor_start(world, info.rank, &(*out)->peers);
}

/* ---- leaving ---- */

/* Of a worker that has failed before it joined. Whether the launcher learns why, and reports it. */
static bool publish_unjoined(dn_status status)
{
    launch_info info;
    dn_world *world;
    char message[DN_MESSAGE_MAX];
    if (!dn_world_inherited())
        return false;
    snprintf(message, sizeof message, "%s", dn_error_message());
    if (read_launch_info(0, &info) != DN_OK || info.rank < 0 || dn_world_attach(info.rank, &world) != DN_OK)
        return dn_fail(status, "%s", message) == DN_OK; /* false, and the first error remains */
    dn_comm_publish(world, info.rank, status);
    dn_world_destroy(&world);
    return true;
}

int dn_comm_leave(dn_comm **comm, dn_status status)
{
    dn_world *world = *comm && (*comm)->joined ? (*comm)->world : NULL;
    const bool several = opened != NULL;
    if (status != DN_OK && world)
        dn_comm_publish(world, (*comm)->rank, status);
    if (status != DN_OK && !(world ? dn_world_inherited() : !*comm && publish_unjoined(status)))
        dn_log(DN_LOG_WARNING, "%s", dn_error_message());
    if (world)
        dn_world_leave(world, (*comm)->rank);
    if (several) {
        dn_status ended = dn_wire_close(&opened, status);
        if (status == DN_OK && ended != DN_OK)
            dn_log(DN_LOG_WARNING, "%s", dn_error_message());
        status = ended;
    }
    if (*comm)
        dn_peer_monitor_stop(&(*comm)->peers);
    for (int i = 0; signalled && i < 2; i++) /* a signal that comes now ends this process, which has nothing to save */
        signal(i ? SIGINT : SIGTERM, SIG_DFL);
    signalled = NULL;
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
