/* Files of other programs: damage, what is refused and by which name, numbers of 16 bits, llm.c's three layouts. */
#include "formats/write.h"
#include "support/scratch.h"
#include "support/tests.h"
#include "train/plan.h"

#include <math.h>

/* A file of a header and n bytes behind it. */
static void write_file(scratch *dir, const char *name, const char *header, const void *data, size_t n)
{
    char all[8192] = {0};
    size_t length = strlen(header);
    all[0] = (char)(length & 255);
    all[1] = (char)(length >> 8);
    memcpy(all + 8, header, length);
    memcpy(all + 8 + length, data, n);
    assert_true(scratch_write(dir, name, all, 8 + length + n));
}

static const float numbers[] = {1, -2, 3.5, 1e-20F, 5, 6};
#define HEADER                                                                                                   \
    "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},"    \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

static void expect(dn_status status, dn_status code, const char *said)
{
    if (status != code || (said && !strstr(dn_error_message(), said)))
        fail_msg("status %d, '%s'; wanted %d and '%s'", status, status == DN_OK ? "" : dn_error_message(), code, said);
}

static void tensors_are_found_in_any_order(void **state)
{
    (void)state;
    scratch dir;
    dn_foreign f;
    assert_true(scratch_make(&dir));
    write_file(&dir, "model.safetensors", HEADER, numbers, sizeof numbers);
    assert_int_equal(dn_foreign_open(dir.dir, &f), DN_OK);
    const dn_foreign_tensor *a = dn_foreign_find(&f, "a"), *b = dn_foreign_find(&f, "b");
    assert_true(f.n == 2 && a && b && !dn_foreign_find(&f, "c"));
    assert_true(a->n_dims == 2 && a->n == 4 && dn_foreign_element(a, 1) == -2 && dn_foreign_element(b, 1) == 6);
    dn_foreign_close(&f);
    scratch_remove(&dir);
}

/* Each byte of the file's head becomes many others: an error of data, or a file whose tensors can be read. */
static void a_damaged_header_is_an_error_or_another_header(void **state)
{
    (void)state;
    scratch dir;
    size_t n = 8 + strlen(HEADER) + sizeof numbers, n_refused = 0;
    char all[1024] = {0}, path[400];
    assert_true(scratch_make(&dir));
    write_file(&dir, "whole", HEADER, numbers, sizeof numbers);
    FILE *file = fopen(scratch_path(&dir, "whole"), "rb");
    assert_true(file && fread(all, 1, sizeof all, file) == n);
    fclose(file);
    static const unsigned char changes[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};
    for (size_t at = 0; at < 8 + strlen(HEADER); at++)
        for (size_t c = 0; c < sizeof changes; c++) {
            dn_foreign f = {0};
            all[at] = (char)(all[at] ^ changes[c]);
            assert_true(scratch_write(&dir, "changed", all, n));
            all[at] = (char)(all[at] ^ changes[c]);
            snprintf(path, sizeof path, "%s/changed", dir.dir);
            dn_status status = dn_foreign_add_file(&f, path);
            assert_true(status == DN_OK || status == DN_ERR_DATA);
            n_refused += status != DN_OK;
            for (size_t i = 0; status == DN_OK && i < f.n; i++)
                for (size_t k = 0; k < f.tensors[i].n; k++)
                    (void)dn_foreign_element(&f.tensors[i], k);
            dn_foreign_close(&f);
        }
    for (size_t cut = 0; cut < n; cut++) { /* an end that is missing is never taken for a whole file */
        dn_foreign f = {0};
        assert_true(scratch_write(&dir, "changed", all, cut));
        snprintf(path, sizeof path, "%s/changed", dir.dir);
        assert_int_equal(dn_foreign_add_file(&f, path), DN_ERR_DATA);
        dn_foreign_close(&f);
    }
    assert_true(n_refused > 500);
    scratch_remove(&dir);
}

