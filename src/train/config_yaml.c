/*
 * A configuration file is one YAML mapping of names to scalars, except for the lists `groups`, `trainable` and `lora_targets`. libyaml's
 * events are read directly, without a schema library: the same table serves files and key=value arguments,
 * and every event has its line.
 */
#include "base/fail.h"
#include "base/key.h"
#include "optim/rules.h"
#include "train/config_value.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

/* A larger file is no configuration. */
enum { FILE_BYTES_MAX = 1 << 20 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* current; deleted by the next next_event */
    const char *name;
    const char *text; /* all of it */
    char where[DN_PATH_MAX + 32];
} reader;

/* libyaml's marks do not advance over bytes that are not text. */
static dn_status not_text(const reader *r)
{
    size_t line = 1, offset = r->parser.problem_offset;
    for (size_t i = 0; i < offset; i++)
        line += r->text[i] == '\n';
    return dn_fail(DN_ERR_CONFIG,
                   "%s:%zu: byte %zu is not text (%s); save the configuration as plain UTF-8 text", r->name,
                   line, offset, r->parser.problem);
}

static dn_status next_event(reader *r)
{
    const yaml_parser_t *parser = &r->parser;
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event)) {
        snprintf(r->where, sizeof r->where, "%s:%zu", r->name, r->event.start_mark.line + 1);
        return DN_OK;
    }
    memset(&r->event, 0, sizeof r->event);
    if (parser->error == YAML_MEMORY_ERROR)
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", r->name);
    if (parser->error == YAML_READER_ERROR)
        return not_text(r);
    return dn_fail(DN_ERR_CONFIG, "%s:%zu: not valid YAML: %s", r->name, parser->problem_mark.line + 1,
                   parser->problem);
}

/* The current event is a scalar and nothing but the text that it shows. */
static dn_status check_scalar(const reader *r, const char *what)
{
    const yaml_event_t *event = &r->event;
    if (event->type == YAML_ALIAS_EVENT)
        return dn_fail(DN_ERR_CONFIG, "%s: '*%s' is an alias, which is not supported; write out %s", r->where,
                       (const char *)event->data.alias.anchor, what);
    if (event->type != YAML_SCALAR_EVENT)
        return dn_fail(DN_ERR_CONFIG, "%s: expected %s; a configuration is a flat list of 'key: value' lines",
                       r->where, what);
    if (event->data.scalar.anchor || event->data.scalar.tag)
        return dn_fail(
            DN_ERR_CONFIG, "%s: %s%s is not supported; remove it", r->where,
            event->data.scalar.anchor ? "the anchor &" : "the tag ",
            (const char *)(event->data.scalar.anchor ? event->data.scalar.anchor : event->data.scalar.tag));
    if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
        return dn_fail(DN_ERR_CONFIG, "%s: %s has a NUL character; remove it", r->where, what);
    return DN_OK;
}

/* The value of the current event; NULL: null, which quotes make a word like any other. */
static const char *value_of(const reader *r)
{
    const char *value = (const char *)r->event.data.scalar.value;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (!*value || dn_key_is_null(value)) ? NULL : value;
}

/* Errors: a key that the file has given already, which would silently win. */
static dn_status check_duplicate(bool *seen, const char *name, const char *where)
{
    const dn_key *keys = dn_config_keys(), *key = dn_config_find(name);
    for (size_t i = 0; keys[i].name; i++) {
        if (&keys[i] != key)
            continue;
        if (seen[i])
            return dn_fail(DN_ERR_CONFIG, "%s: key '%s' is given twice; keep one", where, name);
        seen[i] = true;
    }
    return DN_OK;
}

/* ---- keys whose value is a list ---- */

/* A group as in the file. */
typedef struct group_entry {
    char match[DN_KEY_TEXT_MAX], rule[DN_KEY_CHOICE_MAX];
    double lr_scale, weight_decay, fraction;
} group_entry;

