/* Commands of two words, as `dionode bench comm`. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static void usage(FILE *out, const char *group, const cli_entry *entries, size_t n)
{
    fprintf(out, "Usage: dionode %s COMMAND [OPTION...]\n\nCommands:\n", group);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-10s %s\n", entries[i].name, entries[i].summary);
    fprintf(out, "\n'dionode %s COMMAND --help' shows the options.\n", group);
}

int cli_group(const char *group, const cli_entry *entries, size_t n, int argc, char **argv,
              char **command_line)
{
    static char name[64], parent[64];
    if (argc < 2) {
        usage(stderr, group, entries, n);
        return dn_status_exit(DN_ERR_CONFIG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout, group, entries, n);
        return 0;
    }
    snprintf(parent, sizeof parent, "%s ", group);
    const cli_entry *entry = cli_find(entries, n, parent, argv[1]);
    if (!entry)
        return dn_status_exit(DN_ERR_CONFIG);
    snprintf(name, sizeof name, "dionode %s %s", group, entry->name);
    argv[1] = name; /* as argp prints it */
    return entry->run(argc - 1, argv + 1, command_line);
}
