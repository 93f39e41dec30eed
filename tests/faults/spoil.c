/* spoil FILE [TENSOR INDEX VALUE]: sets one float of a checkpoint and repairs its checksum, as a run that had diverged
 * would have left it; or repairs it alone. */
#include "checkpoint/format.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static char *read_all(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return NULL;
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *content = malloc(*bytes + 1);
    if (content && fread(content, 1, *bytes, file) != *bytes)
        return NULL;
    fclose(file);
    return content;
}

/* False: there is no such tensor. */
static bool set(char *content, const char *tensor, size_t index, float value)
{
    uint64_t header;
    size_t begin;
    memcpy(&header, content, sizeof header);
    char *data = content + 8 + header;
    char last = data[0], entry[300];
    data[0] = '\0'; /* the header is a string for a moment */
    snprintf(entry, sizeof entry, "\"%s\":{", tensor);
    const char *at = strstr(content + 8, entry);
    const char *offsets = at ? strstr(at, "\"data_offsets\":[") : NULL;
    bool found = offsets && sscanf(offsets, "\"data_offsets\":[%zu,", &begin) == 1;
    data[0] = last;
    if (found)
        memcpy(data + begin + index * sizeof value, &value, sizeof value);
    return found;
}

int main(int argc, char **argv)
{
    size_t bytes;
    char *content = argc == 5 || argc == 2 ? read_all(argv[1], &bytes) : NULL;
    if (!content)
        return 1;
    if (argc == 5 && !set(content, argv[2], strtoull(argv[3], NULL, 10), strtof(argv[4], NULL)))
        return 2;
    char digits[DN_CHECKPOINT_DIGITS + 1];
    memcpy(content + DN_CHECKPOINT_DIGITS_AT, DN_CHECKPOINT_ZEROS, DN_CHECKPOINT_DIGITS);
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits(content, bytes));
    memcpy(content + DN_CHECKPOINT_DIGITS_AT, digits, DN_CHECKPOINT_DIGITS);
    FILE *file = fopen(argv[1], "wb");
    if (!file || fwrite(content, 1, bytes, file) != bytes || fclose(file) != 0)
        return 3;
    free(content);
    return 0;
}
