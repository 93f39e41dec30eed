/*
 * A world without a launcher: its ranks, started by somebody else, find each other by a name in /dev/shm.
 *
 *     host    makes the world, creates a name, locks its file, counts itself present, writes where the world
 * is others  look for a name whose file is locked and ready, open the world from there, count themselves
 * present last    takes the name away
 *
 * The lock (flock) belongs to the host's open file and ends with it: a name whose file nobody has locked is
 * left from a run that died in its start, and neither followed nor respected.
 *
 * /dev/shm is open to all users, and what one of them puts there only he can take away. So the name ends with
 * random digits, the others look through all that begin as it does, and files that are not this user's count
 * for nothing.
 */
#include "shm/world.h"

#include "base/clock.h"
#include "base/fail.h"
#include "shm/control.h"

#include <dirent.h>
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

typedef struct rendezvous {
    dn_rendezvous call;
    char beginning[64];         /* of all names of this user and id */
    char name[DN_SHM_NAME_MAX]; /* of the host's shared-memory object; empty while there is none, or it is not
                                   known */
    int lock;                   /* the host's descriptor of it; -1: none */
    double end_s;
} rendezvous;

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

/* ---- names ---- */

/* Whether a file of this folder has a name of this barrier: its beginning, "-", 16 digits. */
static bool is_name_of(const rendezvous *m, const char *file)
{
    size_t n = strlen(m->beginning) - 1; /* without its "/" */
    return strncmp(file, m->beginning + 1, n) == 0 && file[n] == '-' && strlen(file + n + 1) == 16 &&
           strspn(file + n + 1, "0123456789abcdef") == 16;
}

/* Opens a file under a name of this barrier if it is a regular one and this user's; otherwise, or if it has
 * gone by now, *descriptor is -1. (shm_open follows no links.) */
static dn_status open_own(const char *name, int *descriptor)
{
    struct stat info;
    *descriptor = shm_open(name, O_RDWR, 0);
    if (*descriptor < 0 && errno != ENOENT && errno != EACCES && errno != ELOOP && errno != ENXIO)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "opening shared memory '%s'", name);
    if (*descriptor >= 0 &&
        (fstat(*descriptor, &info) != 0 || info.st_uid != geteuid() || !S_ISREG(info.st_mode))) {
        close(*descriptor);
        *descriptor = -1;
    }
    return DN_OK;
}

/* Looks at one file of this user's under a name of this barrier; returns whether that was all that was looked
 * for. */
typedef bool visitor(rendezvous *m, const char *name, int descriptor, void *context);

static dn_status visit_names(rendezvous *m, visitor *visit, void *context)
{
    DIR *folder = opendir("/dev/shm");
    if (!folder)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "looking through /dev/shm");
    dn_status status = DN_OK;
    bool found = false;
    for (struct dirent *entry; status == DN_OK && !found && (entry = readdir(folder));) {
        char name[DN_SHM_NAME_MAX];
        int descriptor = -1;
        if (!is_name_of(m, entry->d_name))
            continue;
        snprintf(name, sizeof name, "/%.*s", (int)sizeof name - 2, entry->d_name);
        status = open_own(name, &descriptor);
        found = descriptor >= 0 && visit(m, name, descriptor, context);
        if (descriptor >= 0)
            close(descriptor);
    }
    closedir(folder);
    return status;
}

/* ---- present ---- */

/* Counts this rank as present; the last one takes the name away. */
static dn_status appear(const rendezvous *m, dn_world *world)
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
    if (atomic_fetch_add_explicit(&control->n_present, 1, memory_order_release) + 1 ==
        (uint32_t)world->n_ranks)
        shm_unlink(m->name);
    return DN_OK;
}

static dn_status fail_absent(const rendezvous *m, const dn_world *world)
{
    char absent[128] = "";
    size_t used = 0;
    for (int rank = 0; rank < m->call.n_ranks && used < sizeof absent; rank++)
        if (dn_world_pid(world, rank) == 0)
            used += (size_t)snprintf(absent + used, sizeof absent - used, " %d", rank);
    return dn_fail(DN_ERR_TIMEOUT, "of %d ranks these did not come within %g s:%s", m->call.n_ranks,
                   m->call.deadline_s, absent);
}

static dn_status await_all(const rendezvous *m, const dn_world *world)
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

/* Whether another run of this user holds a name of this barrier (context: char [DN_SHM_NAME_MAX]). Takes
 * those away that nobody holds. */
static bool find_other(rendezvous *m, const char *name, int descriptor, void *context)
{
    if (strcmp(name, m->name) == 0)
        return false;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
        shm_unlink(name);
        return false;
    }
    strcpy(context, name);
    return true;
}

static void give_up_name(rendezvous *m)
{
    shm_unlink(m->name);
    close(m->lock);
    m->name[0] = '\0';
    m->lock = -1;
}

