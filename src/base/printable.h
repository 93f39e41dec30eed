/* Text from outside - files, arguments, other processes' memory - that is going to be shown on a terminal. */
#ifndef BASE_PRINTABLE_H
#define BASE_PRINTABLE_H

/** Replaces by '?' what could command a terminal or break the line: control characters (of ASCII, and U+0080
 * to U+009F), line separators and marks that reorder text, and every byte that is not part of valid UTF-8. */
void dn_printable(char *text);

/** The end of a noun's plural: "1 package", "2 packages". */
static inline const char *dn_plural(long long n)
{
    return n == 1 ? "" : "s";
}

#endif
