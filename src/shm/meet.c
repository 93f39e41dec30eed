/*
 * A world without a launcher: its ranks, started by somebody else, find each other by a name.
 *
 *     host    creates the name, locks the file, lays out the world, counts itself present
 *     others  open the name once it is locked and ready, map it, count themselves present
 *     last    takes the name away
 *
 * The lock (flock) belongs to the host's open file and ends with it: a name whose file nobody has locked is
 * left from a run that died in its start, and neither followed nor respected.
 */
#include "shm/world.h"

#include "base/clock.h"
#include "base/fail.h"
#include "shm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 500000

typedef struct meeting {
    char name[96]; /* of the POSIX shared-memory object */
    int rank, n_ranks;
    size_t arena_bytes;
    double deadline_s, end_s;
} meeting;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* ---- present ---- */

/* Counts this rank as present; the last one takes the name away. */
static dn_status appear(const meeting *m, dn_world *world)
{
    dn_control *control = world->control;
    int nobody = 0;
    if (!atomic_compare_exchange_strong_explicit(&control->slots[m->rank].pid, &nobody, (int)getpid(),
                                                 memory_order_relaxed, memory_order_relaxed))
        return dn_fail(DN_ERR_CONFIG,
                       "rank %d is there twice (process %d has it): give each process its own RANK, and runs "
                       "that start at the same time different MASTER_PORTs",
                       m->rank, nobody);
    /* Release: the header and the pid are there for whoever reads the count with acquire. */
    if (atomic_fetch_add_explicit(&control->n_present, 1, memory_order_acq_rel) + 1 == control->n_ranks)
        shm_unlink(m->name);
    return DN_OK;
}

static dn_status fail_absent(const meeting *m, const dn_world *world)
{
    char absent[128] = "";
    size_t used = 0;
    for (int rank = 0; rank < m->n_ranks && used < sizeof absent; rank++)
        if (dn_world_pid(world, rank) == 0)
            used += (size_t)snprintf(absent + used, sizeof absent - used, " %d", rank);
    return dn_fail(DN_ERR_TIMEOUT, "of %d ranks these did not come within %g s:%s", m->n_ranks, m->deadline_s,
                   absent);
}

static dn_status await_all(const meeting *m, const dn_world *world)
{
    while (atomic_load_explicit(&world->control->n_present, memory_order_acquire) < world->control->n_ranks) {
        if (dn_control_aborted(world))
            return dn_control_fail_peer(world);
        if (dn_clock_s() >= m->end_s) {
            shm_unlink(m->name);
            return fail_absent(m, world);
        }
        nap();
    }
    return DN_OK;
}

/* ---- the host ---- */

/* Takes the name away if nobody holds its lock. */
static void remove_stale(const char *name)
{
    int descriptor = shm_open(name, O_RDWR, 0);
    if (descriptor < 0)
        return;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        shm_unlink(name);
    close(descriptor);
}

static dn_status create_name(const meeting *m, int *descriptor)
{
    while ((*descriptor = shm_open(m->name, O_RDWR | O_CREAT | O_EXCL, 0600)) < 0) {
        if (errno != EEXIST)
            return dn_fail_errno(DN_ERR_SYSTEM, errno, "creating shared memory '%s'", m->name);
        if (dn_clock_s() >= m->end_s)
            return dn_fail(DN_ERR_TIMEOUT,
                           "another run is starting under the name /dev/shm%s: give one of them another "
                           "MASTER_PORT",
                           m->name);
        remove_stale(m->name);
        nap();
    }
    return DN_OK;
}

static dn_status host_world(const meeting *m, dn_world **out)
{
    int descriptor;
    dn_control header;
    DN_TRY(dn_control_header(m->n_ranks, m->arena_bytes, (int)sysconf(_SC_NPROCESSORS_ONLN), m->deadline_s,
                             &header));
    DN_TRY(create_name(m, &descriptor));
    dn_status status = DN_OK;
    if (flock(descriptor, LOCK_EX) != 0) /* others hold it for a moment only, to look */
        status = dn_fail_errno(DN_ERR_SYSTEM, errno, "locking shared memory '%s'", m->name);
    if (status == DN_OK)
        status = dn_control_create_in(descriptor, &header, out);
    if (status != DN_OK) {
        shm_unlink(m->name);
        close(descriptor);
    }
    return status;
}

/* ---- the others ---- */

typedef struct ready {
    uint64_t address, bytes;
} ready;

/* Whether a live host has its world ready in this file. Each read is a system call, which orders them. */
static bool is_ready(int descriptor, ready *r)
{
    struct stat info;
    uint32_t n_present = 0;
    if (fstat(descriptor, &info) != 0 || info.st_uid != geteuid())
        return false;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {
        flock(descriptor, LOCK_UN);
        return false;
    }
    ssize_t n = pread(descriptor, &n_present, sizeof n_present, offsetof(dn_control, n_present));
    if (n != (ssize_t)sizeof n_present || n_present == 0)
        return false;
    r->bytes = (uint64_t)info.st_size;
    return pread(descriptor, &r->address, sizeof r->address, offsetof(dn_control, address)) ==
           (ssize_t)sizeof r->address;
}

static dn_status await_host(const meeting *m, int *descriptor, ready *r)
{
    for (;;) {
        *descriptor = shm_open(m->name, O_RDWR, 0);
        if (*descriptor < 0 && errno != ENOENT)
            return dn_fail_errno(DN_ERR_SYSTEM, errno, "opening shared memory '%s'", m->name);
        if (*descriptor >= 0 && is_ready(*descriptor, r))
            return DN_OK;
        if (*descriptor >= 0)
            close(*descriptor);
        if (dn_clock_s() >= m->end_s)
            return dn_fail(DN_ERR_TIMEOUT,
                           "rank %d found no world under the name /dev/shm%s within %g s: local rank 0 did "
                           "not come",
                           m->rank, m->name, m->deadline_s);
        nap();
    }
}

static dn_status check_agreement(const meeting *m, const dn_control *control)
{
    if ((int)control->n_ranks != m->n_ranks || control->arena_bytes < m->arena_bytes)
        return dn_fail(DN_ERR_CONFIG,
                       "rank %d is one of %d with heaps of %zu bytes, local rank 0 one of %u with %zu: all "
                       "must be started alike",
                       m->rank, m->n_ranks, m->arena_bytes, control->n_ranks, (size_t)control->arena_bytes);
    return DN_OK;
}

static dn_status find_world(const meeting *m, dn_world **out)
{
    int descriptor;
    ready r;
    DN_TRY(await_host(m, &descriptor, &r));
    dn_status status = dn_control_attach_to(descriptor, r.address, r.bytes, m->rank, out);
    if (status != DN_OK) {
        close(descriptor);
        return status;
    }
    status = check_agreement(m, (*out)->control);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- both ---- */

dn_status dn_world_meet(const char *id, bool host, int rank, int n_ranks, size_t arena_bytes,
                        double deadline_s, dn_world **out)
{
    meeting m = {.rank = rank,
                 .n_ranks = n_ranks,
                 .arena_bytes = arena_bytes,
                 .deadline_s = deadline_s,
                 .end_s = dn_clock_s() + deadline_s};
    snprintf(m.name, sizeof m.name, "/dionode-%u-%s", (unsigned)geteuid(), id);
    DN_TRY(host ? host_world(&m, out) : find_world(&m, out));
    dn_status status = appear(&m, *out);
    if (status == DN_OK)
        status = await_all(&m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}