static void overlaps_holes_and_sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,24]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[4,24]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,24]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,9223372036854775808]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-6],\"data_offsets\":[0,24]}}",
        "{\"a\":{\"dtype\":\"I64\",\"shape\":[3],\"data_offsets\":[0,24]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,6],\"data_offsets\":[0,24]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]},\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}",
        "{\"__metadata__\":3,\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}",
        "[]",
    };
    scratch dir;
    assert_true(scratch_make(&dir));
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        dn_foreign f;
        write_file(&dir, "model.safetensors", headers[i], numbers, sizeof numbers);
        expect(dn_foreign_open(dir.dir, &f), DN_ERR_DATA, "model.safetensors");
        dn_foreign_close(&f);
    }
    scratch_remove(&dir);
}

static void an_index_names_files_of_its_folder_that_hold_what_it_lists(void **state)
{
    (void)state;
    static const struct {
        const char *index, *said;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"one\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"one\"}}", "b: is in a file, and not listed"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"one\",\"c\":\"one\"}}", "c: is listed, and in no file"},
        {"{\"weight_map\":{\"a\":\"../one\"}}", "a: names no file of the same folder"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"two\"}}", "is in two files"},
        {"{\"weight_map\":3}", "weight_map"},
        {"{", "no JSON object: column 1"},
    };
    scratch dir;
    assert_true(scratch_make(&dir));
    write_file(&dir, "one", HEADER, numbers, sizeof numbers);
    write_file(&dir, "two", HEADER, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_foreign f;
        assert_true(scratch_write(&dir, "model.safetensors.index.json", cases[i].index, strlen(cases[i].index)));
        dn_status status = dn_foreign_open(dir.dir, &f);
        expect(status, cases[i].said ? DN_ERR_DATA : DN_OK, cases[i].said);
        assert_true(cases[i].said || f.n == 2);
        dn_foreign_close(&f);
    }
    scratch_remove(&dir);
}

/* All numbers of 16 bits come back as they were, NaN as some NaN; what lies between goes to the nearer, in a tie to the even
 * one. */
static void numbers_of_sixteen_bits_round_to_nearest(void **state)
{
    (void)state;
    static const dn_foreign_type types[] = {DN_FOREIGN_F16, DN_FOREIGN_BF16};
    for (size_t t = 0; t < 2; t++)
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            uint16_t half = (uint16_t)bits, next = (uint16_t)(bits + 1), got;
            unsigned char out[2];
            const dn_foreign_tensor one = {.type = types[t], .n = 1, .data = (const unsigned char *)&half},
                                    other = {.type = types[t], .n = 1, .data = (const unsigned char *)&next};
            double x = (double)dn_foreign_element(&one, 0), y = (double)dn_foreign_element(&other, 0);
            dn_foreign_store(types[t], x, out);
            memcpy(&got, out, sizeof got);
            assert_true(isnan(x) ? (got & 0x7fff) > 0x7c00 : got == half);
            if (isnan(x) || isnan(y) || isinf(x) || isinf(y) || bits == 0x7fff || bits == 0xffff || (float)((x + y) / 2) != (x + y) / 2)
                continue;
            dn_foreign_store(types[t], (x + y) / 2, out);
            memcpy(&got, out, sizeof got);
            assert_int_equal(got, bits & 1 ? next : half);
        }
}

#define LLAMA                                                                                                    \
    "\"model_type\":\"llama\",\"vocab_size\":11,\"hidden_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":2," \
    "\"intermediate_size\":12,\"max_position_embeddings\":16"

#define SIZES                                                                                                    \
    "\"vocab_size\":11,\"hidden_size\":48,\"num_hidden_layers\":3,\"num_attention_heads\":6,"                      \
    "\"intermediate_size\":12,\"max_position_embeddings\":16"