/* Whether the file under the locked name is still there: another host may have looked at it before it was
 * locked. */
static bool is_there(const rendezvous *m)
{
    struct stat info;
    return fstat(m->lock, &info) == 0 && info.st_nlink > 0;
}

static dn_status refuse_name(const rendezvous *m, const char *what)
{
    int error = errno;
    shm_unlink(m->name);
    return dn_fail_errno(error == ENOSPC ? DN_ERR_MEMORY : DN_ERR_SYSTEM, error, "%s '/dev/shm%s'", what,
                         m->name);
}

/* Creates and locks a name. Who creates one looks for others afterwards, so of two hosts at least one sees
 * the other; who sees one gives up his own and tries again after a moment that is not the other's. other: as
 * for find_other. */
static dn_status try_name(rendezvous *m, char *other)
{
    m->lock = dn_control_create_object(m->beginning, m->name);
    if (m->lock < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "creating shared memory '%s'", m->name);
    if (flock(m->lock, LOCK_EX) != 0) /* others hold it for a moment only, to look */
        return refuse_name(m, "locking");
    dn_status status = visit_names(m, find_other, other);
    if (status != DN_OK || *other || !is_there(m))
        give_up_name(m);
    return status;
}

static dn_status create_name(rendezvous *m)
{
    for (;;) {
        char other[DN_SHM_NAME_MAX] = "";
        DN_TRY(visit_names(m, find_other, other));
        if (!*other)
            DN_TRY(try_name(m, other));
        if (m->lock >= 0)
            return DN_OK;
        if (dn_clock_s() >= m->end_s)
            return dn_fail(
                DN_ERR_TIMEOUT,
                "another run is starting under the name /dev/shm%s: give one of them another MASTER_PORT",
                other);
        for (int naps = 1 + getpid() % 7; naps > 0; naps--)
            nap();
    }
}

static dn_status put_up_signpost(const rendezvous *m, const dn_world *world)
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

static dn_status name_world(rendezvous *m, dn_world *world)
{
    DN_TRY(create_name(m));
    DN_TRY(appear(m, world));
    return put_up_signpost(m, world);
}

static dn_status host_world(rendezvous *m, dn_world **out)
{
    const dn_rendezvous *c = &m->call;
    DN_TRY(dn_world_create(c->n_ranks, c->arena_bytes, c->n_usable_pus, c->deadline_s, out));
    dn_status status = name_world(m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- the others ---- */

/* Whether a live host has its world ready and says where (context: signpost). Each read is a system call,
 * which orders them. */
static bool read_signpost(rendezvous *m, const char *name, int descriptor, void *context)
{
    signpost *post = context;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {
        flock(descriptor, LOCK_UN);
        return false;
    }
    uint64_t magic = 0;
    if (pread(descriptor, &magic, sizeof magic, 0) != (ssize_t)sizeof magic || magic != DN_CONTROL_MAGIC ||
        pread(descriptor, post, sizeof *post, 0) != (ssize_t)sizeof *post)
        return false;
    strcpy(m->name, name);
    return true;
}

/* *descriptor is -1 where there is no ready world (yet, or any more). */
static dn_status follow_name(rendezvous *m, int *descriptor, signpost *post)
{
    *descriptor = -1;
    *post = (signpost){0};
    DN_TRY(visit_names(m, read_signpost, post));
    if (post->magic != DN_CONTROL_MAGIC)
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

static dn_status await_host(rendezvous *m, int *descriptor, signpost *post)
{
    for (;;) {
        DN_TRY(follow_name(m, descriptor, post));
        if (*descriptor >= 0)
            return DN_OK;
        if (dn_clock_s() >= m->end_s)
            return dn_fail(
                DN_ERR_TIMEOUT,
                "rank %d found no world of this user under a name /dev/shm%s-* within %g s: local rank 0 "
                "did not come",
                m->call.rank, m->beginning, m->call.deadline_s);
        nap();
    }
}

static dn_status check_agreement(const rendezvous *m, const dn_control *control)
{
    if ((int)control->n_ranks != m->call.n_ranks || control->arena_bytes < m->call.arena_bytes)
        return dn_fail(DN_ERR_CONFIG,
                       "rank %d is one of %d with heaps of %zu bytes, local rank 0 one of %u with %zu: all "
                       "must be started alike",
                       m->call.rank, m->call.n_ranks, m->call.arena_bytes, control->n_ranks,
                       (size_t)control->arena_bytes);
    return DN_OK;
}

static dn_status find_world(rendezvous *m, dn_world **out)
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

dn_status dn_world_rendezvous(const dn_rendezvous *call, dn_world **out)
{
    rendezvous m = {.call = *call, .lock = -1, .end_s = dn_clock_s() + call->deadline_s};
    snprintf(m.beginning, sizeof m.beginning, "/dionode-%u-%s", (unsigned)geteuid(), call->id);
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
