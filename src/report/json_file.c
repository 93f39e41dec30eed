#include "report/json_file.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <jansson.h>
#include <stdlib.h>

static void print(FILE *out, void *text)
{
    fputs(text, out);
}

dn_status dn_json_file_write(json_t *object, int digits, const char *path)
{
    char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(digits)) : NULL;
    json_decref(object);
    dn_status status = text ? dn_atomic_file_print(path, print, text)
                            : dn_fail(DN_ERR_MEMORY, "%s: no memory for its JSON, or a text in it is not UTF-8", path);
    free(text);
    return status;
}