static void what_is_not_held_is_refused_by_its_key(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{" LLAMA "}", NULL},
        {"{" LLAMA ",\"rope_scaling\":null,\"rope_theta\":500000.0}", NULL},
        {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}", NULL},
        {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2.0}}", "rope_scaling"},
        {"{" LLAMA ",\"rope_parameters\":null}", NULL},
        {"{" LLAMA ",\"rope_parameters\":[]}", "rope_parameters []"},
        {"{" LLAMA ",\"rope_scaling\":\"linear\"}", "rope_scaling \"linear\""},
        {"{" LLAMA ",\"rope_parameters\":{\"rope_type\":3,\"rope_theta\":1e4}}", "rope_parameters"},
        {"{" LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\",\"rope_theta\":1e4}}}", "rope_parameters"},
        {"{" LLAMA ",\"rope_parameters\":{\"rope_type\":\"longrope\",\"rope_theta\":1e4}}", "rope_parameters"},
        {"{" LLAMA ",\"hidden_act\":\"relu\"}", "hidden_act \"relu\""},
        {"{" LLAMA ",\"quantization_config\":{\"bits\":4}}", "quantization_config"},
        {"{" LLAMA ",\"clip_qkv\":8.0}", "clip_qkv"},
        {"{" LLAMA ",\"num_local_experts\":8}", "num_local_experts"},
        {"{" LLAMA ",\"alibi\":true}", "alibi"},
        {"{" LLAMA ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "layer_types"},
        {"{" LLAMA ",\"num_key_value_heads\":\"two\"}", "num_key_value_heads"},
        {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2.0}}", "rope_scaling"},
        {"{" LLAMA ",\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[1,1]}}", "rope_scaling"},
        {"{" LLAMA ",\"num_experts\":8}", "num_experts"},
        {"{" LLAMA ",\"attn_logit_softcapping\":50.0}", "attn_logit_softcapping"},
        {"{" LLAMA ",\"final_logit_softcapping\":30.0}", "final_logit_softcapping"},
        {"{" LLAMA ",\"scale_attn_weights\":false}", "scale_attn_weights"},
        {"{" LLAMA ",\"scale_attn_by_inverse_layer_idx\":true}", "scale_attn_by_inverse_layer_idx"},
        {"{" LLAMA ",\"is_encoder_decoder\":true}", "is_encoder_decoder"},
        {"{" LLAMA ",\"tie_word_embeddings\":1}", "tie_word_embeddings"},
        {"{\"model_type\":\"gpt_neox\"," SIZES ",\"attention_bias\":false}", "attention_bias"},
        {"{\"model_type\":\"qwen2\"," SIZES ",\"sliding_window\":5,\"use_sliding_window\":true,\"max_window_layers\":2}", "max_window_layers"},
        {"{\"model_type\":\"gemma2\"}", "model_type \"gemma2\""},
        {"{\"model_type\":\"gemma3_text\"}", "model_type \"gemma3_text\""},
        {"{\"model_type\":\"mixtral\"}", "model_type \"mixtral\""},
        {"{\"model_type\":\"phi3\"}", "model_type \"phi3\""},
        {"{\"model_type\":\"deepseek_v3\"}", "model_type \"deepseek_v3\""},
        {"{\"model_type\":\"mlp\"}", "model_type \"mlp\""},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":11}", "n_embd is missing"},
        {"{}", "model_type is missing"},
        {"[1]", "no JSON object"},
        {"{", "no JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_config config;
        dn_config_init(&config);
        dn_status status = dn_hf_parse_config(cases[i][0], strlen(cases[i][0]), "here", &config);
        expect(status, cases[i][1] ? DN_ERR_CONFIG : DN_OK, cases[i][1]);
    }
}

#define GPT2 "\"model_type\":\"gpt2\",\"vocab_size\":11,\"n_embd\":8,\"n_layer\":1,\"n_head\":2,\"n_positions\":16"

static dn_spec spec_of(const char *keys)
{
    char text[1024];
    dn_config config;
    dn_plan plan;
    dn_config_init(&config);
    snprintf(text, sizeof text, "{%s}", keys);
    expect(dn_hf_parse_config(text, strlen(text), keys, &config), DN_OK, NULL);
    config.sequence_length = 16;
    config.batch_size = config.device_batch_size = 1;
    expect(dn_plan_make(&config, 1, &plan), DN_OK, NULL);
    return plan.spec;
}