static const dn_key group_keys[] = {
    {.name = "match", .type = DN_KEY_TEXT, .offset = offsetof(group_entry, match), .initial = "", .room = DN_KEY_TEXT_MAX},
    {.name = "rule",
     .type = DN_KEY_TEXT,
     .offset = offsetof(group_entry, rule),
     .initial = "null",
     .choices = DN_RULE_NAMES,
     .room = DN_KEY_CHOICE_MAX},
    {.name = "lr_scale",
     .type = DN_KEY_REAL,
     .offset = offsetof(group_entry, lr_scale),
     .initial = "null",
     .max = 1e6},
    {.name = "weight_decay",
     .type = DN_KEY_REAL,
     .offset = offsetof(group_entry, weight_decay),
     .initial = "null",
     .max = 1e6},
    {.name = "fraction",
     .type = DN_KEY_REAL,
     .offset = offsetof(group_entry, fraction),
     .initial = "null",
     .min = 1e-9,
     .max = 1},
};

enum { N_GROUP_KEYS = sizeof group_keys / sizeof *group_keys };

static dn_status read_group(reader *r, group_entry *group)
{
    bool seen[N_GROUP_KEYS] = {0};
    *group = (group_entry){.lr_scale = NAN, .weight_decay = NAN, .fraction = NAN};
    for (;;) {
        DN_TRY(next_event(r));
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        DN_TRY(check_scalar(r, "match, rule, lr_scale, weight_decay or fraction"));
        int k = 0;
        while (k < N_GROUP_KEYS && strcmp(group_keys[k].name, (char *)r->event.data.scalar.value) != 0)
            k++;
        if (k == N_GROUP_KEYS || seen[k])
            return dn_fail(DN_ERR_CONFIG, "%s: groups: '%.100s' %s", r->where,
                           (char *)r->event.data.scalar.value,
                           k == N_GROUP_KEYS ? "is not one of match, rule, lr_scale, weight_decay, fraction"
                                             : "is given twice in one group");
        seen[k] = true;
        DN_TRY(next_event(r));
        DN_TRY(check_scalar(r, "a value"));
        if (k == 0 && !value_of(r))
            break;
        DN_TRY(dn_key_parse((char *)group + group_keys[k].offset, &group_keys[k], value_of(r), r->where));
    }
    if (*group->match && strlen(group->match) < DN_OPTIM_NAME_MAX)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: groups: each needs a match, a glob of names of at most %d bytes",
                   r->where, DN_OPTIM_NAME_MAX - 1);
}

/* The current event begins the list. */
static dn_status read_groups(reader *r, dn_named_group *groups, size_t *n)
{
    for (*n = 0;; ++*n) {
        group_entry group;
        DN_TRY(next_event(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return DN_OK;
        if (r->event.type != YAML_MAPPING_START_EVENT)
            return dn_fail(DN_ERR_CONFIG, "%s: groups: expected {match: GLOB, ...}", r->where);
        if (*n == DN_NAMED_GROUPS_MAX)
            return dn_fail(DN_ERR_CONFIG, "%s: groups: at most %d", r->where, DN_NAMED_GROUPS_MAX);
        DN_TRY(read_group(r, &group));
        const dn_rule_info *rule = dn_rule_find(group.rule);
        groups[*n] = (dn_named_group){.rule = rule ? rule->name : NULL,
                                      .lr_scale = group.lr_scale,
                                      .weight_decay = group.weight_decay,
                                      .rank_fraction = group.fraction};
        strcpy(groups[*n].match, group.match);
    }
}

static void show_number(FILE *out, const dn_key *key, double value)
{
    char text[32];
    dn_key_show(&value, key, text, sizeof text);
    if (!isnan(value))
        fprintf(out, ", %s: %s", key->name, text);
}

static void show_glob(FILE *out, const char *glob)
{
    fputc('\'', out);
    for (const char *c = glob; *c; c++)
        fprintf(out, "%s%c", *c == '\'' ? "'" : "", *c);
    fputc('\'', out);
}

/* The list as the text that the key holds. */
static void show_groups(FILE *out, const dn_named_group *groups, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ", {match: " : "[{match: ", out);
        show_glob(out, groups[i].match);
        if (groups[i].rule)
            fprintf(out, ", rule: %s", groups[i].rule);
        show_number(out, &group_keys[2], groups[i].lr_scale);
        show_number(out, &group_keys[3], groups[i].weight_decay);
        show_number(out, &group_keys[4], groups[i].rank_fraction);
        fputc('}', out);
    }
    if (n)
        fputc(']', out);
}

