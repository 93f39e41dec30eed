/*
 * A world without a launcher: its ranks, started by somebody else, find each other by a name.
 *
 *     host    makes the world, creates the name, locks its file, counts itself present, writes where the
 * world is others  open the name once it is locked and ready, open the world from there, count themselves
 * present last    takes the name away
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
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 500000

typedef struct meeting {
    dn_meeting call;
    char name[96]; /* of the POSIX shared-memory object */
    int lock;      /* the host's descriptor of it; -1: none */
    double end_s;
} meeting;

/* What lies under the name. */
typedef struct signpost {
    uint64_t magic;         /* DN_CONTROL_MAGIC; written after the rest */
    int32_t pid, fd;        /* /proc/PID/fd/FD is the segment ... */
    uint64_t device, inode; /* ... if it still is this file */
    uint64_t address, bytes;
} signpost;

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
    if (!atomic_compare_exchange_strong_explicit(&control->slots[m->call.rank].pid, &nobody, (int)getpid(),
                                                 memory_order_relaxed, memory_order_relaxed))
        return dn_fail(DN_ERR_CONFIG,
                       "rank %d is there twice (process %d has it): give each process its own RANK, and runs "
                       "that start at the same time different MASTER_PORTs",
                       m->call.rank, nobody);
    dn_world_set_domain(world, m->call.rank, m->call.domain);
    /* Release: pid and domain are there for whoever reads the count with acquire. */
    if (atomic_fetch_add_explicit(&control->n_present, 1, memory_order_release) + 1 == (uint32_t)world->n_ranks)
        shm_unlink(m->name);
    return DN_OK;
}

static dn_status fail_absent(const meeting *m, const dn_world *world)
{
    char absent[128] = "";
    size_t used = 0;
    for (int rank = 0; rank < m->call.n_ranks && used < sizeof absent; rank++)
        if (dn_world_pid(world, rank) == 0)
            used += (size_t)snprintf(absent + used, sizeof absent - used, " %d", rank);
    return dn_fail(DN_ERR_TIMEOUT, "of %d ranks these did not come within %g s:%s", m->call.n_ranks,
                   m->call.deadline_s, absent);
}

