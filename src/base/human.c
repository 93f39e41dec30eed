#include "base/human.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Rounded to three digits first, so that 999.6 becomes 1.00k and not 1000. */
const char *dn_human(double value, const char *unit, char *text, size_t bytes)
{
    static const char prefixes[] = "\0kMGTPE";
    double size = fabs(value);
    int prefix = 0;
    while (prefix < 6 && size >= 999.5) {
        size /= 1000;
        prefix++;
    }
    const char *space = *unit ? " " : "";
    const char *sign = value < 0 ? "-" : "";
    if (prefix == 0)
        snprintf(text, bytes, "%s%.3g%s%s", sign, size, space, unit);
    else
        snprintf(text, bytes, "%s%.*f%s%c%s", sign,
                 size < 9.995   ? 2
                 : size < 99.95 ? 1
                                : 0,
                 size, space, prefixes[prefix], unit);
    return text;
}

/* The next unit from 1023.5 on, which four digits show as 1024. */
const char *dn_human_size(double size, char *text, size_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    int unit = 0;
    while (unit < 6 && size >= 1023.5) {
        size /= 1024;
        unit++;
    }
    snprintf(text, bytes, "%.4g %s", size, units[unit]);
    return text;
}

const char *dn_human_time(double seconds, char *text, size_t bytes)
{
    if (!(seconds >= 0 && seconds < 1e15)) {
        snprintf(text, bytes, "?");
        return text;
    }
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (s < 60)
        snprintf(text, bytes, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(text, bytes, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    else
        snprintf(text, bytes, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
    return text;
}
