#include "pipe/stash.h"

/* The copy from before the last `age` updates. */
static dn_buf *copy_at(const dn_stash *s, size_t age)
{
    return dn_at(s->copies, (s->made + s->n_kept - age) % s->n_kept * s->n);
}

dn_status dn_stash_begin(dn_stash *s)
{
    s->made = 0;
    for (size_t age = 1; age <= s->n_kept; age++)
        s->stream->kernels->copy(s->stream, copy_at(s, age), s->newest, s->n);
    return dn_stream_sync(s->stream);
}

dn_status dn_stash_keep(dn_stash *s)
{
    s->made++;
    if (s->n_kept > 0)
        s->stream->kernels->copy(s->stream, copy_at(s, 1), s->newest, s->n);
    return dn_stream_sync(s->stream);
}

const dn_buf *dn_stash_at(const dn_stash *s, size_t age)
{
    return age == 0 ? s->newest : copy_at(s, age);
}