static dn_status await_all(const meeting *m, const dn_world *world)
{
    while (atomic_load_explicit(&world->control->n_present, memory_order_acquire) <
           (uint32_t)world->n_ranks) {
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

static dn_status create_name(meeting *m)
{
    while ((m->lock = shm_open(m->name, O_RDWR | O_CREAT | O_EXCL, 0600)) < 0) {
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

static dn_status refuse_name(const meeting *m, const char *what)
{
    int error = errno;
    shm_unlink(m->name);
    return dn_fail_errno(error == ENOSPC ? DN_ERR_MEMORY : DN_ERR_SYSTEM, error, "%s '/dev/shm%s'", what,
                         m->name);
}

static dn_status put_up_signpost(const meeting *m, const dn_world *world)
{
    struct stat info = {0};
    fstat(world->descriptor, &info); /* our own, open file */
    signpost post = {.pid = (int32_t)getpid(),
                     .fd = world->descriptor,
                     .device = info.st_dev,
                     .inode = info.st_ino,
                     .address = world->control->address,
                     .bytes = world->bytes};
    const uint64_t magic = DN_CONTROL_MAGIC;
    if (pwrite(m->lock, &post, sizeof post, 0) != (ssize_t)sizeof post ||
        pwrite(m->lock, &magic, sizeof magic, 0) != (ssize_t)sizeof magic)
        return refuse_name(m, "writing to");
    return DN_OK;
}

static dn_status name_world(meeting *m, dn_world *world)
{
    DN_TRY(create_name(m));
    if (flock(m->lock, LOCK_EX) != 0) /* others hold it for a moment only, to look */
        return refuse_name(m, "locking");
    DN_TRY(appear(m, world));
    return put_up_signpost(m, world);
}

static dn_status host_world(meeting *m, dn_world **out)
{
    const dn_meeting *c = &m->call;
    DN_TRY(dn_world_create(c->n_ranks, c->arena_bytes, c->n_usable_pus, c->deadline_s, out));
    dn_status status = name_world(m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- the others ---- */

/* Whether a live host has its world ready and says where. Each read is a system call, which orders them. */
static bool read_signpost(int descriptor, signpost *post)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0 || info.st_uid != geteuid())
        return false;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {
        flock(descriptor, LOCK_UN);
        return false;
    }
    uint64_t magic = 0;
    return pread(descriptor, &magic, sizeof magic, 0) == (ssize_t)sizeof magic && magic == DN_CONTROL_MAGIC &&
           pread(descriptor, post, sizeof *post, 0) == (ssize_t)sizeof *post;
}

/* *descriptor is -1 where there is no ready world (yet, or any more). */
static dn_status follow_name(const meeting *m, int *descriptor, signpost *post)
{
    *descriptor = -1;
    int name = shm_open(m->name, O_RDWR, 0);
    if (name < 0 && errno != ENOENT)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "opening shared memory '%s'", m->name);
    bool ready = name >= 0 && read_signpost(name, post);
    if (name >= 0)
        close(name);
    if (!ready)
        return DN_OK;
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%" PRId32 "/fd/%" PRId32, post->pid, post->fd);
    *descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (*descriptor < 0 && errno != ENOENT)
        return dn_fail_errno(DN_ERR_SYSTEM, errno,
                             "opening the shared memory of local rank 0 at %s (ranks must see each other in "
                             "/proc and be allowed to inspect each other)",
                             path);
    if (*descriptor >= 0 && (fstat(*descriptor, &info) != 0 || info.st_dev != post->device ||
                             info.st_ino != post->inode)) { /* another process has the number now */
        close(*descriptor);
        *descriptor = -1;
    }
    return DN_OK;
}

static dn_status await_host(const meeting *m, int *descriptor, signpost *post)
{
    for (;;) {
        DN_TRY(follow_name(m, descriptor, post));
        if (*descriptor >= 0)
            return DN_OK;
        if (dn_clock_s() >= m->end_s)
            return dn_fail(DN_ERR_TIMEOUT,
                           "rank %d found no world under the name /dev/shm%s within %g s: local rank 0 did "
                           "not come",
                           m->call.rank, m->name, m->call.deadline_s);
        nap();
    }
}

static dn_status check_agreement(const meeting *m, const dn_control *control)
{
    if ((int)control->n_ranks != m->call.n_ranks || control->arena_bytes < m->call.arena_bytes)
        return dn_fail(DN_ERR_CONFIG,
                       "rank %d is one of %d with heaps of %zu bytes, local rank 0 one of %u with %zu: all "
                       "must be started alike",
                       m->call.rank, m->call.n_ranks, m->call.arena_bytes, control->n_ranks,
                       (size_t)control->arena_bytes);
    return DN_OK;
}

static dn_status find_world(const meeting *m, dn_world **out)
{
    int descriptor;
    signpost post;
    DN_TRY(await_host(m, &descriptor, &post));
    dn_status status = dn_control_attach_to(descriptor, post.address, post.bytes, m->call.rank, out);
    if (status != DN_OK) {
        close(descriptor);
        return status;
    }
    status = check_agreement(m, (*out)->control);
    if (status == DN_OK)
        status = appear(m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- both ---- */

dn_status dn_world_meet(const dn_meeting *call, dn_world **out)
{
    meeting m = {.call = *call, .lock = -1, .end_s = dn_clock_s() + call->deadline_s};
    snprintf(m.name, sizeof m.name, "/dionode-%u-%s", (unsigned)geteuid(), call->id);
    dn_status status = call->host ? host_world(&m, out) : find_world(&m, out);
    if (status == DN_OK) {
        status = await_all(&m, *out);
        if (status != DN_OK)
            dn_world_destroy(out);
    }
    if (m.lock >= 0)
        close(m.lock);
    return status;
}
