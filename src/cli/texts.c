#include "cli/cli.h"

error_t cli_parse_texts(int key, char *arg, struct argp_state *state, cli_texts *texts)
{
    switch (key) {
    case 'o':
        texts->path = arg;
        return 0;
    case ARGP_KEY_ARGS:
        texts->files = (const char *const *)state->argv + state->next;
        texts->n = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (!texts->n || !texts->path)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void cli_unescape(char *text)
{
    char *end = text;
    for (const char *at = text; *at; at++) {
        if (*at == '\\' && (at[1] == 'n' || at[1] == 't' || at[1] == '\\'))
            *end++ = *++at == 'n' ? '\n' : *at == 't' ? '\t' : '\\';
        else
            *end++ = *at;
    }
    *end = '\0';
}
