/* Configuration: the table's defaults, YAML with line numbers, overrides, and a dump that reads back. */
#include "dionode/config.h"
#include "base/key.h"
#include "optim/option.h"
#include "optim/rules.h"
#include "strategy/option.h"
#include "train/plan.h"
#include "support/tests.h"

#include "../support/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dn_config defaults(void)
{
    dn_config config;
    dn_config_init(&config);
    return config;
}

/* What comes last says where values are from. */
static void assert_same_values(const dn_config *a, const dn_config *b)
{
    assert_memory_equal(a, b, offsetof(dn_config, set));
}

static void expect_error(const char *yaml, const char *where, const char *what)
{
    dn_config config = defaults();
    assert_int_equal(dn_config_parse(&config, yaml, "f.yaml"), DN_ERR_CONFIG);
    if (!strstr(dn_error_message(), where) || !strstr(dn_error_message(), what))
        fail_msg("'%s' lacks '%s' or '%s'", dn_error_message(), where, what);
}

static void every_default_is_accepted_by_its_own_key(void **state)
{
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        dn_config config = defaults();
        char assignment[256];
        snprintf(assignment, sizeof assignment, "%s=%s", key->name, key->initial);
        assert_int_equal(dn_config_set(&config, assignment), DN_OK);
        dn_config again = defaults();
        assert_same_values(&config, &again);
    }
}

static void values_reach_their_fields(void **state)
{
    dn_config c = defaults();
    assert_int_equal(dn_config_parse(&c,
                                     "# comment\nmodel_dim: 320\nlr: 1e-3\ndp_size: null\n"
                                     "replicate_mesh_grad_sync: false\noptimizer: adamw\ndata_dir: 'a b'\n",
                                     "f.yaml"),
                     DN_OK);
    assert_int_equal(c.model_dim, 320);
    assert_true(c.lr == 1e-3);
    assert_int_equal(c.dp_size, 0);
    assert_false(c.optim.compress);
    assert_string_equal(c.optimizer, "adamw");
    assert_string_equal(c.data_dir, "a b");
    assert_int_equal(dn_config_set(&c, "model_dim=64"), DN_OK);
    assert_int_equal(c.model_dim, 64);
}

static char logged[600];

static void keep_log(void *context, dn_log_level level, const char *message)
{
    (void)level, (void)context;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", message);
}

/* The keys of the script and of its files, those of older revisions included (configs/debug.yaml, fron_160m.yaml). */
static void a_file_of_the_reference_runs_unchanged(void **state)
{
    static const char *const files[] = {
        "model_dim: 768\nwandb_project_name: x\nwandb_job_name: null\nno_wandb: false\nmixed_precision: true\n"
        "fs_size: null\ndebug: false\nuse_polar_express: true\ncqr_warmup: 0.05\nfast_fsdp: true\nno_triton: true\n",
        "sequence_length: 128\nbatch_size: 1024\ndevice_batch_size: 256\nwandb_project_name: debug\nfs_size: 4\n"
        "optimizer: dion2\nscalar_opt: lion\northo_fraction: 0.25\nshard_independent: true\nno_validation: false\n",
        "optimizer: fron\nrank_fraction: 0.5 \nscalar_opt: lion\nadjust_lr: spectral_norm\nsave_every: 7\n"
        "wandb_project_name: dion-debug\nno_compile: false\n",
    };
    static const char *const ignored[] = {"wandb_job_name, no_wandb, debug", "shard_independent, no_validation",
                                          "wandb_project_name, no_compile"};
    for (size_t i = 0; i < 3; i++) {
        dn_config c = defaults();
        dn_plan plan;
        *logged = 0;
        dn_log_set(keep_log, NULL);
        assert_int_equal(dn_config_parse(&c, files[i], "f.yaml"), DN_OK);
        dn_log_set(NULL, NULL);
        if (!strstr(logged, ignored[i]))
            fail_msg("'%s' lacks '%s'", logged, ignored[i]);
        assert_int_equal(dn_plan_make(&c, i == 1 ? 4 : 1, &plan), DN_OK);
        assert_true(i < 2 || (c.optim.rank_fraction == 0.5 && c.checkpoint_freq == 7));
    }
    expect_error("rank_fraction: 1\northo_fraction: 1\n", "f.yaml:2", "given twice");
}

