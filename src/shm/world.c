#include "shm/world.h"

#include "base/fail.h"
#include "base/printable.h"
#include "base/size.h"
#include "shm/control.h"
#include "shm/limits.h"
#include "shm/wait.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define VARIABLE      "DIONODE_WORLD"
#define ALIGN         ((size_t)2 << 20) /* no huge page, and no NUMA policy, spans two arenas */
#define PAGE          ((size_t)4096)
#define FIRST_SCRATCH ((sizeof(dn_control) + PAGE - 1) / PAGE * PAGE)
#define GIB           (1024.0 * 1024.0 * 1024.0)

/* Where worlds are mapped: far below the program, its libraries and stacks, whose addresses differ from
 * process to process. If a region is in use (by another world of this process), the next is tried. */
#define FIRST_REGION UINT64_C(0x200000000000)
#define REGION_BYTES UINT64_C(0x10000000000)
#if defined(__SANITIZE_THREAD__)
#define N_REGIONS 0 /* the thread sanitizer reserves these addresses */
#else
#define N_REGIONS 16
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define POPULATE_BYTES ((size_t)64 << 20) /* between two ticks */

static size_t rounded_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- segment ---- */

int dn_control_create_object(const char *beginning, char name[DN_SHM_NAME_MAX])
{
    int descriptor;
    uint64_t digits;
    do {
        if (getrandom(&digits, sizeof digits, 0) != (ssize_t)sizeof digits)
            return -1;
        snprintf(name, DN_SHM_NAME_MAX, "%s-%016" PRIx64, beginning, digits);
        descriptor = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    } while (descriptor < 0 && errno == EEXIST);
    return descriptor;
}

/* In /dev/shm, unlinked at once so that nothing can be left behind; anonymous memory, which only the machine
 * limits, where the file system is too small. (One without a size has no limit.) */
static int open_segment(size_t bytes)
{
    struct statvfs fs = {0};
    bool unlimited = statvfs("/dev/shm", &fs) == 0 && fs.f_blocks == 0;
    uint64_t available = unlimited ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes > available) {
        dn_log(DN_LOG_WARNING,
               "/dev/shm has %.2f GiB free, %.2f GiB are needed: using anonymous shared memory, which works "
               "as well; "
               "to use /dev/shm, enlarge it (containers: --shm-size)",
               (double)available / GIB, (double)bytes / GIB);
        return memfd_create("dionode", MFD_CLOEXEC);
    }
    char beginning[32], name[DN_SHM_NAME_MAX];
    snprintf(beginning, sizeof beginning, "/dionode-%d", (int)getpid());
    int descriptor = dn_control_create_object(beginning, name);
    if (descriptor >= 0)
        shm_unlink(name);
    return descriptor;
}

static void *map_at(int descriptor, size_t bytes, uint64_t address)
{
    void *wanted = (void *)(uintptr_t)address;
    void *got = mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, descriptor, 0);
    if (got != MAP_FAILED && got != wanted) { /* a kernel before 4.17 takes the address as a hint */
        munmap(got, bytes);
        return MAP_FAILED;
    }
    return got;
}

/* Where all regions are refused (thread sanitizer, small address spaces) the kernel chooses: a worker may
 * find that address in use, and dn_world_attach fails. */
static void *map_anywhere(int descriptor, size_t bytes)
{
    for (int i = 0; i < N_REGIONS; i++) {
        void *got = map_at(descriptor, bytes, FIRST_REGION + (uint64_t)i * REGION_BYTES);
        if (got != MAP_FAILED)
            return got;
    }
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
}

static dn_status make_handle(dn_control *control, int descriptor, dn_world **out)
{
    dn_world *world = malloc(sizeof *world);
    if (!world)
        return dn_fail(DN_ERR_MEMORY, "no memory for a handle of the shared-memory world");
    *world = (dn_world){.control = control,
                        .bytes = control->bytes,
                        .n_ranks = (int)control->n_ranks,
                        .descriptor = descriptor};
    dn_wait_register();
    *out = world;
    return DN_OK;
}

/* Effective where shmem_enabled=advise. */
static void ask_for_huge_pages(dn_control *control)
{
    madvise((char *)control + control->first_arena, control->bytes - control->first_arena, MADV_HUGEPAGE);
}

/* *out takes the descriptor, which stays the caller's on failure. */
static dn_status create_in(int descriptor, const dn_control *header, dn_world **out)
{
    size_t bytes = header->bytes;
    if (ftruncate(descriptor, (off_t)bytes) != 0)
        return dn_fail_errno(DN_ERR_MEMORY, errno, "cannot size shared memory to %.2f GiB%s",
                             (double)bytes / GIB, errno == EFBIG ? " (ulimit -f limits it, too)" : "");
    dn_control *control = map_anywhere(descriptor, bytes);
    if (control == MAP_FAILED)
        return dn_fail_errno(DN_ERR_MEMORY, errno, "cannot map %.2f GiB of shared memory",
                             (double)bytes / GIB);
    /* Backed before it is written: a full /dev/shm must be an error, not SIGBUS. */
    int error = posix_fallocate(descriptor, 0, sizeof *control);
    if (error) {
        munmap(control, bytes);
        return dn_fail_errno(DN_ERR_MEMORY, error, "cannot allocate the first page of shared memory");
    }
    memcpy(control, header, offsetof(dn_control, abort));
    control->address = (uint64_t)(uintptr_t)control;
    ask_for_huge_pages(control);
    dn_status status = make_handle(control, descriptor, out);
    if (status != DN_OK)
        munmap(control, bytes);
    return status;
}

