/* HTML pages that need nothing from elsewhere: their beginning with its style, and text in them. A page is
 * also well-formed XML. Colours are named --c0 to --c7 and differ between light and dark. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include <stdio.h>

enum { DN_PAGE_COLOURS = 8 };

/** Up to and with the opening of the body; title without markup. */
void dn_page_begin(const char *title, FILE *out);
void dn_page_end(FILE *out);

/** Any text, escaped for elements and attributes; control characters become blanks. */
void dn_page_text(const char *text, FILE *out);

/** "<h2>title</h2><p>note</p>": both escaped; note NULL = none. */
void dn_page_section(const char *title, const char *note, FILE *out);

#endif
