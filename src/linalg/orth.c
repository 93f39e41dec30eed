#include "linalg/orth.h"

#include "base/fail.h"

/* Queues what `method` tries before Householder; false if that is nothing. */
static bool attempt(dn_stream *s, dn_orth method, dn_buf *p, size_t m, size_t r, uint64_t seed, uint64_t draw,
                    bool *ok)
{
    switch (method) {
    case DN_ORTH_CQR2:
        s->kernels->orth_cholesky2(s, p, m, r, ok);
        return true;
    case DN_ORTH_CQR:
        s->kernels->orth_cholesky(s, p, m, r, ok);
        return true;
    case DN_ORTH_RCQR:
        if (m > r)
            s->kernels->orth_sketched(s, p, m, r, seed, draw, ok);
        return m > r;
    case DN_ORTH_QR:
        break;
    }
    return false;
}

dn_status dn_orthonormalize(dn_stream *s, dn_orth method, dn_buf *p, size_t m, size_t r, uint64_t seed,
                            uint64_t draw, bool *fell_back)
{
    bool ok = false;
    bool tried = attempt(s, method, p, m, r, seed, draw, &ok);
    DN_TRY(dn_stream_sync(s));
    if (!ok && method == DN_ORTH_CQR) {
        attempt(s, DN_ORTH_RCQR, p, m, r, seed, draw, &ok);
        DN_TRY(dn_stream_sync(s));
    }
    *fell_back = tried && !ok;
    if (ok)
        return DN_OK;
    s->kernels->orth_householder(s, p, m, r, &ok);
    DN_TRY(dn_stream_sync(s));
    if (!ok)
        return dn_fail(DN_ERR_NUMERIC, "cannot orthonormalize a %zu x %zu matrix that is not finite", m, r);
    return DN_OK;
}
