/*
 * A world without Dionode's launcher: its ranks, started by another program, find each other by a name in
 * /dev/shm.
 *
 *     host     creates the world and a name, locks its file, counts itself present, writes the address
 *     others   search for a name whose file is locked and complete, open the world, count themselves present
 *     last     removes the name
 *
 * The lock (flock) belongs to the host's open file and ends with it: a name whose file is not locked is left
 * from a run that died during its start, and is ignored or removed. A host removes all such names of its user: under
 * mpirun and srun no other run has the same id, and nobody else would.
 *
 * /dev/shm is writable by all users, and only the owner of a file can remove it. So names end with random
 * digits, the others check all names with the right beginning, and files of other users are ignored.
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
    char user[24], beginning[64]; /* of all names of this user, and of those with this id */
    char name[DN_SHM_NAME_MAX]; /* of the host's shared-memory object; empty while there is none, or it is
                                   unknown */
    int lock;                   /* the host's descriptor of it; -1: none */
    double end_s;
} rendezvous;

/* The content of the file under the name. */
typedef struct address_record {
    uint64_t magic;         /* DN_CONTROL_MAGIC; written after the rest */
    int32_t pid, fd;        /* /proc/PID/fd/FD is the segment ... */
    uint64_t device, inode; /* ... if it still is this file */
    uint64_t address, bytes;
} address_record;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* ---- names ---- */

/* Opens a file under a name of this rendezvous if it is a regular file of this user; otherwise, or if it is
 * gone, *descriptor is -1. (shm_open follows no links.) */
static dn_status open_own(const char *name, int *descriptor)
{
    struct stat info;
    *descriptor = shm_open(name, O_RDWR, 0);
    if (*descriptor < 0 && errno != ENOENT && errno != EACCES && errno != ELOOP && errno != ENXIO)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open shared memory '%s'", name);
    if (*descriptor >= 0 &&
        (fstat(*descriptor, &info) != 0 || info.st_uid != geteuid() || !S_ISREG(info.st_mode))) {
        close(*descriptor);
        *descriptor = -1;
    }
    return DN_OK;
}

/* Whether a file in /dev/shm is named by the beginning, "-", and 16 hexadecimal digits; any: with an id of its own in between. */
static bool named(const char *file, const char *beginning, bool any)
{
    const size_t n = strlen(beginning), length = strlen(file);
    const char *digits = file + length - 16;
    return length > n + 16 && strncmp(file, beginning, n) == 0 && file[n] == '-' && digits[-1] == '-' &&
           strspn(digits, "0123456789abcdef") == 16 && (any || digits == file + n + 1);
}

/* Called for each file of this user under a name of this rendezvous, or of any; true ends the search. */
typedef bool visitor(rendezvous *m, const char *name, int descriptor, void *context);

static dn_status visit_names(rendezvous *m, bool any, visitor *visit, void *context)
{
    DIR *folder = opendir("/dev/shm");
    if (!folder)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot read /dev/shm");
    dn_status status = DN_OK;
    bool found = false;
    const char *beginning = (any ? m->user : m->beginning) + 1; /* without its "/" */
    for (struct dirent *entry; status == DN_OK && !found && (entry = readdir(folder));) {
        const char *file = entry->d_name;
        char name[DN_SHM_NAME_MAX];
        int descriptor = -1;
        if (!named(file, beginning, any))
            continue;
        snprintf(name, sizeof name, "/%.*s", (int)sizeof name - 2, file);
        status = open_own(name, &descriptor);
        found = descriptor >= 0 && visit(m, name, descriptor, context);
        if (descriptor >= 0)
            close(descriptor);
    }
    closedir(folder);
    return status;
}

/* ---- present ---- */

static uint32_t n_here(const rendezvous *m)
{
    return (uint32_t)(m->call.n_here ? m->call.n_here : m->call.n_ranks);
}