static void an_argument_that_is_ignored_is_named(void **state)
{
    dn_config c = defaults();
    *logged = 0;
    dn_log_set(keep_log, NULL);
    assert_int_equal(dn_config_set(&c, "no_compile=true"), DN_OK);
    dn_log_set(NULL, NULL);
    assert_non_null(strstr(logged, "'no_compile=true'"));
}

static void errors_name_line_key_and_remedy(void **state)
{
    expect_error("model_dim: 8\n\nmodel_dmi: 8\n", "f.yaml:3", "did you mean 'model_dim'");
    expect_error("lr: fast\n", "f.yaml:1", "lr");
    expect_error("n_layer: 1.5\n", "f.yaml:1", "whole number");
    expect_error("n_layer: 0\n", "f.yaml:1", "between");
    expect_error("optimizer: sgd2\n", "f.yaml:1", DN_RULE_NAMES);
    expect_error("shuffle: maybe\n", "f.yaml:1", "true nor false");
    expect_error("replicate_mesh_grad_sync: maybe\n", "f.yaml:1", "not one of false|true|auto");
    expect_error("lr: 1\nlr: 2\n", "f.yaml:2", "given twice");
    expect_error("lr: [1, 2]\n", "f.yaml:1", "flat list");
    expect_error("- a\n", "f.yaml:1", "key: value");
    expect_error("lr: 'x\n", "f.yaml:", "not valid YAML");
    expect_error("lr: nan\n", "f.yaml:1", "not a number");
}

/* One document of plain scalars: all else would be read as something that does not stand there. */
static void nothing_in_a_file_is_passed_over(void **state)
{
    expect_error("lr: 1\n---\nmu: 0.5\n", "f.yaml:2", "second document");
    expect_error("lr: 1\n...\nlrr: 0.5\n", "f.yaml:3", "not valid YAML");
    expect_error("lr: 1\n...\n]}:\n", "f.yaml:3", "not valid YAML");
    expect_error("lr: 1\n---\n", "f.yaml:2", "second document");
    expect_error("lr: \"1\\0 2\"\n", "f.yaml:1", "NUL");
    expect_error("\"lr\\0x\": 1\n", "f.yaml:1", "NUL");
    expect_error("lr: 1\nmu: *base\n", "f.yaml:2", "'*base' is an alias");
    expect_error("<<: *base\n", "f.yaml:1", "alias");
    expect_error("*base : 1\n", "f.yaml:1", "alias");
    expect_error("lr: &base 1\n", "f.yaml:1", "anchor &base");
    expect_error("data_dir: !include other.yaml\n", "f.yaml:1", "tag !include");
    expect_error("lr: 1\nmu: 0.5\nlr\xff: 2\n", "f.yaml:3", "byte 16 is not text (invalid leading UTF-8");
    expect_error("lr: 1\n\x01\n", "f.yaml:2", "control characters");
    expect_error("debug: [lr, mu]\n", "f.yaml:1", "flat list");
    expect_error("? [lr]\n: 1\n", "f.yaml:1", "flat list");
    dn_config c = defaults(), again = defaults();
    assert_int_equal(dn_config_parse(&c, "", "f.yaml"), DN_OK);
    assert_int_equal(dn_config_parse(&c, "%YAML 1.1\n---\nlr: 0.02\n...\n# the end\n", "f.yaml"), DN_OK);
    assert_same_values(&c, &again);
}

/* An empty value is most often a variable that is not set. */
static void the_default_is_asked_for_with_null_alone(void **state)
{
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        dn_config c = defaults();
        char assignment[256];
        snprintf(assignment, sizeof assignment, "%s=", key->name);
        assert_int_equal(dn_config_set(&c, assignment), DN_ERR_CONFIG);
        if (!strstr(dn_error_message(), key->name) || !strstr(dn_error_message(), "null for the default"))
            fail_msg("'%s' names neither %s nor null", dn_error_message(), key->name);
    }
    dn_config c = defaults(), again = defaults();
    assert_int_equal(dn_config_set(&c, "checkpoint_dir=elsewhere"), DN_OK);
    assert_int_equal(dn_config_set(&c, "checkpoint_dir=null"), DN_OK);
    assert_int_equal(dn_config_set(&c, "dp_size=~"), DN_OK);
    assert_int_equal(dn_config_parse(&c, "data_dir:\nlr: ~\nval_files: ''\n", "f.yaml"), DN_OK);
    assert_same_values(&c, &again);
    expect_error("checkpoint_dir: ''\n", "f.yaml:1", "empty");
    expect_error("lr: ''\n", "f.yaml:1", "not a number");
    assert_int_equal(dn_config_parse(&c, "data_dir: 'null'\n", "f.yaml"), DN_OK);
    assert_string_equal(c.data_dir, "null"); /* quoted, it is a name */
}

