/* Reading JSON that people and other programs wrote. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stddef.h>

enum { DN_JSON_WHY = 256 };

/** The object that text [n] is, without keys that come twice; owned by the caller (json_decref). NULL: none, and why says so
 * behind the name of a file: "no JSON object: line 2, column 7: ..."; of a text of one line, its column alone. */
json_t *dn_json_object(const char *text, size_t n, char why[DN_JSON_WHY]);

#endif
