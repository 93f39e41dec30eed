#include "arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Around the program's own parser. Without a stream argp neither adds "Try --help" to what getopt has said in one line, nor exits. */
static error_t parse_quietly(int key, char *text, struct argp_state *state)
{
    (void)text;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = state->input;
    state->err_stream = NULL;
    return 0;
}

void bench_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    const struct argp own = {argp->options, argp->parser, NULL, NULL, NULL, NULL, NULL};
    const struct argp_child children[] = {{&own, 0, NULL, 0}, {0}};
    const struct argp whole = {NULL, parse_quietly, argp->args_doc, argp->doc, children, NULL, NULL};
    int next = argc;
    if (argp_parse(&whole, argc, argv, 0, &next, input) != 0)
        exit(2);
    if (next < argc)
        bench_wrong("'%s' is an argument too many; --help lists them", argv[next]);
}

void bench_wrong(const char *format, ...)
{
    va_list values;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(2);
}

int bench_integer(const char *name, const char *text, int min, int max)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < min || value > max)
        bench_wrong("%s: '%s' is not an integer from %d to %d", name, text, min, max);
    return (int)value;
}
