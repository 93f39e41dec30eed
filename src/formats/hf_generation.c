/* generation_config.json: which tokens end a text, and how a model's authors draw from it. */
#include "formats/write.h"

#include "base/fail.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dn_status refuse(const char *path, const char *key, const json_t *value, const char *why)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    dn_status status = dn_fail(DN_ERR_CONFIG, "%s: %s %.200s: %s", path, key, text ? text : "", why);
    free(text);
    return status;
}

/* A number, or a list of them; null: none. */
static dn_status read_ends(const json_t *json, const char *path, dn_hf_generation *out)
{
    const json_t *value = json_object_get(json, "eos_token_id");
    size_t n = json_is_array(value) ? json_array_size(value) : value && !json_is_null(value);
    if (n > DN_HF_ENDS_MAX)
        return refuse(path, "eos_token_id", value, "so many are not held");
    for (out->n_ends = 0; out->n_ends < n; out->n_ends++) {
        const json_t *end = json_is_array(value) ? json_array_get(value, out->n_ends) : value;
        if (!json_is_integer(end) || json_integer_value(end) < 0 || json_integer_value(end) > INT32_MAX)
            return refuse(path, "eos_token_id", value, "numbers of tokens belong here");
        out->ends[out->n_ends] = (int32_t)json_integer_value(end);
    }
    return DN_OK;
}

static dn_status read_number(const json_t *json, const char *path, const char *key, double least, double most, double *out)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value))
        return DN_OK;
    *out = json_number_value(value);
    if (json_is_number(value) && *out >= least && *out <= most)
        return DN_OK;
    char why[64];
    snprintf(why, sizeof why, "a number from %g to %g belongs here", least, most);
    return refuse(path, key, value, why);
}

static dn_status read_sampling(const json_t *json, const char *path, dn_hf_generation *out)
{
    double top_k = out->top_k;
    DN_TRY(read_number(json, path, "repetition_penalty", 1e-3, 1e3, &out->repetition_penalty));
    DN_TRY(read_number(json, path, "temperature", 0, 1e3, &out->temperature));
    DN_TRY(read_number(json, path, "top_k", 0, 1 << 24, &top_k));
    DN_TRY(read_number(json, path, "top_p", 0, 1, &out->top_p));
    DN_TRY(read_number(json, path, "min_p", 0, 1, &out->min_p));
    out->top_k = (int32_t)top_k;
    if (json_is_false(json_object_get(json, "do_sample")))
        out->temperature = 0;
    return DN_OK;
}

dn_status dn_hf_parse_generation(const char *text, size_t bytes, const char *path, bool sampling, dn_hf_generation *out)
{
    char why[DN_JSON_WHY];
    json_t *json = dn_json_object(text, bytes, why);
    dn_status status = json ? read_ends(json, path, out) : dn_fail(DN_ERR_CONFIG, "%s: %s", path, why);
    if (status == DN_OK && sampling)
        status = read_sampling(json, path, out);
    json_decref(json);
    return status;
}

/* A file that is missing says nothing. */
static dn_status read_file(const char *folder, const char *name, bool sampling, dn_hf_generation *out)
{
    char path[4096];
    const unsigned char *text;
    size_t bytes;
    dn_foreign file = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (access(path, F_OK) != 0)
        return DN_OK;
    dn_status status = dn_foreign_map_file(&file, path, &text, &bytes);
    if (status == DN_OK)
        status = dn_hf_parse_generation((const char *)text, bytes, path, sampling, out);
    dn_foreign_close(&file);
    return status;
}

dn_status dn_hf_read_generation(const char *folder, dn_hf_generation *out)
{
    *out = (dn_hf_generation){
        .repetition_penalty = NAN, .temperature = NAN, .top_k = -1, .top_p = NAN, .min_p = NAN};
    DN_TRY(read_file(folder, "generation_config.json", true, out));
    return out->n_ends ? DN_OK : read_file(folder, "config.json", false, out);
}

dn_status dn_hf_write_generation(dn_atomic_files *to, const dn_tokenizer *tokenizer)
{
    int32_t begin = dn_tokenizer_begin(tokenizer), end = dn_tokenizer_end(tokenizer);
    char text[128];
    int n = snprintf(text, sizeof text, "{");
    if (begin >= 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "\n  \"bos_token_id\": %d%s", begin,
                      end >= 0 ? "," : "");
    if (end >= 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "\n  \"eos_token_id\": %d", end);
    snprintf(text + n, sizeof text - (size_t)n, "\n}");
    return dn_atomic_files_print(to, "generation_config.json", text);
}
