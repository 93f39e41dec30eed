#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* What jansson would say in its own terms, or show in bytes that nobody sees. NULL: neither. */
static const char *plain_reason(const char *text, size_t n, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return "it begins with a byte order mark; save it as UTF-8 without one";
    if (n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return "it is UTF-16; save it as UTF-8";
    if (memchr(text, 0, n))
        return "it has a NUL character, as no text does";
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return "\\u0000 stands for a NUL character, which is not taken";
    return code == json_error_invalid_utf8 ? "it is not UTF-8" : NULL;
}

json_t *dn_json_object(const char *text, size_t n, char why[DN_JSON_WHY])
{
    json_error_t error;
    char place[64] = "";
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json_is_object(json))
        return json;
    const char *reason = json ? "it is a value of another kind" : n == 0 ? "it is empty" : plain_reason(text, n, &error);
    if (!reason && memchr(text, '\n', n))
        snprintf(place, sizeof place, "line %d, column %d: ", error.line, error.column);
    else if (!reason)
        snprintf(place, sizeof place, "column %d: ", error.column);
    snprintf(why, DN_JSON_WHY, "no JSON object: %s%s", place, reason ? reason : error.text);
    json_decref(json);
    return NULL;
}
