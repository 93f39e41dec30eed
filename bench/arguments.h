/* What the programs of this folder have in common: --help says what is measured, which arguments there are and in which units; of an
 * argument that is wrong one line says what, and the exit status is 2. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <argp.h>

/** argp_parse, of one line. The parser is given a NULL err_stream: it calls bench_wrong where others call argp_error. */
void bench_parse(const struct argp *argp, int argc, char **argv, void *input);

/** Prints the program's name and the line, and exits with 2. */
_Noreturn void bench_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The integer that `text` is; `name` is the argument's. */
int bench_integer(const char *name, const char *text, int min, int max);

#endif