static void expect_unreadable(const char *path, const char *what)
{
    dn_config c = defaults();
    assert_int_equal(dn_config_read(&c, path), DN_ERR_CONFIG);
    if (!strstr(dn_error_message(), what) || !strstr(dn_error_message(), path))
        fail_msg("'%s' lacks '%s' or the path", dn_error_message(), what);
}

static void files_that_are_no_configuration_are_told_apart(void **state)
{
    static char large[(1 << 20) + 1];
    scratch dir;
    dn_config c = defaults();
    assert_true(scratch_make(&dir));
    expect_unreadable(dir.dir, "is a directory");
    expect_unreadable(scratch_path(&dir, "absent"), "No such file");
    assert_int_equal(mkfifo(scratch_path(&dir, "pipe"), 0600), 0);
    expect_unreadable(dir.path, "is a pipe"); /* at once: nobody will ever write to it */
    memset(large, '#', sizeof large);
    assert_true(scratch_write(&dir, "large", large, sizeof large));
    expect_unreadable(dir.path, "larger than 1048576 bytes");
    assert_true(scratch_write(&dir, "cut", "lr: 1\n\0mu: 2\n", 13));
    expect_unreadable(dir.path, "control characters");
    assert_true(scratch_write(&dir, "good", "lr: 1\n", 6));
    assert_int_equal(dn_config_read(&c, dir.path), DN_OK);
    assert_true(c.lr == 1);
    scratch_remove(&dir);
}

/* A run stores its configuration with its checkpoints. What cannot be stored is refused when it is given. */
static void a_text_is_taken_if_it_can_be_stored(void **state)
{
    const char *const bad[] = {"a\nb", "a\rb", "\x1b[31m", "\xff", "caf\xe9", "\xc0\xaf"};
    const char *const good[] = {"it's",        "'",       " a ",     "a\tb",
                                "caf\xc3\xa9", "\"\\0", "a: b #c", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dn_config c = defaults();
        char assignment[64];
        snprintf(assignment, sizeof assignment, "data_dir=%s", bad[i]);
        if (dn_config_set(&c, assignment) != DN_ERR_CONFIG)
            fail_msg("text %zu is taken, and a dump cannot hold it", i);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        dn_config c = defaults(), again = defaults();
        char assignment[64];
        snprintf(assignment, sizeof assignment, "data_dir=%s", good[i]);
        assert_int_equal(dn_config_set(&c, assignment), DN_OK);
        char *text = dn_config_dump(&c);
        assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
        assert_string_equal(again.data_dir, good[i]);
        free(text);
    }
    expect_error("data_dir: \"a\\nb\"\n", "f.yaml:1", "control characters");
}

static void a_dump_has_no_more_digits_than_it_takes(void **state)
{
    const double numbers[] = {0.05, 0.02, 1e-8, 0.1 + 0.2, 1.0 / 3, 5e-324, 1e300, 0.3, 123456.789};
    const char *const texts[] = {"0.05", "0.02", "1e-08", "0.30000000000000004", "0.3333333333333333",
                                 "4.94065645841247e-324", "1e+300", "0.3", "123456.789"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        dn_config c = defaults();
        c.lr = numbers[i];
        char *text = dn_config_dump(&c), line[64];
        snprintf(line, sizeof line, "\nlr: %s\n", texts[i]);
        if (!strstr(text, line))
            fail_msg("'%s' is not in the dump: %.80s", line, strstr(text, "\nlr: "));
        free(text);
    }
}

