/* Copies and folds of collectives, on the communicator's stream and on any device. */
#include "base/fail.h"
#include "comm/internal.h"

dn_status dn_comm_copy(const dn_comm *comm, void *to, const void *from, size_t bytes)
{
    dn_copy_bytes(comm->stream, to, from, bytes);
    return dn_stream_sync(comm->stream);
}

void dn_fold_init(dn_job_fold *fold, dn_comm *comm, const dn_job *job, size_t n)
{
    fold->comm = comm;
    fold->job = job;
    fold->work.type = job->type;
    fold->work.op = job->op;
    fold->work.n = n;
    fold->work.n_averaged = comm->size;
    fold->work.n_sources = fold->work.n_targets = 0;
}

static void count(const dn_job_fold *fold, int member)
{
    dn_comm_count_moved(fold->comm, fold->job->kind, member, fold->work.n * dn_type_bytes(fold->work.type));
}

void dn_fold_from(dn_job_fold *fold, int member, const char *source)
{
    fold->work.sources[fold->work.n_sources++] = source;
    count(fold, member);
}

void dn_fold_to(dn_job_fold *fold, int member, char *target)
{
    fold->work.targets[fold->work.n_targets++] = target;
    count(fold, member);
}

dn_status dn_fold_run(const dn_job_fold *fold)
{
    dn_stream *stream = fold->comm->stream;
    stream->device->fold(stream, &fold->work);
    return dn_stream_sync(stream);
}
