/*
 * A checkpoint. First byte even: the rest is the file as it is. Odd: the rest is the header's JSON behind its
 * fixed beginning, a zero byte, and the tensors; length, padding and checksum are put right, so that what is
 * behind them is reached. The next two bytes are the shape that is asked for.
 */
#include "fuzz/fuzz.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The file of a header's rest and of tensors; owned by the caller. */
static char *repaired(const uint8_t *data, size_t size, size_t *bytes)
{
    size_t rest = strnlen((const char *)data, size), n_tensors = rest < size ? size - rest - 1 : 0;
    size_t digits_end = DN_CHECKPOINT_DIGITS_AT + DN_CHECKPOINT_DIGITS;
    size_t header_end =
        (digits_end + 1 + rest + DN_CHECKPOINT_ALIGN - 1) / DN_CHECKPOINT_ALIGN * DN_CHECKPOINT_ALIGN;
    uint64_t length = header_end - 8;
    char digits[DN_CHECKPOINT_DIGITS + 1];
    *bytes = header_end + n_tensors;
    char *file = malloc(*bytes);
    FUZZ_EXPECT(file, "no memory");
    memset(file, ' ', header_end);
    memcpy(file, &length, sizeof length);
    memcpy(file + 8, DN_CHECKPOINT_PREFIX DN_CHECKPOINT_ZEROS "\"", digits_end + 1 - 8);
    memcpy(file + digits_end + 1, data, rest);
    if (n_tensors)
        memcpy(file + header_end, data + rest + 1, n_tensors);
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits(file, *bytes));
    memcpy(file + DN_CHECKPOINT_DIGITS_AT, digits, DN_CHECKPOINT_DIGITS);
    return file;
}

/* Reads tensor `name` if it is of that shape, whole and in part. */
static void read_tensor(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols)
{
    const dn_real *data;
    volatile dn_real sum = 0; /* reads that are not thrown away */
    dn_real *copy = calloc(rows * cols + 1, sizeof *copy);
    FUZZ_EXPECT(copy, "no memory");
    dn_status status = dn_checkpoint_tensor(checkpoint, name, rows, cols, &data);
    if (status == DN_OK) {
        FUZZ_EXPECT(dn_checkpoint_has(checkpoint, name), "a tensor %s that the file has not", name);
        for (size_t i = 0; i < rows * cols; i++)
            sum = sum + data[i];
    } else
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CHECKPOINT);
    const dn_block blocks[] = {{0, rows, 0, cols},
                               {rows / 2, rows - rows / 2, cols / 2, cols - cols / 2},
                               {1, rows, 0, cols},
                               {SIZE_MAX, 1, 0, cols},
                               {0, rows, 1, SIZE_MAX}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        status = dn_checkpoint_block(checkpoint, name, rows, cols, &blocks[i], copy);
        if (status != DN_OK)
            FUZZ_EXPECT_FAILURE(status, DN_ERR_CHECKPOINT, DN_ERR_ARG);
    }
    free(copy);
}

static void run(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b", "", "__metadata__"};
    fuzz_input input = {data, size};
    uint64_t mode = fuzz_take(&input, 1);
    size_t rows = fuzz_take(&input, 1), cols = fuzz_take(&input, 1), bytes = input.size;
    char *file = mode & 1 ? repaired(input.data, input.size, &bytes) : NULL;
    const char *path = fuzz_file("step_00000001.safetensors", file ? file : (const char *)input.data, bytes);
    dn_checkpoint *checkpoint = NULL;
    dn_status status = dn_checkpoint_open(path, NULL, NULL, &checkpoint);
    if (status == DN_OK) {
        const char *step = dn_checkpoint_meta(checkpoint, "step");
        FUZZ_EXPECT(!step || strlen(step) < size, "metadata longer than the file");
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            read_tensor(checkpoint, names[i], rows, cols);
    } else
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CHECKPOINT);
    dn_checkpoint_close(&checkpoint);
    free(file);
}

const fuzz_target fuzz_checkpoint = {"checkpoint", run, 800};
