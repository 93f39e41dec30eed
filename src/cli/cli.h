/* Pieces that the commands share. The program sees public headers only. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "dionode/config.h"
#include "dionode/status.h"

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

/** A command's main: argv[0] is "dionode COMMAND"; command_line is the program's own argv, for re-execution.
 */
typedef int cli_command(int argc, char **argv, char **command_line);

cli_command cli_train, cli_compare, cli_eval, cli_generate, cli_prepare, cli_topo, cli_launch, cli_stat,
    cli_bench, cli_verify, cli_report, cli_tokenizer, cli_export, cli_finetune;
/* What `dionode bench` dispatches to. */
cli_command cli_bench_comm, cli_bench_numa;

typedef struct cli_entry {
    const char *name, *summary;
    cli_command *run;
} cli_entry;

/** The one with that name of the n commands below `parent` ("" or "bench "), or NULL, after a line on stderr that
 * names the nearest. */
const cli_entry *cli_find(const cli_entry *entries, size_t n, const char *parent, const char *name);

/** Runs the one of a group of commands that argv[1] names, `dionode GROUP NAME`. */
int cli_group(const char *group, const cli_entry *entries, size_t n, int argc, char **argv, char **command_line);

/** argp_parse, with -h for --help. */
void cli_parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

/** "-o PATH TEXT...": what a command makes of texts. */
typedef struct cli_texts {
    const char *const *files; /* [n] */
    size_t n;
    const char *path;
} cli_texts;

/** Parses option -o and the texts, without which a command prints its usage; an argp parser passes it what it
 * does not know. */
error_t cli_parse_texts(int key, char *arg, struct argp_state *state, cli_texts *texts);

/** Backslash n, t and backslash, which shells pass on as two characters, become one, in place: of options that are text. */
void cli_unescape(char *text);

/** Prints "dionode: message" to stderr and returns the exit status of a failure. */
int cli_failure(dn_status status);

/** Arranges that exit status 0 also means that everything printed was written: at exit, whoever calls it
 * (argp does for --help), output that cannot be written is told on stderr and makes a status of 0 that of
 * DN_ERR_IO. */
void cli_check_output_at_exit(void);

/** Writes out what was printed; false, after a line on stderr: it cannot be. A command whose rows take long to come stops there. */
bool cli_flush_output(void);

/** From here on the library's notices are printed; a worker calls it once it has read its command line. */
void cli_tell_notices(void);

/** Argument `number` of "CONFIG.yaml [key=value...]"; *status keeps the first failure. */
void cli_config_argument(unsigned number, const char *arg, dn_config *config, dn_status *status);

/** A whole number in [min, max] from an option's text; otherwise says so and exits with status 2. */
long long cli_integer(const char *option, const char *text, long long min, long long max);
double cli_number(const char *option, const char *text, double min, double max);
/** "2x3": two nodes of three ranks each, of at least two and at most DN_MAX_RANKS ranks in all. */
void cli_nodes(const char *option, const char *text, int nodes[2]);
/** Bytes from an option's text, as "32K". */
size_t cli_size(const char *option, const char *text);

#endif
