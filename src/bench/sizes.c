#include "bench/sizes.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool dn_bench_parse_size(const char *text, size_t *bytes)
{
    static const char suffixes[] = "KMG";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || errno)
        return false;
    int shift = 0;
    const char *suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    if (suffix) {
        shift = 10 * (int)(suffix - suffixes + 1);
        end++;
    }
    if (*end || value > SIZE_MAX >> shift)
        return false;
    *bytes = (size_t)value << shift;
    return true;
}

static size_t largest(const dn_bench_comm_options *o, size_t limit)
{
    return limit && limit < o->max_bytes ? limit : o->max_bytes;
}

bool dn_bench_first_size(const dn_bench_comm_options *o, size_t element_bytes, size_t limit, size_t *bytes)
{
    *bytes = element_bytes && o->min_bytes < element_bytes ? element_bytes : element_bytes ? o->min_bytes : 0;
    return *bytes <= largest(o, limit);
}

bool dn_bench_next_size(const dn_bench_comm_options *o, size_t element_bytes, size_t limit, size_t *bytes)
{
    size_t room = SIZE_MAX - *bytes, more = o->step_bytes;
    if (!more) {
        if (*bytes > SIZE_MAX / (size_t)o->factor)
            return false;
        more = *bytes * ((size_t)o->factor - 1);
    }
    if (!element_bytes || more == 0 || more > room || *bytes + more > largest(o, limit))
        return false;
    *bytes += more;
    return true;
}

size_t dn_bench_stride(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

int dn_bench_batch(size_t bytes, int n_messages)
{
    size_t stride = dn_bench_stride(bytes), n = stride ? DN_BENCH_BATCH_BYTES / stride : DN_BENCH_BATCH_MAX;
    int batch = n > DN_BENCH_BATCH_MAX ? DN_BENCH_BATCH_MAX : (int)n;
    return batch > n_messages ? batch / n_messages : 1;
}