/* Each with another number or word than stands there without a key. */
static void old_keys_and_new_ones_say_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *others;
        bool same;
    } pairs[] = {
#define NEOX "\"model_type\":\"gpt_neox\"," SIZES
        {NEOX ",\"rotary_pct\":0.5,\"rotary_emb_base\":500",
         NEOX ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500,\"partial_rotary_factor\":0.5}", true},
        {NEOX ",\"rotary_pct\":0.5,\"rotary_emb_base\":500", NEOX ",\"partial_rotary_factor\":0.5,\"rope_theta\":500", true},
        {NEOX, NEOX ",\"rotary_pct\":0.25,\"rotary_emb_base\":10000,\"use_parallel_residual\":true", true},
        {NEOX, NEOX ",\"rotary_pct\":0.5", false},
        {NEOX, NEOX ",\"rotary_emb_base\":500", false},
        {NEOX, NEOX ",\"use_parallel_residual\":false", false},
#define SCALED "\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4"
#define OTHER_LLAMA "\"model_type\":\"llama\"," SIZES
        {OTHER_LLAMA ",\"rope_theta\":500,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
         OTHER_LLAMA ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":500}", true},
        {OTHER_LLAMA ",\"rope_theta\":500,\"rope_scaling\":{\"rope_type\":\"llama3\"," SCALED "}",
         OTHER_LLAMA ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500,\"original_max_position_embeddings\":16," SCALED "}",
         true},
        {OTHER_LLAMA ",\"num_key_value_heads\":null,\"head_dim\":null", OTHER_LLAMA ",\"num_key_value_heads\":6,\"head_dim\":8", true},
        {OTHER_LLAMA, OTHER_LLAMA ",\"tie_word_embeddings\":false,\"rope_theta\":10000,\"attention_bias\":false,\"mlp_bias\":false", true},
        {OTHER_LLAMA, OTHER_LLAMA ",\"tie_word_embeddings\":true", false},
        {OTHER_LLAMA, OTHER_LLAMA ",\"num_key_value_heads\":3", false},
        {OTHER_LLAMA, OTHER_LLAMA ",\"head_dim\":10", false},
#define GEMMA "\"model_type\":\"gemma\"," SIZES
        {GEMMA ",\"hidden_act\":\"gelu\"", GEMMA ",\"hidden_act\":\"gelu_pytorch_tanh\"", true},
        {GEMMA ",\"hidden_act\":\"gelu\",\"hidden_activation\":null", GEMMA ",\"hidden_act\":\"silu\",\"hidden_activation\":\"gelu_pytorch_tanh\"",
         true},
        {GEMMA, GEMMA ",\"hidden_activation\":\"silu\"", false},
        {GEMMA, GEMMA ",\"tie_word_embeddings\":true", true},
        {GPT2 ",\"n_inner\":null", GPT2 ",\"n_inner\":32,\"tie_word_embeddings\":true,\"activation_function\":\"gelu_new\"", true},
        {GPT2, GPT2 ",\"n_inner\":31", false},
#define QWEN2 "\"model_type\":\"qwen2\"," SIZES ",\"sliding_window\":5"
        {QWEN2, QWEN2 ",\"use_sliding_window\":false,\"max_window_layers\":0", true},
        {QWEN2, QWEN2 ",\"use_sliding_window\":true,\"max_window_layers\":3", true},
        {QWEN2, QWEN2 ",\"use_sliding_window\":true,\"max_window_layers\":0", false},
        {QWEN2 ",\"use_sliding_window\":true,\"max_window_layers\":0",
         QWEN2 ",\"use_sliding_window\":true,\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\"]", true},
        {QWEN2,
         QWEN2 ",\"use_sliding_window\":true,\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\"]", true},
        {QWEN2, QWEN2 ",\"use_sliding_window\":true", true}, /* from the 28th layer on */
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const dn_spec one = spec_of(pairs[i].keys), other = spec_of(pairs[i].others);
        if ((memcmp(&one, &other, sizeof one) == 0) != pairs[i].same)
            fail_msg("%s\nand %s\nshould %s the same", pairs[i].keys, pairs[i].others, pairs[i].same ? "say" : "not say");
    }
}

