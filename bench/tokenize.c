/*
 * How fast does text become tokens? One thread encodes a text, in blocks of up to 64 KiB as `prepare` deals
 * them to threads, three times; prints the bytes of text, the tokens, and the median of MB/s.
 */
#include "arguments.h"

#include "dionode/tokenizer.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPEATS = 3, BLOCK = 64 << 10 };

static void must(dn_status status)
{
    if (status == DN_OK)
        return;
    fprintf(stderr, "bench tokenize: %s\n", dn_error_message());
    exit(dn_status_exit(status));
}

static char *read_text(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    *n = 0;
    if (file && fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0) {
        *n = (size_t)ftell(file);
        rewind(file);
        text = malloc(*n);
    }
    if (!text || fread(text, 1, *n, file) != *n) {
        fprintf(stderr, "bench tokenize: %s cannot be read\n", path);
        exit(5);
    }
    fclose(file);
    return text;
}

static size_t encode(dn_encoder *encoder, const char *text, size_t n)
{
    size_t all = 0;
    for (size_t at = 0, end; at < n; at = end) {
        const int32_t *ids;
        size_t n_ids;
        end = n - at > BLOCK ? at + BLOCK : n;
        while (end < n && end > at + 1 && text[end - 1] != '\n')
            end--;
        must(dn_encode(encoder, text + at, end - at, &ids, &n_ids));
        all += n_ids;
    }
    return all;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct options {
    const char *tokenizer, *text;
} options;

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    if (key == ARGP_KEY_END && !o->text)
        bench_wrong("a tokenizer and a text are needed; --help says which");
    if (key != ARGP_KEY_ARG || state->arg_num > 1)
        return ARGP_ERR_UNKNOWN;
    *(state->arg_num == 0 ? &o->tokenizer : &o->text) = text;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse, "TOKENIZER TEXT",
                                     "How fast one thread makes tokens of a text: bytes of text, tokens, and MB/s (10^6 bytes), the "
                                     "median of three times.\v"
                                     "TOKENIZER: a file that `dionode prepare --tokenizer` takes. TEXT: any file.", NULL, NULL, NULL};
    options o = {0};
    dn_tokenizer *tokenizer;
    dn_encoder *encoder;
    double seconds[REPEATS];
    size_t n, tokens = 0;
    bench_parse(&argp, argc, argv, &o);
    char *text = read_text(o.text, &n);
    must(dn_tokenizer_open(o.tokenizer, &tokenizer));
    must(dn_encoder_create(tokenizer, &encoder));
    for (int i = 0; i < REPEATS; i++) {
        double begin_s = dn_clock_s();
        tokens = encode(encoder, text, n);
        seconds[i] = dn_clock_s() - begin_s;
    }
    qsort(seconds, REPEATS, sizeof *seconds, by_value);
    printf("%zu bytes, %zu tokens, %.1f MB/s\n", n, tokens, (double)n / seconds[REPEATS / 2] * 1e-6);
    dn_encoder_destroy(&encoder);
    dn_tokenizer_close(&tokenizer);
    free(text);
    return 0;
}
