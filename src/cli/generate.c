#include "cli/cli.h"

#include "dionode/blas.h"
#include "dionode/launch.h"
#include "dionode/train.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_TOKENS = 1000,
    OPTION_TOKENIZER,
    OPTION_FILE,
    OPTION_STOP,
    OPTION_SAMPLES,
    OPTION_IDS,
    OPTION_JSON,
    OPTION_STATS,
    OPTION_NP,
    OPTION_TOP_P,
    OPTION_MIN_P,
    OPTION_PENALTY,
    OPTION_NO_SHIFT,
    OPTION_WEIGHTS,
    OPTION_CACHE
};

enum { STOPS_MAX = 64, SAMPLES_MAX = 512 };

typedef struct arguments {
    dn_generation what;
    char *stops[STOPS_MAX]; /* owned: workers read the command line as it was */
    bool json;
    int n_workers;
} arguments;

static error_t parse_sampling(int key, char *arg, dn_sampling *s)
{
    switch (key) {
    case OPTION_TOKENS:
        s->n_tokens = cli_integer("--tokens", arg, 0, 1000000000);
        return 0;
    case OPTION_PENALTY:
        s->repetition_penalty = cli_number("--repetition-penalty", arg, 0.001, 1000);
        return 0;
    case 't':
        s->temperature = cli_number("--temperature", arg, 0, 1000);
        return 0;
    case 'k':
        s->top_k = cli_integer("--top-k", arg, 0, 1 << 24);
        return 0;
    case OPTION_TOP_P:
        s->top_p = cli_number("--top-p", arg, 0, 1);
        return 0;
    case OPTION_MIN_P:
        s->min_p = cli_number("--min-p", arg, 0, 1);
        return 0;
    case 's':
        s->seed = (uint64_t)cli_integer("--seed", arg, 0, 1000000000000000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Whether it is bfloat16. */
static bool parse_type(const char *option, const char *arg, const struct argp_state *state)
{
    if (strcmp(arg, "float") != 0 && strcmp(arg, "bfloat16") != 0)
        argp_error(state, "%s is float or bfloat16, not '%s'", option, arg);
    return strcmp(arg, "bfloat16") == 0;
}

static error_t parse_output(int key, char *arg, arguments *a)
{
    switch (key) {
    case OPTION_SAMPLES:
        a->what.n_samples = (int)cli_integer("--samples", arg, 1, SAMPLES_MAX);
        return 0;
    case OPTION_IDS:
        a->what.ids = true;
        return 0;
    case OPTION_JSON:
        a->json = true;
        return 0;
    case OPTION_STATS:
        a->what.measure = true;
        return 0;
    case OPTION_NP:
        a->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    default:
        return parse_sampling(key, arg, &a->what.sampling);
    }
}

static void take_prompt(const char *prompt, arguments *a)
{
    if (strcmp(prompt, "-") == 0)
        a->what.file = prompt;
    else
        a->what.prompt = prompt;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'n': /* until the next minor version: -n was --tokens here */
        argp_error(state, "-n means workers (--np) in other commands; use --tokens %s", arg);
        return 0;
    case OPTION_TOKENIZER:
        a->what.tokenizer = arg;
        return 0;
    case OPTION_FILE:
        a->what.file = arg;
        return 0;
    case OPTION_NO_SHIFT:
        a->what.no_shift = true;
        return 0;
    case OPTION_WEIGHTS:
        a->what.weights_bf16 = parse_type("--weights", arg, state);
        return 0;
    case OPTION_CACHE:
        a->what.cache_bf16 = parse_type("--cache", arg, state);
        return 0;
    case OPTION_STOP:
        if (a->what.n_stops == STOPS_MAX || !*arg)
            argp_error(state, "--stop: at most %d strings, none of them empty", STOPS_MAX);
        a->stops[a->what.n_stops] = strdup(arg);
        if (!a->stops[a->what.n_stops])
            argp_failure(state, dn_status_exit(DN_ERR_MEMORY), 0, "no memory for --stop");
        cli_unescape(a->stops[a->what.n_stops++]);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "expected one RUN and one PROMPT; quote the prompt");
        if (state->arg_num == 0)
            a->what.run = arg;
        else
            take_prompt(arg, a);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (*a->what.prompt && a->what.file)
            argp_error(state, "a prompt, or a file to read it from, not both");
        return 0;
    default:
        return parse_output(key, arg, a);
    }
}

/* ---- results ---- */

/* Bytes that grow; of a sample that waits for the others, and of a line of JSON. */
typedef struct text {
    char *bytes;
    size_t n, room;
} text;

static dn_status append(text *x, const char *bytes, size_t n)
{
    if (x->n + n > x->room) {
        char *larger = realloc(x->bytes, 2 * x->room + n + 256);
        if (!larger)
            return DN_ERR_MEMORY;
        x->bytes = larger;
        x->room = 2 * x->room + n + 256;
    }
    if (n > 0) /* else there may be no memory yet */
        memcpy(x->bytes + x->n, bytes, n);
    x->n += n;
    return DN_OK;
}

typedef struct results {
    const arguments *a;
    text texts[SAMPLES_MAX], ids[SAMPLES_MAX];
    const char *reasons[SAMPLES_MAX];
} results;

/* Of one sample everything is printed at once, but for JSON; an output error ends the generation. */
static bool at_once(const results *r)
{
    return r->a->what.n_samples == 1 && !r->a->json;
}

/* The generation ends with it, in a worker as in a process of its own: errno says why. */
static dn_status flush(void)
{
    errno = 0; /* an earlier failed write has left only the error flag */
    return fflush(stdout) == 0 && !ferror(stdout) ? DN_OK : DN_ERR_IO;
}

static dn_status add_token(void *context, int sample, int32_t token, const char *bytes, size_t n)
{
    results *r = context;
    text *to = &r->texts[sample], *ids = &r->ids[sample];
    char number[16];
    size_t digits = (size_t)snprintf(number, sizeof number, "%s%d", ids->n ? r->a->json ? ", " : " " : "", token);
    dn_status status = token >= 0 ? append(ids, number, digits) : DN_OK;
    if (status == DN_OK && (token >= 0 || !(r->a->json || r->a->what.ids)))
        status = append(to, bytes, n);
    if (status != DN_OK || !at_once(r))
        return status;
    text *shown = r->a->what.ids ? ids : to;
    if (shown->n)
        fwrite(shown->bytes, 1, shown->n, stdout);
    if (r->a->what.ids && token >= 0)
        fputc(' ', stdout);
    ids->n = to->n = 0;
    return token >= 0 ? flush() : DN_OK; /* the prompt appears with what follows */
}

static dn_status end(void *context, int sample, const char *reason)
{
    ((results *)context)->reasons[sample] = reason;
    return DN_OK;
}

/* Bytes of the character at x if it is valid UTF-8, else 0 (RFC 3629). */
static size_t character(const unsigned char *x, size_t n)
{
    size_t length = x[0] < 0x80                   ? 1
                    : x[0] >= 0xc2 && x[0] < 0xe0 ? 2
                    : x[0] >= 0xe0 && x[0] < 0xf0 ? 3
                    : x[0] >= 0xf0 && x[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++)
        if (i >= n || (x[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (x[0] == 0xe0 && x[1] < 0xa0) || (x[0] == 0xf0 && x[1] < 0x90);
    bool beyond = (x[0] == 0xed && x[1] > 0x9f) || (x[0] == 0xf4 && x[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

/* As a string of JSON; what is no UTF-8 becomes U+FFFD. */
static void print_json_string(const text *x)
{
    const unsigned char *bytes = (const unsigned char *)x->bytes;
    fputc('"', stdout);
    for (size_t i = 0, length; i < x->n; i += length ? length : 1) {
        length = character(bytes + i, x->n - i);
        if (length == 0)
            fputs("\\ufffd", stdout);
        else if (bytes[i] == '"' || bytes[i] == '\\')
            printf("\\%c", bytes[i]);
        else if (bytes[i] < 0x20)
            printf("\\u%04x", bytes[i]);
        else
            fwrite(bytes + i, 1, length, stdout);
    }
    fputc('"', stdout);
}

static void print_sample(const results *r, int b)
{
    const text *ids = &r->ids[b], *shown = r->a->what.ids ? ids : &r->texts[b];
    if (r->a->json) {
        printf("{\"sample\": %d, \"ids\": [%.*s], \"text\": ", b, (int)ids->n, ids->n ? ids->bytes : "");
        print_json_string(&r->texts[b]);
        printf(", \"end\": \"%s\"}", r->reasons[b] ? r->reasons[b] : "signal");
    } else if (!at_once(r)) {
        if (!r->a->what.ids)
            printf("--- %d\n", b);
        fwrite(shown->n ? shown->bytes : "", 1, shown->n, stdout);
    }
    fputc('\n', stdout);
}

static void print_stats(const dn_generation_stats *s)
{
    fprintf(stderr, "prefill: %zu tokens in %.3f s, %.0f tokens/s\n", s->prompt_tokens, s->prefill_s,
            (double)s->prompt_tokens / s->prefill_s);
    if (s->tokens > 0 && s->read_bytes_per_s > 0)
        fprintf(stderr,
                "decode: %zu tokens in %.3f s, %.0f tokens/s; %.1f GB/s of weights and cache, %.0f %% of the "
                "%.1f "
                "GB/s that memory can be read at\n",
                s->tokens, s->decode_s, (double)s->tokens / s->decode_s, s->decode_bytes / s->decode_s * 1e-9,
                100 * s->decode_bytes / s->decode_s / s->read_bytes_per_s, s->read_bytes_per_s * 1e-9);
}

static dn_status print_all(void *context, const dn_generation_stats *stats)
{
    const results *r = context;
    for (int b = 0; b < r->a->what.n_samples; b++)
        print_sample(r, b);
    dn_status status = flush();
    if (r->a->what.measure)
        print_stats(stats);
    return status;
}

/* Exit status. */
static int generate(const arguments *a, const dn_generation_output *output, char **command_line)
{
    int signal = 0;
    if (dn_launch_is_worker()) {
        cli_tell_notices();
        return dn_generate_worker(&a->what, output);
    }
    dn_status status = a->n_workers > 1 ? dn_generate_launch(&a->what, a->n_workers, command_line, &signal)
                                        : dn_generate(&a->what, output);
    if (status != DN_OK)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}

static int run(const arguments *a, char **command_line)
{
    results *r = calloc(1, sizeof *r);
    if (!r) {
        fprintf(stderr, "dionode: no memory for the text\n");
        return dn_status_exit(DN_ERR_MEMORY);
    }
    r->a = a;
    const dn_generation_output output = {add_token, end, print_all, r};
    int status = generate(a, &output, command_line);
    for (int b = 0; b < a->what.n_samples; b++) {
        free(r->texts[b].bytes);
        free(r->ids[b].bytes);
    }
    free(r);
    return status;
}

int cli_generate(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"tokens", OPTION_TOKENS, "N", 0, "Tokens to generate (400)", 0},
        {NULL, 'n', "N", OPTION_HIDDEN, NULL, 0},
        {"file", OPTION_FILE, "FILE", 0, "Read the prompt from FILE; -, as for PROMPT: standard input", 0},
        {"stop", OPTION_STOP, "TEXT", 0, "End before TEXT, as '\\n'; may be given several times", 0},
        {"no-shift", OPTION_NO_SHIFT, NULL, 0,
         "End a text when the model's positions are full, instead of going on from the last half of them", 0},
        {"samples", OPTION_SAMPLES, "B", 0, "Continuations of the prompt, made together (1)", 0},
        {"tokenizer", OPTION_TOKENIZER, "PATH", 0,
         "File or folder of the model's tokenizer (default: the one in the run's data_dir or the Hugging Face folder, else "
         "tokens are bytes)",
         0},
        {"repetition-penalty", OPTION_PENALTY, "P", 0,
         "Logits of tokens of prompt and text are divided by this, or multiplied if negative (1)", 1},
        {"temperature", 't', "T", 0, "Logits are divided by this; 0: always the likeliest token (0.8)", 1},
        {"top-k", 'k', "K", 0, "Sample from the K likeliest tokens; 0: all (40)", 1},
        {"top-p", OPTION_TOP_P, "P", 0,
         "Sample from the likeliest tokens that together have this probability (1)", 1},
        {"min-p", OPTION_MIN_P, "P", 0, "Sample from tokens with this share of the largest probability (0)",
         1},
        {"seed", 's', "S", 0, "The same seed gives the same text (0)", 1},
        {"ids", OPTION_IDS, NULL, 0, "PROMPT is numbers of tokens, and so is what is printed", 2},
        {"json", OPTION_JSON, NULL, 0, "Print one JSON object for each sample", 2},
        {"stats", OPTION_STATS, NULL, 0,
         "Tell tokens per second, and the share of memory bandwidth, on standard error", 2},
        {"weights", OPTION_WEIGHTS, "TYPE", 0,
         "float, or bfloat16: half as much to read for a token, and half as much memory more; exact where weights came as "
         "bfloat16, else rounded (float)",
         3},
        {"cache", OPTION_CACHE, "TYPE", 0,
         "Keys and values of earlier tokens: float, or bfloat16, rounded, in half the memory (float)", 3},
        {"np", OPTION_NP, "N", 0, "Workers, each with its share of every layer (1)", 3},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "RUN [PROMPT]",
        "Continues PROMPT with the newest checkpoint in RUN, a run's "
        "checkpoint_dir, or with a checkpoint file such as "
        "RUN/best.safetensors; or with the model of a Hugging Face folder, or of llm.c's file (.bin).\v"
        "What a Hugging Face folder's generation_config.json says comes before the defaults above, and its end tokens end a "
        "text. "
        "Sampling goes in the order repetition penalty, temperature, top-k, top-p, min-p, as "
        "in Hugging Face's generate; programs on ggml apply the temperature last.",
        NULL,
        NULL,
        NULL};
    arguments a = {
        .what = {.prompt = "",
                 .n_samples = 1,
                 .sampling = {
                     .n_tokens = 400, .repetition_penalty = NAN, .temperature = NAN, .top_k = -1, .top_p = NAN, .min_p = NAN}}};
    a.what.stops = (const char *const *)a.stops;
    cli_parse(&argp, argc, argv, 0, &a);
    dn_threads_sleep(command_line);
    int status = run(&a, command_line);
    for (size_t i = 0; i < a.what.n_stops; i++)
        free(a.stops[i]);
    return status;
}