/* Counts this rank as present; the last one removes the name. */
static dn_status count_present(const rendezvous *m, dn_world *world)
{
    dn_control *control = world->control;
    int nobody = 0;
    if (!atomic_compare_exchange_strong_explicit(&control->slots[m->call.rank].pid, &nobody, (int)getpid(),
                                                 memory_order_relaxed, memory_order_relaxed))
        return dn_fail(
            DN_ERR_CONFIG,
            "two processes have rank %d (the other is %d): set a different RANK for each process, and a "
            "different MASTER_PORT for runs that start at the same time",
            m->call.rank, nobody);
    dn_world_set_domain(world, m->call.rank, m->call.domain);
    /* Release: pid and domain are there for whoever reads the count with acquire. */
    if (atomic_fetch_add_explicit(&control->n_present, 1, memory_order_release) + 1 == n_here(m))
        shm_unlink(m->name);
    return DN_OK;
}

static dn_status await_all(const rendezvous *m, const dn_world *world)
{
    while (atomic_load_explicit(&world->control->n_present, memory_order_acquire) < n_here(m)) {
        if (dn_control_aborted(world))
            return dn_control_fail_peer(world);
        if (dn_clock_s() >= m->end_s) {
            char absent[128] = "";
            size_t used = 0;
            for (int rank = 0; rank < m->call.n_ranks && used < sizeof absent; rank++)
                if (dn_world_pid(world, rank) == 0)
                    used += (size_t)snprintf(absent + used, sizeof absent - used, " %d", rank);
            return dn_fail(DN_ERR_TIMEOUT, "of %d ranks these did not join within %g s:%s", m->call.n_ranks,
                           m->call.deadline_s, absent);
        }
        nap();
    }
    return DN_OK;
}

/* ---- the host ---- */

/* Whether no process held the name. */
static bool remove_if_dead(const char *name, int descriptor)
{
    bool dead = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    if (dead)
        shm_unlink(name);
    return dead;
}

static bool remove_dead(rendezvous *m, const char *name, int descriptor, void *context)
{
    (void)m, (void)context;
    (void)remove_if_dead(name, descriptor);
    return false;
}

/* Whether another run of this user holds a name of this rendezvous (context: char [DN_SHM_NAME_MAX]). Removes
 * names that no process holds. */
static bool find_other(rendezvous *m, const char *name, int descriptor, void *context)
{
    if (strcmp(name, m->name) == 0 || remove_if_dead(name, descriptor))
        return false;
    strcpy(context, name);
    return true;
}

static dn_status fail_name(const rendezvous *m, const char *what)
{
    int error = errno;
    shm_unlink(m->name);
    return dn_fail_errno(error == ENOSPC ? DN_ERR_MEMORY : DN_ERR_SYSTEM, error, "%s '/dev/shm%s'", what,
                         m->name);
}

/* Creates and locks a name. A host looks for others after it has created its name, so of two hosts at least
 * one sees the other; one that does removes its own and retries after a delay that differs between processes.
 * Another host may have removed the file before it was locked. other: as for find_other. */