static void a_long_value_leaves_room_for_what_is_wrong_with_it(void **state)
{
    static char assignment[5000];
    static const char *const keys[] = {"lr=", "n_layer=", "optimizer=", "nesterov=", "data_dir=", ""};
    static const char *const words[] = {"not a number", "not a whole", "not one of", "neither", "longer", "key=value"};
    for (int i = 0; i < 6; i++) {
        dn_config c = defaults();
        memset(assignment, 'x', sizeof assignment - 1);
        memcpy(assignment, keys[i], strlen(keys[i]));
        assert_int_equal(dn_config_set(&c, assignment), DN_ERR_CONFIG);
        if (!strstr(dn_error_message(), words[i]))
            fail_msg("'%s' lacks '%s'", dn_error_message(), words[i]);
    }
}

/* Fields of texts have sizes of their own; those behind them stay as they are. */
static void a_text_that_its_field_does_not_hold_is_refused(void **state)
{
    (void)state;
    static char links[5000] = "link_pp=1Gbit:5ms";
    while (strlen(links) < 1000)
        strcat(links, ",1Gbit:5ms");
    const char *const assignments[] = {"link_dp=1000000000000000000000.000000000000000Mbit:5ms", links};
    for (int i = 0; i < 2; i++) {
        dn_config c = defaults(), before = c;
        assert_int_equal(dn_config_set(&c, assignments[i]), DN_ERR_CONFIG);
        assert_non_null(strstr(dn_error_message(), "longer than"));
        assert_same_values(&c, &before);
    }
}

/* As dionode topo --measure prints them, with three digits, of as many stages as there may be. */
static void times_of_all_boundaries_fit_their_key(void **state)
{
    (void)state;
    static char assignment[5000] = "pp_link_times=";
    for (int i = 1; i < DN_MAX_RANKS; i++)
        strcat(assignment, i > 1 ? ",1.23e-05" : "1.23e-05");
    dn_config c = defaults(), again = defaults();
    assert_int_equal(dn_config_set(&c, assignment), DN_OK);
    char *text = dn_config_dump(&c);
    assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
    assert_string_equal(again.pp_link_times, strchr(assignment, '=') + 1);
    free(text);
}

static void a_bad_argument_is_named(void **state)
{
    dn_config c = defaults();
    assert_int_equal(dn_config_set(&c, "lr"), DN_ERR_CONFIG);
    assert_int_equal(dn_config_set(&c, "lrr=1"), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "did you mean 'lr'"));
}

static void a_dump_reads_back_to_the_same_values(void **state)
{
    dn_config c = defaults(), again = defaults();
    c.lr = 0.1 + 0.2;
    c.dp_size = 3;
    strcpy(c.data_dir, "it's: a #path");
    char *text = dn_config_dump(&c);
    assert_non_null(text);
    assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
    free(text);
    assert_same_values(&c, &again);
}

static void sizes_that_do_not_divide_are_refused(void **state)
{
    dn_plan plan;
    dn_config c = defaults();
    c.n_head = 5;
    assert_int_equal(dn_plan_make(&c, 2, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "n_head"));
    c = defaults();
    c.dp_size = 4;
    assert_int_equal(dn_plan_make(&c, 2, &plan), DN_ERR_CONFIG);
    c.dp_size = 0;
    c.fs_size = 3;
    assert_int_equal(dn_plan_make(&c, 4, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "fs_size 3"));
}

/* Every key of a rule's options, one after the other, set to another value than its default, changes its field of the
 * optimizer's settings, and nothing else. */
static void every_option_reaches_the_optimizer(void **state)
{
    (void)state;
    const dn_key *option;
    size_t n = 0;
    for (; (option = dn_option_at(n)); n++) {
        dn_config c = defaults();
        dn_plan before, after;
        char assignment[96], number[32];
        snprintf(number, sizeof number, "%.17g", option->type == DN_KEY_INT ? option->min + 2 : option->max / 2);
        const char *value = option->type == DN_KEY_BOOL ? strcmp(option->initial, "true") == 0 ? "false" : "true" : number;
        if (option->choices)
            value = strrchr(option->choices, '|') + 1;
        if (strcmp(value, option->initial) == 0) {
            snprintf(number, sizeof number, "%.*s", (int)strcspn(option->choices, "|"), option->choices);
            value = number;
        }
        snprintf(assignment, sizeof assignment, "%s=%s", option->name, value);
        assert_int_equal(dn_plan_make(&c, 1, &before), DN_OK);
        assert_int_equal(dn_config_set(&c, assignment), DN_OK);
        assert_int_equal(dn_plan_make(&c, 1, &after), DN_OK);
        const dn_key *other;
        for (size_t i = 0; (other = dn_option_at(i)); i++) {
            bool same = dn_key_equal(other, (char *)&before.optim + other->offset, (char *)&after.optim + other->offset);
            if (same == (i == n))
                fail_msg("%s %s %s", assignment, same ? "leaves" : "changes", other->name);
        }
    }
    assert_true(n > 20);
}

