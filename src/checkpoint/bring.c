/* A checkpoint for nodes that do not see the first one's folder. */
#include "checkpoint/checkpoint.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/size.h"
#include "checkpoint/generations.h"
#include "comm/world.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20, HEAD = 4096 };

/* Rank 0's newest generation. */
typedef struct newest {
    uint64_t found, step, bytes;
    char head[HEAD]; /* its first bytes, among them the checksum of all */
} newest;

static dn_status read_at(FILE *file, const char *path, void *data, size_t bytes)
{
    return fread(data, 1, bytes, file) == bytes ? DN_OK : dn_fail_errno(DN_ERR_IO, ferror(file) ? errno : EIO, "cannot read '%s'", path);
}

/* *file: at its beginning; NULL: there is none. The caller closes it. */
static dn_status find_newest(const char *dir, char path[PATH_MAX], newest *out, FILE **file)
{
    bool found;
    struct stat info;
    *out = (newest){0};
    *file = NULL;
    DN_TRY(dn_checkpoint_latest(dir, path, PATH_MAX, &found));
    if (!found || !dn_generation_step(path, &out->step))
        return DN_OK;
    *file = dn_file_read(path);
    if (!*file || fstat(fileno(*file), &info) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot read '%s'", path);
    out->found = 1;
    out->bytes = (uint64_t)info.st_size;
    DN_TRY(read_at(*file, path, out->head, dn_min(HEAD, out->bytes)));
    rewind(*file);
    return DN_OK;
}

/* Whether this node has the file: one that is named, as long and begins as that. */
static bool has(const char *path, const newest *wanted)
{
    char head[HEAD] = {0};
    struct stat info;
    FILE *file = dn_file_read(path);
    bool same = file && fstat(fileno(file), &info) == 0 && (uint64_t)info.st_size == wanted->bytes &&
                read_at(file, path, head, dn_min(HEAD, wanted->bytes)) == DN_OK && memcmp(head, wanted->head, HEAD) == 0;
    if (file)
        fclose(file);
    return same;
}

/* file: rank 0's, from its beginning; to: where it is written; others only pass on. */
static dn_status copy(dn_comm *comm, const char *path, uint64_t bytes, FILE *file, dn_atomic_file *to, void *piece)
{
    for (uint64_t at = 0; at < bytes; at += PIECE) {
        const size_t n = (size_t)dn_min((uint64_t)PIECE, bytes - at);
        if (file)
            DN_TRY(read_at(file, path, piece, n));
        DN_TRY(dn_comm_broadcast(comm, piece, n, 0, DN_TRAFFIC_CONTROL));
        if (to->path)
            DN_TRY(dn_atomic_file_append(to, piece, n));
        dn_comm_tick(comm, at, "bringing checkpoint");
    }
    return DN_OK;
}

static bool is_first_on_node(const dn_comm *comm)
{
    int rank = 0;
    while (dn_comm_node(comm, rank) != dn_comm_node(comm, dn_comm_rank(comm)))
        rank++;
    return rank == dn_comm_rank(comm);
}

static dn_status bring(dn_comm *comm, const char *dir, size_t keep, const newest *wanted, FILE *file)
{
    char path[PATH_MAX];
    dn_atomic_file to = {0};
    DN_TRY(dn_generation_path(dir, wanted->step, path, sizeof path));
    const bool takes = is_first_on_node(comm) && dn_comm_rank(comm) != 0 && !has(path, wanted);
    double any = takes;
    DN_TRY(dn_comm_all_reduce_scalars(comm, &any, 1, DN_MAX));
    if (any == 0)
        return DN_OK;
    void *piece = malloc(PIECE);
    dn_status status = piece ? DN_OK : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    if (status == DN_OK && takes)
        status = dn_dir_make(dir);
    if (status == DN_OK && takes)
        status = dn_atomic_file_open(path, wanted->bytes, &to);
    if (status == DN_OK)
        status = copy(comm, path, wanted->bytes, file, &to, piece);
    if (takes)
        status = dn_atomic_file_end(&to, status);
    if (takes && status == DN_OK)
        dn_generations_prune(dir, wanted->step, keep - 1);
    free(piece);
    return status == DN_OK ? dn_comm_barrier(comm) : status;
}

dn_status dn_checkpoint_bring(dn_comm *comm, const char *dir, size_t keep)
{
    char path[PATH_MAX];
    newest wanted = {0};
    FILE *file = NULL;
    dn_status status = dn_comm_rank(comm) == 0 ? find_newest(dir, path, &wanted, &file) : DN_OK;
    if (status == DN_OK)
        status = dn_comm_broadcast(comm, &wanted, sizeof wanted, 0, DN_TRAFFIC_CONTROL);
    if (status == DN_OK && wanted.found)
        status = bring(comm, dir, keep, &wanted, file);
    if (file)
        fclose(file);
    return status;
}