static dn_status try_name(rendezvous *m, char *other)
{
    struct stat info;
    m->lock = dn_control_create_object(m->beginning, m->name);
    if (m->lock < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot create shared memory '%s'", m->name);
    if (flock(m->lock, LOCK_EX) != 0) /* others hold it only while they check it */
        return fail_name(m, "cannot lock");
    dn_status status = visit_names(m, false, find_other, other);
    if (status == DN_OK && !*other && fstat(m->lock, &info) == 0 && info.st_nlink > 0)
        return DN_OK;
    shm_unlink(m->name);
    close(m->lock);
    m->name[0] = '\0';
    m->lock = -1;
    return status;
}

static dn_status create_name(rendezvous *m)
{
    DN_TRY(visit_names(m, true, remove_dead, NULL));
    for (;;) {
        char other[DN_SHM_NAME_MAX] = "";
        DN_TRY(visit_names(m, false, find_other, other));
        if (!*other)
            DN_TRY(try_name(m, other));
        if (m->lock >= 0)
            return DN_OK;
        if (dn_clock_s() >= m->end_s)
            return dn_fail(DN_ERR_TIMEOUT,
                           "another run is starting under the name /dev/shm%s: set a different MASTER_PORT "
                           "for one of them",
                           other);
        for (int naps = 1 + getpid() % 7; naps > 0; naps--)
            nap();
    }
}

static dn_status publish_address(const rendezvous *m, const dn_world *world)
{
    struct stat info = {0};
    fstat(world->descriptor, &info);
    address_record post = {.pid = (int32_t)getpid(),
                           .fd = world->descriptor,
                           .device = info.st_dev,
                           .inode = info.st_ino,
                           .address = world->control->address,
                           .bytes = world->bytes};
    const uint64_t magic = DN_CONTROL_MAGIC;
    if (pwrite(m->lock, &post, sizeof post, 0) != (ssize_t)sizeof post ||
        pwrite(m->lock, &magic, sizeof magic, 0) != (ssize_t)sizeof magic)
        return fail_name(m, "cannot write to");
    return DN_OK;
}

static dn_status host_world(rendezvous *m, dn_world **out)
{
    const dn_rendezvous *c = &m->call;
    DN_TRY(dn_world_create_part(c->n_ranks, (int)n_here(m), c->arena_bytes, c->n_usable_pus, c->deadline_s, out));
    dn_status status = create_name(m);
    if (status == DN_OK)
        status = count_present(m, *out);
    if (status == DN_OK)
        status = publish_address(m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- the others ---- */

/* Whether a live host has published its world (context: address_record). Each read is a system call, which
 * orders them. */
static bool read_address(rendezvous *m, const char *name, int descriptor, void *context)
{
    address_record *post = context;
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

/* *descriptor is -1 while no world is published. */
static dn_status open_published(rendezvous *m, int *descriptor, address_record *post)
{
    *descriptor = -1;
    *post = (address_record){0};
    DN_TRY(visit_names(m, false, read_address, post));
    if (post->magic != DN_CONTROL_MAGIC)
        return DN_OK;
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%" PRId32 "/fd/%" PRId32, post->pid, post->fd);
    *descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (*descriptor < 0 && errno != ENOENT)
        return dn_fail_errno(DN_ERR_SYSTEM, errno,
                             "cannot open the shared memory of local rank 0 at %s (all ranks must share one "
                             "/proc and have permission to inspect each other)",
                             path);
    if (*descriptor >= 0 && (fstat(*descriptor, &info) != 0 || info.st_dev != post->device ||
                             info.st_ino != post->inode)) { /* the pid or descriptor was reused */
        close(*descriptor);
        *descriptor = -1;
    }
    return DN_OK;
}

static dn_status await_host(rendezvous *m, int *descriptor, address_record *post)
{
    for (;;) {
        DN_TRY(open_published(m, descriptor, post));
        if (*descriptor >= 0)
            return DN_OK;
        if (dn_clock_s() >= m->end_s)
            return dn_fail(
                DN_ERR_TIMEOUT,
                "rank %d found no world of this user named /dev/shm%s-* within %g s: local rank 0 did not "
                "join",
                m->call.rank, m->beginning, m->call.deadline_s);
        nap();
    }
}

static dn_status find_world(rendezvous *m, dn_world **out)
{
    int descriptor;
    address_record post;
    DN_TRY(await_host(m, &descriptor, &post));
    dn_status status = dn_control_attach_to(descriptor, post.address, post.bytes, m->call.rank, out);
    if (status != DN_OK) {
        close(descriptor);
        return status;
    }
    const dn_control *control = (*out)->control;
    if ((int)control->n_ranks != m->call.n_ranks || control->arena_bytes < m->call.arena_bytes)
        status = dn_fail(
            DN_ERR_CONFIG,
            "rank %d has world size %d and heaps of %zu bytes, local rank 0 world size %u and %zu bytes: "
            "all ranks must pass the same",
            m->call.rank, m->call.n_ranks, m->call.arena_bytes, control->n_ranks,
            (size_t)control->arena_bytes);
    else
        status = count_present(m, *out);
    if (status != DN_OK)
        dn_world_destroy(out);
    return status;
}

/* ---- both ---- */

dn_status dn_world_rendezvous(const dn_rendezvous *call, dn_world **out)
{
    rendezvous m = {.call = *call, .lock = -1, .end_s = dn_clock_s() + call->deadline_s};
    snprintf(m.user, sizeof m.user, "/dionode-%u", (unsigned)geteuid());
    snprintf(m.beginning, sizeof m.beginning, "%s-%s", m.user, call->id);
    dn_status status = call->host ? host_world(&m, out) : find_world(&m, out);
    if (status == DN_OK) {
        status = await_all(&m, *out);
        if (status != DN_OK) {
            shm_unlink(m.name);
            dn_world_destroy(out);
        }
    }
    if (m.lock >= 0)
        close(m.lock);
    return status;
}
