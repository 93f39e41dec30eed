/* Examples in two files: the first two bytes say where the first ends. */
#include "fuzz/fuzz.h"

#include "data/jsonl.h"

#include <stdbool.h>
#include <string.h>

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    size_t first = fuzz_take(&input, 2), lines = 2, n = 0;
    bool packed = false;
    first = first < input.size ? first : input.size;
    const char *files[] = {fuzz_file("a", input.data, first), fuzz_file("b", input.data + first, input.size - first)};
    dn_text text;
    dn_jsonl *jsonl;
    dn_example example = {.completion = ""};
    for (size_t i = 0; i < input.size; i++)
        lines += input.data[i] == '\n';
    for (size_t i = 0; i < input.size; i++)
        packed = packed || input.data[i] == 0x1f; /* perhaps gzip's magic */
    dn_status status = dn_text_open(files, 2, &text);
    FUZZ_EXPECT(status == DN_OK, "%s", dn_error_message());
    status = dn_jsonl_open(&text, &jsonl);
    while (status == DN_OK && example.completion) {
        status = dn_jsonl_next(jsonl, &example);
        if (status != DN_OK || !example.completion)
            break;
        FUZZ_EXPECT(example.n_completion > 0 && strlen(example.completion) == example.n_completion, "%zu bytes of completion",
                    example.n_completion);
        FUZZ_EXPECT((example.prompt ? strlen(example.prompt) : 0) == example.n_prompt, "%zu bytes of prompt", example.n_prompt);
        n++;
    }
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    FUZZ_EXPECT(n <= lines || packed, "%zu examples of %zu lines", n, lines);
    dn_jsonl_close(&jsonl);
    dn_text_close(&text);
}

const fuzz_target fuzz_jsonl = {"jsonl", run, 500};
