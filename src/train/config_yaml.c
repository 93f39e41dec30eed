/*
 * A configuration file is one YAML mapping of names to scalars. libyaml's events are read directly, not
 * through a schema library: the same table then serves files and key=value arguments, and every event carries
 * its line.
 */
#include "base/fail.h"
#include "train/config_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* current; deleted by the next next_event */
    const char *name;
    char where[DN_PATH_MAX + 32];
} reader;

static dn_status next_event(reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event)) {
        snprintf(r->where, sizeof r->where, "%s:%zu", r->name, r->event.start_mark.line + 1);
        return DN_OK;
    }
    memset(&r->event, 0, sizeof r->event);
    return dn_fail(DN_ERR_CONFIG, "%s:%zu: not valid YAML: %s", r->name, r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "out of memory");
}

static dn_status expect_scalar(reader *r, const char *what)
{
    DN_TRY(next_event(r));
    if (r->event.type == YAML_SCALAR_EVENT)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: expected %s; a configuration is a flat list of 'key: value' lines",
                   r->where, what);
}

/* Which keys the file has given already: a second line for one would silently win over the first. */
static dn_status check_duplicate(bool *seen, const char *name, const char *where)
{
    const dn_key *keys = dn_config_keys();
    for (size_t i = 0; keys[i].name; i++) {
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (seen[i])
            return dn_fail(DN_ERR_CONFIG, "%s: key '%s' stands a second time; keep one", where, name);
        seen[i] = true;
    }
    return DN_OK;
}

static dn_status read_pairs(reader *r, dn_config *config)
{
    bool seen[DN_KEYS_MAX] = {0};
    char skipped[512] = "";
    for (;;) {
        DN_TRY(next_event(r));
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (r->event.type != YAML_SCALAR_EVENT)
            return dn_fail(DN_ERR_CONFIG, "%s: expected a key", r->where);
        char name[64], where[sizeof r->where];
        snprintf(name, sizeof name, "%s", (char *)r->event.data.scalar.value);
        memcpy(where, r->where, sizeof where);
        DN_TRY(check_duplicate(seen, name, where));
        DN_TRY(expect_scalar(r, "a value"));
        if (!dn_key_ignored(name)) {
            DN_TRY(dn_config_assign(config, name, (char *)r->event.data.scalar.value, where));
            continue;
        }
        size_t used = strlen(skipped);
        snprintf(skipped + used, sizeof skipped - used, "%s%s", used ? ", " : "", name);
    }
    if (*skipped)
        dn_log(DN_LOG_INFO, "%s: keys without meaning here, ignored: %s", r->name, skipped);
    return DN_OK;
}

static dn_status read_document(reader *r, dn_config *config)
{
    do {
        DN_TRY(next_event(r));
        if (r->event.type == YAML_STREAM_END_EVENT)
            return DN_OK; /* an empty file: all defaults */
    } while (r->event.type == YAML_STREAM_START_EVENT || r->event.type == YAML_DOCUMENT_START_EVENT);
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return dn_fail(DN_ERR_CONFIG, "%s: expected 'key: value' lines", r->where);
    return read_pairs(r, config);
}

static dn_status read_with(reader *r, dn_config *config)
{
    dn_status status = read_document(r, config);
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
    return status;
}

dn_status dn_config_parse(dn_config *config, const char *text, const char *name)
{
    reader r = {.name = name};
    if (!yaml_parser_initialize(&r.parser))
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", name);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, strlen(text));
    return read_with(&r, config);
}

dn_status dn_config_read(dn_config *config, const char *path)
{
    reader r = {.name = path};
    FILE *file = fopen(path, "rb");
    if (!file)
        return dn_fail_errno(DN_ERR_CONFIG, errno, "cannot read configuration '%s'", path);
    if (!yaml_parser_initialize(&r.parser)) {
        fclose(file);
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", path);
    }
    yaml_parser_set_input_file(&r.parser, file);
    dn_status status = read_with(&r, config);
    fclose(file);
    return status;
}