static dn_status make_header(int n_ranks, int n_here, size_t arena_bytes, int n_usable_pus, double deadline_s,
                             dn_control *header)
{
    if (n_ranks < 1 || n_ranks > DN_MAX_RANKS || !(deadline_s > 0))
        return dn_fail(DN_ERR_ARG, "%d ranks (must be 1 to %d) and a deadline of %g s (must be > 0)", n_ranks,
                       DN_MAX_RANKS, deadline_s);
    size_t scratch_bytes = DN_SCRATCH_BYTES + (size_t)n_ranks * DN_SCRATCH_BYTES_PER_PEER;
    scratch_bytes = (scratch_bytes + PAGE - 1) / PAGE * PAGE;
    size_t first_arena = rounded_up(FIRST_SCRATCH + (size_t)n_ranks * scratch_bytes);
    if (arena_bytes > ((size_t)1 << 62) / DN_MAX_RANKS)
        return dn_fail(DN_ERR_MEMORY, "an arena of %.2f GiB per rank is too large",
                       (double)arena_bytes / GIB);
    arena_bytes = rounded_up(arena_bytes);
    *header = (dn_control){.magic = DN_CONTROL_MAGIC,
                           .bytes = first_arena + (size_t)n_ranks * arena_bytes,
                           .arena_bytes = arena_bytes,
                           .first_arena = first_arena,
                           .scratch_bytes = scratch_bytes,
                           .deadline_s = deadline_s,
                           .n_ranks = (uint32_t)n_ranks,
                           .launcher = (int32_t)getpid(),
                           .crowded = n_here > n_usable_pus};
    uint64_t available = dn_limits_memory(""), needed = first_arena + (uint64_t)n_here * arena_bytes;
    if (needed > available)
        return dn_fail(
            DN_ERR_MEMORY,
            "%d rank%s need %.2f GiB each, together %.2f GiB of shared memory, and only %.2f GiB of memory "
            "are free: use fewer ranks, a smaller model or a smaller batch",
            n_here, dn_plural(n_here), (double)arena_bytes / GIB, (double)needed / GIB,
            (double)available / GIB);
    return DN_OK;
}

dn_status dn_world_create(int n_ranks, size_t arena_bytes, int n_usable_pus, double deadline_s,
                          dn_world **out)
{
    return dn_world_create_part(n_ranks, n_ranks, arena_bytes, n_usable_pus, deadline_s, out);
}

dn_status dn_world_create_part(int n_ranks, int n_here, size_t arena_bytes, int n_usable_pus, double deadline_s,
                               dn_world **out)
{
    dn_control *header = malloc(sizeof *header); /* with the states of all ranks: too large for a small stack */
    if (!header)
        return dn_fail(DN_ERR_MEMORY, "no memory for the header of shared memory");
    int descriptor = -1;
    dn_status status = make_header(n_ranks, n_here, arena_bytes, n_usable_pus, deadline_s, header);
    if (status == DN_OK && (descriptor = open_segment(header->bytes)) < 0)
        status = dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot create shared memory");
    if (status == DN_OK)
        status = create_in(descriptor, header, out);
    if (status != DN_OK && descriptor >= 0)
        close(descriptor);
    free(header);
    return status;
}

/* ---- workers ---- */

void dn_world_export(dn_world *world, char *text, size_t bytes)
{
    fcntl(world->descriptor, F_SETFD, 0);
    snprintf(text, bytes, VARIABLE "=%d:%" PRIx64 ":%" PRIu64, world->descriptor,
             (uint64_t)(uintptr_t)world->control, world->bytes);
}

bool dn_world_inherited(void)
{
    return getenv(VARIABLE) != NULL;
}

dn_status dn_control_attach_to(int descriptor, uint64_t address, uint64_t bytes, int rank, dn_world **out)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0 || (uint64_t)info.st_size != bytes || bytes < sizeof(dn_control))
        return dn_fail(DN_ERR_SYSTEM, "descriptor %d of " VARIABLE " is not the launcher's shared memory",
                       descriptor);
    dn_control *control = map_at(descriptor, bytes, address);
    if (control == MAP_FAILED)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot map the launcher's shared memory at %#" PRIx64,
                             address);
    dn_status status = DN_OK;
    if (control->magic != DN_CONTROL_MAGIC || control->bytes != bytes)
        status = dn_fail(DN_ERR_SYSTEM,
                         "the launcher's shared memory was made by another version of this program");
    else if (rank < 0 || rank >= (int)control->n_ranks)
        status =
            dn_fail(DN_ERR_SYSTEM, "rank %d of world size %u: RANK is out of range", rank, control->n_ranks);
    else
        status = make_handle(control, descriptor, out);
    if (status != DN_OK)
        munmap(control, bytes);
    return status;
}

