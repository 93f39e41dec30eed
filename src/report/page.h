/* Self-contained HTML pages, which are also well-formed XML. Colours are --c0 to --c7, with light and dark
 * variants. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include <stdio.h>

enum { DN_PAGE_COLOURS = 8 };

/** Writes everything up to and including the <body> tag; title is plain text. */
void dn_page_begin(const char *title, FILE *out);
void dn_page_end(FILE *out);

/** Any text, escaped for elements and attributes; control characters become blanks. */
void dn_page_text(const char *text, FILE *out);

/** "<h2>title</h2><p>note</p>": both escaped; note NULL = none. */
void dn_page_section(const char *title, const char *note, FILE *out);

#endif