static void show_globs(FILE *out, const dn_globs *globs)
{
    for (size_t i = 0; i < globs->n; i++) {
        fputs(i ? ", " : "[", out);
        show_glob(out, globs->match[i]);
    }
    if (globs->n)
        fputc(']', out);
}

/* The current event begins a list of globs. */
static dn_status read_globs(reader *r, const char *key, dn_globs *globs)
{
    for (globs->n = 0;; globs->n++) {
        DN_TRY(next_event(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT && globs->n > 0)
            return DN_OK;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return dn_fail(DN_ERR_CONFIG, "%s: %s: an empty list names nothing; null, or no such key, stands for all", r->where, key);
        DN_TRY(check_scalar(r, "a glob of names"));
        const char *glob = (const char *)r->event.data.scalar.value;
        if (globs->n == DN_NAMED_GROUPS_MAX)
            return dn_fail(DN_ERR_CONFIG, "%s: %s: at most %d globs", r->where, key, DN_NAMED_GROUPS_MAX);
        if (!*glob || strlen(glob) >= DN_OPTIM_NAME_MAX)
            return dn_fail(DN_ERR_CONFIG, "%s: %s: a glob has 1 to %d bytes", r->where, key, DN_OPTIM_NAME_MAX - 1);
        strcpy(globs->match[globs->n], glob);
    }
}

/* The current event begins the list that is the value of `key`: stored as its text. */
static dn_status store_list(reader *r, dn_config *config, const char *key, const char *where)
{
    dn_named_group groups[DN_NAMED_GROUPS_MAX];
    dn_globs globs = {0};
    char *text = NULL;
    size_t n = 0, bytes;
    if (strcmp(key, "groups") == 0)
        DN_TRY(read_groups(r, groups, &n));
    else
        DN_TRY(read_globs(r, key, &globs));
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return dn_fail(DN_ERR_MEMORY, "%s: no memory for %s", where, key);
    show_groups(out, groups, n);
    show_globs(out, &globs);
    fclose(out);
    dn_status status = dn_config_assign(config, key, n + globs.n ? text : NULL, where);
    free(text);
    return status;
}

/* A text that is a list, up to where it begins. To be ended, also on failure. */
static dn_status begin_list(reader *r, const char *text, const char *key, const char *where, const char *form)
{
    *r = (reader){.name = where, .text = text};
    if (text[strspn(text, " ")] != '[') /* a glob may be no YAML at all */
        return dn_fail(DN_ERR_CONFIG, "%s: %s: expected a list, %s", where, key, form);
    if (!yaml_parser_initialize(&r->parser))
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", where);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, strlen(text));
    while (r->event.type != YAML_SEQUENCE_START_EVENT)
        DN_TRY(next_event(r));
    return DN_OK;
}

static void end_list(reader *r)
{
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

dn_status dn_groups_parse(const char *text, const char *where, dn_named_group *groups, size_t *n)
{
    reader r;
    dn_status status = begin_list(&r, text, "groups", where, "[{match: GLOB, ...}, ...]");
    if (status == DN_OK)
        status = read_groups(&r, groups, n);
    end_list(&r);
    return status;
}

dn_status dn_globs_parse(const char *text, const char *key, const char *where, dn_globs *globs)
{
    reader r;
    dn_status status = begin_list(&r, text, key, where, "['GLOB', ...]");
    if (status == DN_OK)
        status = read_globs(&r, key, globs);
    end_list(&r);
    return status;
}

static dn_status read_pairs(reader *r, dn_config *config)
{
    bool seen[DN_KEYS_MAX] = {0};
    char skipped[512] = "";
    for (;;) {
        DN_TRY(next_event(r));
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        DN_TRY(check_scalar(r, "a key"));
        char name[64], where[sizeof r->where];
        snprintf(name, sizeof name, "%s", (char *)r->event.data.scalar.value);
        memcpy(where, r->where, sizeof where);
        DN_TRY(check_duplicate(seen, name, where));
        DN_TRY(next_event(r));
        bool is_list = strcmp(name, "groups") == 0 || dn_key_is_globs(name);
        if (is_list && r->event.type == YAML_SEQUENCE_START_EVENT) {
            DN_TRY(store_list(r, config, name, where));
            continue;
        }
        DN_TRY(check_scalar(r, "a value"));
        if (!dn_key_ignored(name)) {
            DN_TRY(dn_config_assign(config, name, value_of(r), where));
            continue;
        }
        size_t used = strlen(skipped);
        snprintf(skipped + used, sizeof skipped - used, "%s%s", used ? ", " : "", name);
    }
    if (*skipped)
        dn_log(DN_LOG_INFO, "%s: keys that do not apply here, ignored: %s", r->name, skipped);
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
    DN_TRY(read_pairs(r, config));
    do
        DN_TRY(next_event(r));
    while (r->event.type == YAML_DOCUMENT_END_EVENT);
    if (r->event.type == YAML_STREAM_END_EVENT)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: a second document; put the whole configuration into one", r->where);
}

static dn_status parse(dn_config *config, const char *text, size_t bytes, const char *name)
{
    reader r = {.name = name, .text = text};
    if (!yaml_parser_initialize(&r.parser))
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", name);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    dn_status status = read_document(&r, config);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}

dn_status dn_config_parse(dn_config *config, const char *text, const char *name)
{
    return parse(config, text, strlen(text), name);
}

/* Reads at most max bytes; *bytes: how many. */
static dn_status read_all(int fd, const char *path, char *text, size_t max, size_t *bytes)
{
    for (*bytes = 0; *bytes < max;) {
        ssize_t n = read(fd, text + *bytes, max - *bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dn_fail_errno(DN_ERR_CONFIG, errno, "cannot read configuration '%s'", path);
        if (n == 0)
            break;
        *bytes += (size_t)n;
    }
    return DN_OK;
}

static dn_status check_file(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dn_fail_errno(DN_ERR_CONFIG, errno, "cannot read configuration '%s'", path);
    if (S_ISDIR(st.st_mode))
        return dn_fail(DN_ERR_CONFIG, "configuration '%s' is a directory; give the file in it", path);
    if (S_ISFIFO(st.st_mode))
        return dn_fail(
            DN_ERR_CONFIG,
            "configuration '%s' is a pipe, but every worker reads the configuration; write it to a "
            "file",
            path);
    return DN_OK;
}

dn_status dn_config_read(dn_config *config, const char *path)
{
    /* Nonblocking: opening a pipe would wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return dn_fail_errno(DN_ERR_CONFIG, errno, "cannot read configuration '%s'", path);
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t bytes = 0;
    dn_status status = text ? DN_OK : dn_fail(DN_ERR_MEMORY, "%s: no memory to read YAML", path);
    if (status == DN_OK)
        status = check_file(fd, path);
    if (status == DN_OK)
        status = read_all(fd, path, text, FILE_BYTES_MAX + 1, &bytes);
    if (status == DN_OK && bytes > FILE_BYTES_MAX)
        status =
            dn_fail(DN_ERR_CONFIG, "'%s' is larger than %d bytes: not a configuration", path, FILE_BYTES_MAX);
    if (status == DN_OK)
        status = parse(config, text, bytes, path);
    free(text);
    close(fd);
    return status;
}

dn_status dn_yaml_holds(const char *text, bool *holds)
{
    yaml_parser_t parser;
    yaml_event_t event;
    char *quoted = malloc(2 * strlen(text) + 3), *end = quoted;
    if (!quoted || !yaml_parser_initialize(&parser)) {
        free(quoted);
        return dn_fail(DN_ERR_MEMORY, "no memory to read a setting");
    }
    *end++ = '\'';
    for (const char *c = text; *c; c++) {
        *end++ = *c;
        if (*c == '\'')
            *end++ = *c;
    }
    *end++ = '\'';
    yaml_parser_set_input_string(&parser, (const unsigned char *)quoted, (size_t)(end - quoted));
    bool same = false;
    for (yaml_event_type_t type = YAML_NO_EVENT; type != YAML_SCALAR_EVENT;) {
        if (!yaml_parser_parse(&parser, &event))
            break;
        type = event.type;
        same = type == YAML_SCALAR_EVENT && strcmp((const char *)event.data.scalar.value, text) == 0;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    free(quoted);
    *holds = same;
    return DN_OK;
}