dn_status dn_world_attach(int rank, dn_world **out)
{
    const char *text = getenv(VARIABLE);
    int descriptor;
    uint64_t address, bytes;
    if (!text || sscanf(text, "%d:%" SCNx64 ":%" SCNu64, &descriptor, &address, &bytes) != 3)
        return dn_fail(DN_ERR_SYSTEM,
                       VARIABLE " is missing or malformed: this process is not a launcher's worker");
    DN_TRY(dn_control_attach_to(descriptor, address, bytes, rank, out));
    fcntl(descriptor, F_SETFD, FD_CLOEXEC); /* children of the worker are no ranks */
    ask_for_huge_pages((*out)->control);
    dn_world_tick(*out, rank, 0, "joining");
    return DN_OK;
}

/* Linux before 5.14 lacks the advice; there the file system allocates the pages, and the faults that remain
 * cannot fail. Both allocate on the node where this thread runs, or to which the range is bound. */
static int populate_chunk(dn_world *world, char *start, size_t bytes)
{
    int error;
    do
        error = madvise(start, bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
    while (error == EINTR || error == EAGAIN);
    if (error == EINVAL)
        error = posix_fallocate(world->descriptor, start - (char *)world->control, (off_t)bytes);
    return error;
}

static dn_status populate(dn_world *world, int rank, char *start, size_t bytes, const char *name)
{
    for (size_t done = 0; done < bytes; done += POPULATE_BYTES) {
        int error = populate_chunk(world, start + done, dn_min(bytes - done, POPULATE_BYTES));
        if (error)
            return dn_fail_errno(
                DN_ERR_MEMORY, error == EFAULT ? ENOSPC : error,
                "rank %d: only %.2f of %.2f GiB of its %s could be allocated: use fewer ranks, a "
                "smaller model or a smaller batch",
                rank, (double)done / GIB, (double)bytes / GIB, name);
        dn_world_tick(world, rank, 0, "populate");
        DN_TRY(dn_world_check(world));
    }
    return DN_OK;
}

dn_status dn_world_populate(dn_world *world, int rank, size_t arena_bytes)
{
    DN_TRY(populate(world, rank, dn_world_scratch(world, rank), world->control->scratch_bytes, "scratch"));
    assert(arena_bytes <= world->control->arena_bytes);
    return populate(world, rank, dn_world_arena(world, rank), arena_bytes, "arena");
}

void dn_world_destroy(dn_world **world)
{
    if (!*world)
        return;
    close((*world)->descriptor);
    if ((*world)->is_copy)
        free((*world)->control);
    else
        munmap((*world)->control, (*world)->bytes);
    free(*world);
    *world = NULL;
}

/* ---- layout ---- */

int dn_world_size(const dn_world *world)
{
    return world->n_ranks;
}

double dn_world_deadline_s(const dn_world *world)
{
    return world->control->deadline_s;
}

size_t dn_world_arena_bytes(const dn_world *world)
{
    return world->control->arena_bytes;
}

void *dn_world_arena(const dn_world *world, int rank)
{
    assert(rank >= 0 && rank < dn_world_size(world));
    return (char *)world->control + world->control->first_arena + (size_t)rank * world->control->arena_bytes;
}

void *dn_world_scratch(const dn_world *world, int rank)
{
    assert(rank >= 0 && rank < dn_world_size(world));
    return (char *)world->control + FIRST_SCRATCH + (size_t)rank * world->control->scratch_bytes;
}

size_t dn_world_scratch_bytes(const dn_world *world)
{
    return world->control->scratch_bytes;
}

static bool lies_in(const void *base, size_t size, const void *p, size_t bytes)
{
    uintptr_t from = (uintptr_t)base, at = (uintptr_t)p;
    return at >= from && at - from <= size && bytes <= size - (at - from);
}

bool dn_world_owns(const dn_world *world, int rank, const void *p, size_t bytes)
{
    const dn_control *control = world->control;
    return lies_in(dn_world_arena(world, rank), control->arena_bytes, p, bytes) ||
           lies_in(dn_world_scratch(world, rank), control->scratch_bytes, p, bytes);
}

bool dn_world_crowded(const dn_world *world)
{
    return world->control->crowded;
}

void dn_world_on_wait(dn_world *world, void (*poll)(void *context), void *context)
{
    world->poll = poll;
    world->poll_context = context;
}

uint64_t dn_world_offset(const dn_world *world, const void *p)
{
    return (uint64_t)((const char *)p - (const char *)world->control);
}

void *dn_world_at(const dn_world *world, uint64_t offset)
{
    return (char *)world->control + offset;
}

bool dn_world_has(const dn_world *world, uint64_t offset, uint64_t bytes)
{
    return offset <= world->bytes && bytes <= world->bytes - offset;
}
