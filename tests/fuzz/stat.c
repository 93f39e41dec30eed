/*
 * `dionode stat` of a process whose shared memory holds anything: this process keeps a segment that is named
 * as ours are. First byte: bit 0 puts magic and size right; then come two bytes, how many ranks, and the rest
 * is laid over the control page from an offset of two bytes on. Bit 1 cuts the segment there.
 */
#include "fuzz/fuzz.h"

#include "dionode/launch.h"
#include "shm/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What goes to a terminal must not command it. */
static void check_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        FUZZ_EXPECT(((unsigned char)text[i] >= ' ' && text[i] != 0x7f) || text[i] == '\n',
                    "byte %#x is printed", (unsigned char)text[i]);
}

static void run(const uint8_t *data, size_t size)
{
    static dn_control control;
    fuzz_input input = {data, size};
    uint64_t how = fuzz_take(&input, 1);
    memset(&control, 0, sizeof control);
    control.n_ranks = (uint32_t)fuzz_take(&input, 2);
    size_t at = fuzz_take(&input, 2) * 8 % sizeof control, end = sizeof control, n = input.size;
    n = n < sizeof control - at ? n : sizeof control - at;
    if (n)
        memcpy((char *)&control + at, input.data, n);
    if (how & 2)
        end = at;
    if (how & 1) {
        control.magic = DN_CONTROL_MAGIC;
        control.bytes = end;
    }
    int segment = memfd_create("dionode", MFD_CLOEXEC);
    FUZZ_EXPECT(segment >= 0 && write(segment, &control, end) == (ssize_t)end, "cannot make a segment");
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    dn_status status = dn_launch_print((int)getpid(), out);
    fclose(out);
    close(segment);
    if (status == DN_OK)
        check_text(text, length);
    else
        FUZZ_EXPECT_FAILURE(status, DN_ERR_SYSTEM);
    free(text);
}

const fuzz_target fuzz_stat = {"stat", run, 500};
