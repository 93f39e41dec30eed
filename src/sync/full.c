#include "sync/full.h"

#include "base/fail.h"

size_t dn_spans_join(dn_span *spans, size_t n)
{
    size_t last = 0;
    for (size_t i = 1; i < n; i++)
        if (dn_at(spans[last].data, spans[last].count) == spans[i].data)
            spans[last].count += spans[i].count;
        else
            spans[++last] = spans[i];
    return n ? last + 1 : 0;
}

dn_status dn_full_average(dn_comm *dp, const dn_span *spans, size_t n, dn_traffic kind)
{
    for (size_t i = 0; i < n; i++)
        DN_TRY(dn_comm_all_reduce(dp, spans[i].data, spans[i].count, DN_REAL, DN_AVG, kind));
    return DN_OK;
}
