/*
 * Numbers for people. One rule for bytes: memory and caches in the powers of two that they come in (KiB, MiB,
 * GiB), as hwloc has them; files, traffic and rates in powers of ten (kB, MB, GB/s), as disks and networks
 * have them.
 */
#ifndef BASE_HUMAN_H
#define BASE_HUMAN_H

#include <stddef.h>

/** "1.25 MB" (unit "B"), "41.2k" (unit ""): three digits, decimal prefixes k to E. Returns text. */
const char *dn_human(double value, const char *unit, char *text, size_t bytes);
/** Memory: "48 KiB", "1.25 GiB", "100.5 GiB": four digits, binary prefixes Ki to Ei. Returns text. */
const char *dn_human_size(double size, char *text, size_t bytes);
/** "1:02:03", "4:05", "12 s", rounded to seconds; "?" for what is negative or not finite. Returns text. */
const char *dn_human_time(double seconds, char *text, size_t bytes);

#endif
