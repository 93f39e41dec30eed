/* Making untrusted text (files, arguments, other processes' memory) safe to print on a terminal. */
#ifndef BASE_PRINTABLE_H
#define BASE_PRINTABLE_H

/** Replaces with '?' what could control the terminal or break the line: control characters (of ASCII, and
 * U+0080 to U+009F), line separators and marks that reorder text, and every byte that is not part of valid
 * UTF-8. */
void dn_printable(char *text);

/** The end of a noun's plural: "1 package", "2 packages". */
static inline const char *dn_plural(long long n)
{
    return n == 1 ? "" : "s";
}

#endif