/* As transformers takes them: 4096 is its own default. */
static void windows_are_those_of_transformers(void **state)
{
    static const struct {
        const char *keys;
        int64_t window;
    } cases[] = {
        {"{\"model_type\":\"mistral\"," SIZES "}", 4096},
        {"{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":null}", 0},
        {"{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":5}", 5},
        {"{\"model_type\":\"qwen2\"," SIZES ",\"use_sliding_window\":true,\"max_window_layers\":0}", 4096},
        {"{\"model_type\":\"qwen3\"," SIZES ",\"sliding_window\":5}", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_config config;
        dn_config_init(&config);
        expect(dn_hf_parse_config(cases[i].keys, strlen(cases[i].keys), cases[i].keys, &config), DN_OK, NULL);
        assert_int_equal(config.attention_window, cases[i].window);
    }
}

/* GPT-2 of 2 positions, 3 words in 4 rows, one layer, one head, C 2, as llm.c lays it out: numbers count up. */
enum { SMALL = 4 * 2 + 2 * 2 + 2 * 2 + 6 * 2 + 6 + 2 * 2 + 2 + 2 * 2 + 8 * 2 + 8 + 2 * 8 + 2 + 2 * 2, NORMS = 6 * 2 };

static void open_small(scratch *dir, int version, const void *weights, size_t bytes, dn_foreign *f)
{
    unsigned char all[4096] = {0};
    const int32_t words[] = {20240326, version, 2, 3, 1, 1, 2, 4};
    dn_config config;
    dn_config_init(&config);
    memcpy(all, words, sizeof words);
    memcpy(all + 1024, weights, bytes);
    assert_true(scratch_write(dir, "gpt2.bin", all, 1024 + bytes));
    expect(dn_llmc_open(scratch_path(dir, "gpt2.bin"), &config, f), DN_OK, NULL);
    assert_true(config.vocab_size == 3 && config.model_dim == 2 && config.n_layer == 1 && config.max_positions == 2);
    assert_int_equal(f->n, 16);
}

static double first_of(const dn_foreign *f, const char *name)
{
    const dn_foreign_tensor *t = dn_foreign_find(f, name);
    assert_non_null(t);
    return (double)dn_foreign_element(t, 0);
}

static void llm_c_s_versions_are_told_apart_by_size(void **state)
{
    (void)state;
    scratch dir;
    dn_foreign f;
    float wide[SMALL];
    unsigned char narrow[2 * SMALL], mixed[2 * SMALL + 2 * NORMS];
    assert_true(scratch_make(&dir));
    for (int i = 0; i < SMALL; i++) {
        wide[i] = (float)i;
        dn_foreign_store(DN_FOREIGN_BF16, i, narrow + 2 * i);
    }
    open_small(&dir, 3, wide, sizeof wide, &f);
    assert_true(first_of(&f, "transformer.wpe.weight") == 8 && first_of(&f, "transformer.ln_f.bias") == SMALL - 2);
    assert_true(dn_foreign_find(&f, "transformer.wte.weight")->dims[0] == 3); /* without the padding */
    dn_foreign_close(&f);
    open_small(&dir, 5, narrow, sizeof narrow, &f);
    assert_true(first_of(&f, "transformer.h.0.attn.c_attn.weight") == 16);
    dn_foreign_close(&f);
    memcpy(mixed, narrow, 2 * (SMALL - NORMS));
    memcpy(mixed + 2 * (SMALL - NORMS), wide, 4 * NORMS);
    open_small(&dir, 3, mixed, sizeof mixed, &f);
    assert_true(first_of(&f, "transformer.h.0.attn.c_attn.weight") == 12 && first_of(&f, "transformer.ln_f.bias") == NORMS - 2);
    dn_foreign_close(&f);
    dn_config config;
    assert_int_equal(truncate(scratch_path(&dir, "gpt2.bin"), 1024 + 4 * SMALL - 4), 0);
    expect(dn_llmc_open(scratch_path(&dir, "gpt2.bin"), &config, &f), DN_ERR_DATA, "bytes of weights");
    dn_foreign_close(&f);
    scratch_remove(&dir);
}

TESTS(formats)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_in_any_order),
        cmocka_unit_test(a_damaged_header_is_an_error_or_another_header),
        cmocka_unit_test(overlaps_holes_and_sizes_that_wrap_are_refused),
        cmocka_unit_test(an_index_names_files_of_its_folder_that_hold_what_it_lists),
        cmocka_unit_test(numbers_of_sixteen_bits_round_to_nearest),
        cmocka_unit_test(what_is_not_held_is_refused_by_its_key),
        cmocka_unit_test(old_keys_and_new_ones_say_the_same),
        cmocka_unit_test(windows_are_those_of_transformers),
        cmocka_unit_test(llm_c_s_versions_are_told_apart_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
