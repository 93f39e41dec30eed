#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const fuzz_target *fuzz_find(const char *name)
{
    static const fuzz_target *const all[] = {&fuzz_checkpoint, &fuzz_foreign, &fuzz_jsonl, &fuzz_mesh, &fuzz_metrics, &fuzz_override,
                                             &fuzz_plan,       &fuzz_ring,      &fuzz_shards,  &fuzz_stat,
                                             &fuzz_text,       &fuzz_tokenizer, &fuzz_yaml};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

void fuzz_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void fuzz_expect_failure(dn_status status, const dn_status *expected)
{
    const char *message = dn_error_message();
    while (*expected != DN_OK && *expected != status)
        expected++;
    FUZZ_EXPECT(*expected != DN_OK, "status %d (%s) is none of those this call may return: %s", status,
                dn_status_name(status), message);
    FUZZ_EXPECT(*message, "a failure without a message");
    for (const char *c = message; *c; c++)
        FUZZ_EXPECT((unsigned char)*c >= ' ' && *c != 0x7f, "byte %#x in a message: %s", (unsigned char)*c,
                    message);
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    const char *folder = getenv("FUZZ_FOLDER");
    FUZZ_EXPECT(folder, "FUZZ_FOLDER names no folder for this target's files");
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_EXPECT(file >= 0 && write(file, data, size) == (ssize_t)size, "cannot write %s", path);
    close(file);
    return path;
}

uint64_t fuzz_take(fuzz_input *input, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes && input->size > 0; i++) {
        value |= (uint64_t)*input->data++ << 8 * i;
        input->size--;
    }
    return value;
}