static void rules_reach_the_optimizer(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k); k++) {
        dn_config c = defaults();
        dn_plan plan;
        snprintf(c.optimizer, sizeof c.optimizer, "%s", dn_rule_at(k)->name);
        assert_int_equal(dn_plan_make(&c, 1, &plan), DN_OK);
        assert_string_equal(plan.optim.matrix_rule, dn_rule_at(k)->name);
    }
}

typedef struct meaning {
    const char *settings, *rule, *scalar_rule;
    bool nesterov;
    dn_ns_set newton_schulz;
    double ef_decay, beta1;
    dn_precision precision;
} meaning;

/* What the training script of microsoft/dion passes to its classes, read off it: not their own defaults. */
static void keys_mean_what_they_mean_to_the_script_of_microsoft(void **state)
{
    (void)state;
    static const meaning right[] = {
        {"optimizer=dion", "dion", "lion", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=dion mixed_precision=true", "dion", "lion", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9,
         DN_PRECISION_BFLOAT16},
        {"mixed_precision=true optimizer=dion_reference state_precision=full", "dion", "lion", false,
         DN_NS_POLAR_EXPRESS, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=dion_simple", "dion", "lion", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=muon mixed_precision=true", "muon", "lion", true, DN_NS_DION, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=muon nesterov=false use_polar_express=true", "muon", "lion", false, DN_NS_POLAR_EXPRESS, 0.95,
         0.9, DN_PRECISION_FULL},
        {"use_gram_newton_schulz=true optimizer=muon", "muon", "lion", true, DN_NS_POLAR_EXPRESS, 0.95, 0.9,
         DN_PRECISION_FULL},
        {"newton_schulz=keller optimizer=muon use_polar_express=true", "muon", "lion", true, DN_NS_KELLER, 0.95, 0.9,
         DN_PRECISION_FULL},
        {"newton_schulz=keller optimizer=muon newton_schulz=null", "muon", "lion", true, DN_NS_DION, 0.95, 0.9,
         DN_PRECISION_FULL},
        {"optimizer=normuon", "normuon", "lion", true, DN_NS_DION, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=dion2 mu=0.8", "dion2", "lion", false, DN_NS_DION, 0.8, 0.9, DN_PRECISION_FULL},
        {"optimizer=dion2 mu=0.8 ef_decay=0.7", "dion2", "lion", false, DN_NS_DION, 0.7, 0.9, DN_PRECISION_FULL},
        {"optimizer=nordion2 use_polar_express=true", "dion3", "lion", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9,
         DN_PRECISION_FULL},
        {"optimizer=dion3", "dion3", "lion", false, DN_NS_DION, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=fron rank_fraction=0.5 mu=0.9", "dion2", "lion", false, DN_NS_DION, 0.9, 0.9, DN_PRECISION_FULL},
        {"optimizer=muon_reference", "muon", "lion", true, DN_NS_KELLER, 0.95, 0.95, DN_PRECISION_FULL},
        {"optimizer=adamw scalar_opt=lion", "adamw", "adamw", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9, DN_PRECISION_FULL},
        {"optimizer=sgd scalar_opt=lion", "sgd", "lion", false, DN_NS_POLAR_EXPRESS, 0.95, 0.9, DN_PRECISION_FULL},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        dn_config c = defaults();
        dn_plan plan;
        char text[128], *rest;
        snprintf(text, sizeof text, "%s", right[i].settings);
        for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            assert_int_equal(dn_config_set(&c, word), DN_OK);
        assert_int_equal(dn_plan_make(&c, 1, &plan), DN_OK);
        const dn_optim_config *o = &plan.optim;
        if (strcmp(o->matrix_rule, right[i].rule) != 0 || strcmp(o->scalar_rule, right[i].scalar_rule) != 0 ||
            o->nesterov != right[i].nesterov || o->newton_schulz != right[i].newton_schulz ||
            o->ef_decay != right[i].ef_decay || o->beta1 != right[i].beta1 || o->state_precision != right[i].precision)
            fail_msg("%s: %s, %s, nesterov %d, newton_schulz %d, ef_decay %g, beta1 %g, precision %d", right[i].settings,
                     o->matrix_rule, o->scalar_rule, o->nesterov, (int)o->newton_schulz, o->ef_decay, o->beta1,
                     (int)o->state_precision);
    }
}

/* A configuration keeps what it leaves to the rule; that of a run, with its checkpoints, says what it was. */
static void what_is_left_to_the_rule_is_stored_as_what_it_was(void **state)
{
    (void)state;
    dn_config c = defaults();
    dn_plan plan;
    assert_int_equal(dn_config_set(&c, "optimizer=muon"), DN_OK);
    char *open = dn_config_dump(&c);
    assert_non_null(strstr(open, "nesterov: null\n"));
    free(open);
    assert_int_equal(dn_plan_make(&c, 1, &plan), DN_OK);
    char *resolved = dn_config_dump(&plan.config);
    assert_non_null(strstr(resolved, "nesterov: true\nadjust_lr: 'spectral_norm'\nnewton_schulz: 'dion'\n"));
    dn_config again = defaults();
    assert_int_equal(dn_config_parse(&again, resolved, "stored"), DN_OK);
    assert_int_equal(dn_config_set(&again, "optimizer=sgd"), DN_OK);
    assert_int_equal(dn_plan_make(&again, 1, &plan), DN_OK);
    assert_true(plan.optim.nesterov);
    free(resolved);
}

/* A list in a file, however it is written, or in an argument; stored and read back. */
static void groups_of_parameters_are_read_from_a_list(void **state)
{
    (void)state;
    static const char *const files[] = {
        "groups:\n  - match: '*.attn.*'\n    rule: muon\n    lr_scale: 0.5\n  - {match: lm_head.weight, weight_decay: 0.25}\n"
        "  - match: '*'\n    fraction: 0.125\nlr: 0.5\n",
        "lr: 0.5\ngroups: [{match: '*.attn.*', lr_scale: 0.5, rule: muon}, {match: lm_head.weight, weight_decay: 0.25},\n"
        "  {fraction: 0.125, match: '*'}]\n",
    };
    dn_config c[3] = {defaults(), defaults(), defaults()}, again = defaults();
    dn_plan plan;
    for (int i = 0; i < 2; i++)
        assert_int_equal(dn_config_parse(&c[i], files[i], "f.yaml"), DN_OK);
    assert_int_equal(dn_config_set(&c[2], "groups=[{match: '*.attn.*', rule: muon, lr_scale: 0.5}, {match: 'lm_head.weight', "
                                          "weight_decay: 0.25}, {match: '*', fraction: 0.125}]"),
                     DN_OK);
    c[2].lr = 0.5;
    assert_same_values(&c[0], &c[1]);
    assert_same_values(&c[0], &c[2]);
    char *text = dn_config_dump(&c[0]);
    assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
    free(text);
    assert_same_values(&c[0], &again);
    assert_int_equal(dn_plan_make(&c[0], 1, &plan), DN_OK);
    const dn_named_group *groups = plan.optim.named_groups;
    assert_int_equal(plan.optim.n_named_groups, 3);
    assert_string_equal(groups[0].rule, "muon");
    assert_true(groups[0].lr_scale == 0.5 && isnan(groups[0].weight_decay) && isnan(groups[0].rank_fraction));
    assert_true(!groups[1].rule && groups[1].weight_decay == 0.25 && groups[2].rank_fraction == 0.125);
}

/* Another key whose value is a list. */
static void trained_parameters_are_a_list_of_globs(void **state)
{
    (void)state;
    dn_config c[3] = {defaults(), defaults(), defaults()}, again = defaults();
    dn_plan plan;
    assert_int_equal(dn_config_parse(&c[0], "trainable:\n  - '*.it''s.*'\n  - lm_head.weight\n", "f.yaml"), DN_OK);
    assert_int_equal(dn_config_parse(&c[1], "trainable: ['*.it''s.*', lm_head.weight]\n", "f.yaml"), DN_OK);
    assert_memory_equal(&c[0], &c[1], sizeof c[0]);
    char *text = dn_config_dump(&c[0]);
    assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
    free(text);
    assert_string_equal(c[0].trainable, again.trainable);
    assert_int_equal(dn_plan_make(&c[0], 1, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "trainable: '*.it's.*' matches no parameter"));
    assert_int_equal(dn_config_set(&c[2], "trainable=['*.attn.*', lm_head.weight]"), DN_OK);
    assert_int_equal(dn_plan_make(&c[2], 1, &plan), DN_OK);
    assert_int_equal(plan.n_trained, 4 * c[2].n_layer + 1);
    assert_int_equal(plan.n_trained_elements, 4 * c[2].n_layer * 768 * 768 + 50304 * 768);
    assert_int_equal(plan.lowest_unit, 1);
    expect_error("trainable: lm_head.weight\n", "f.yaml:1", "expected a list");
    expect_error("trainable: [[a]]\n", "f.yaml:1", "expected a glob");
    expect_error("trainable: ['']\n", "f.yaml:1", "1 to 63 bytes");
}

static void groups_that_cannot_be_are_refused_by_name(void **state)
{
    (void)state;
    expect_error("groups: [{rule: muon}]\n", "f.yaml:1", "needs a match");
    expect_error("groups:\n  - match: a\n    rule: muno\n", "f.yaml:3", "muno");
    expect_error("groups:\n  - match: a\n    lr: 1\n", "f.yaml:3", "'lr' is not one of match");
    expect_error("groups: [{match: a, fraction: 2}]\n", "f.yaml:1", "not between");
    expect_error("groups: [{match: a, match: b}]\n", "f.yaml:1", "given twice");
    expect_error("groups: [a]\n", "f.yaml:1", "expected {match");
    expect_error("groups: a\n", "f.yaml:1", "expected a list");
    static const char *const wrong[][2] = {{"groups=[{match: '*.atn.*'}]", "'*.atn.*' matches no parameter"},
                                           {"groups=[{match: '*', rule: dion}]", "hidden matrices only"}};
    for (size_t i = 0; i < 2; i++) {
        dn_config c = defaults();
        dn_plan plan;
        assert_int_equal(dn_config_set(&c, wrong[i][0]), DN_OK);
        assert_int_equal(dn_plan_make(&c, 1, &plan), DN_ERR_CONFIG);
        if (!strstr(dn_error_message(), wrong[i][1]))
            fail_msg("'%s' lacks '%s'", dn_error_message(), wrong[i][1]);
    }
}

/* Rows are dealt to dp x fs as evenly as can be, and all workers make as many micro-batches. */
static void a_batch_is_dealt_without_rest(void **state)
{
    dn_plan plan;
    dn_config c = defaults();
    c.batch_size = 11;
    c.device_batch_size = 2;
    c.fs_size = 2;
    c.tp_size = 2;
    assert_int_equal(dn_plan_make(&c, 12, &plan), DN_OK);
    assert_int_equal(plan.mesh[DN_DP], 3);
    size_t next = 0;
    for (int rank = 0; rank < 12; rank += 2)
        for (int tp = 0; tp < 2; tp++) {
            int at[DN_N_AXES];
            dn_mesh_at(plan.mesh, rank + tp, at);
            dn_range rows = dn_plan_rows(&plan, 11, at);
            assert_int_equal(rows.first, next);
            assert_int_equal(rows.end - rows.first, rank < 10 ? 2 : 1);
            next = tp == 1 ? rows.end : next;
        }
    assert_int_equal(next, 11);
    assert_int_equal(dn_plan_rounds(&plan, 11), 1);
    assert_int_equal(dn_plan_rounds(&plan, 13), 2);
}

static void configurations_have_room_for_all_options(void **state)
{
    size_t of_rules = 0, of_strategies = 0;
    (void)state;
    while (dn_option_at(of_rules))
        of_rules++;
    while (dn_strategy_option_at(of_strategies))
        of_strategies++;
    assert_in_range(of_rules, 1, DN_OPTIONS_MAX);
    assert_in_range(of_strategies, 1, DN_STRATEGY_KEYS_MAX);
}

#define LLAMA                                                                                                    \
    "{\"model_type\":\"llama\",\"vocab_size\":300,\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":12,"  \
    "\"head_dim\":6,\"intermediate_size\":40,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5}"

/* Keys of the model that nobody set are those of config.json; one that was set counts, if only to its default, and is refused
 * by its name where it says otherwise. So does a dump of either. */
static void a_key_that_was_set_to_its_default_is_given(void **state)
{
    (void)state;
    scratch dir;
    char model[300];
    dn_plan plan;
    assert_true(scratch_make(&dir));
    assert_true(scratch_write(&dir, "config.json", LLAMA, strlen(LLAMA)));
    for (int folder = 0; folder < 2; folder++)
        for (int dumped = 0; dumped < 2; dumped++) {
            dn_config c = defaults();
            snprintf(model, sizeof model, "model=%s%s", dir.dir, folder ? "" : "/config.json");
            assert_int_equal(dn_config_set(&c, model), DN_OK);
            assert_int_equal(dn_config_set(&c, "sequence_length=32"), DN_OK);
            for (int keys = 0; keys < 3; keys++) {
                static const char *const set[] = {"mlp_bias=null", "n_layer=2", "n_layer=12"}; /* the last is its default */
                assert_int_equal(dn_config_set(&c, set[keys]), DN_OK);
                char *text = dn_config_dump(&c);
                dn_config again = defaults();
                assert_int_equal(dn_config_parse(&again, text, "dump"), DN_OK);
                free(text);
                dn_status status = dn_plan_make(dumped ? &again : &c, 1, &plan);
                if (keys < 2) {
                    if (status != DN_OK)
                        fail_msg("%s: %s", set[keys], dn_error_message());
                    assert_true(plan.spec.L == 2 && plan.spec.V == 300 && plan.spec.attention.hd == 6);
                    assert_string_equal(plan.spec.architecture->name, "llama");
                    assert_true(!*plan.config.model && plan.config.lr == 0.02);
                    continue;
                }
                assert_int_equal(status, DN_ERR_CONFIG);
                if (!strstr(dn_error_message(), "n_layer 12 contradicts model"))
                    fail_msg("'%s'", dn_error_message());
            }
        }
    dn_config c = defaults();
    assert_int_equal(dn_config_set(&c, model), DN_OK);
    assert_int_equal(dn_config_set(&c, "init_from=somewhere"), DN_OK);
    assert_int_equal(dn_plan_make(&c, 1, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "init_from and model"));
    scratch_remove(&dir);
}

TESTS(train_config)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_have_room_for_all_options),
        cmocka_unit_test(every_default_is_accepted_by_its_own_key),
        cmocka_unit_test(values_reach_their_fields),
        cmocka_unit_test(a_file_of_the_reference_runs_unchanged),
        cmocka_unit_test(an_argument_that_is_ignored_is_named),
        cmocka_unit_test(errors_name_line_key_and_remedy),
        cmocka_unit_test(nothing_in_a_file_is_passed_over),
        cmocka_unit_test(the_default_is_asked_for_with_null_alone),
        cmocka_unit_test(files_that_are_no_configuration_are_told_apart),
        cmocka_unit_test(a_text_is_taken_if_it_can_be_stored),
        cmocka_unit_test(a_dump_has_no_more_digits_than_it_takes),
        cmocka_unit_test(a_long_value_leaves_room_for_what_is_wrong_with_it),
        cmocka_unit_test(a_text_that_its_field_does_not_hold_is_refused),
        cmocka_unit_test(times_of_all_boundaries_fit_their_key),
        cmocka_unit_test(a_bad_argument_is_named),
        cmocka_unit_test(a_dump_reads_back_to_the_same_values),
        cmocka_unit_test(sizes_that_do_not_divide_are_refused),
        cmocka_unit_test(every_option_reaches_the_optimizer),
        cmocka_unit_test(rules_reach_the_optimizer),
        cmocka_unit_test(groups_of_parameters_are_read_from_a_list),
        cmocka_unit_test(trained_parameters_are_a_list_of_globs),
        cmocka_unit_test(groups_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(keys_mean_what_they_mean_to_the_script_of_microsoft),
        cmocka_unit_test(what_is_left_to_the_rule_is_stored_as_what_it_was),
        cmocka_unit_test(a_key_that_was_set_to_its_default_is_given),
        cmocka_unit_test(a_batch_is_dealt_without_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
