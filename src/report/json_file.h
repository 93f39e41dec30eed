/* JSON files of results. */
#ifndef REPORT_JSON_FILE_H
#define REPORT_JSON_FILE_H

#include "dionode/status.h"

struct json_t;

/** Writes object, which is released, to the file `path`, complete or not at all; numbers have so many significant digits
 * (0: as many as bring the same bits back). Errors: DN_ERR_MEMORY, also for NULL: what jansson gives where memory is
 * short or a text is not UTF-8; DN_ERR_IO. */
dn_status dn_json_file_write(struct json_t *object, int digits, const char *path) DN_MUST_USE;

#endif
