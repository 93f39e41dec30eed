/* Models of other programs: the first byte says whether the rest is a config.json, a safetensors file, llm.c's or a
 * generation_config.json; or, behind two bytes that say how long it is, an index and the file that it may name, or a config.json
 * and the weights of its model. */
#include "fuzz/fuzz.h"

#include "formats/hf.h"
#include "train/plan.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG, SAFETENSORS, LLMC, INDEX, MODEL, GENERATION, N_KINDS };

static void read_all(const dn_foreign *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < f->tensors[i].n; k++)
            sum += (double)dn_foreign_element(&f->tensors[i], k);
    FUZZ_EXPECT(sum <= 0 || sum > 0 || sum != sum, "%g is no number", sum);
}

/* What is accepted is a model of one sequence of one token, or refused by name. */
static bool plan_of(const dn_config *config, dn_plan *plan)
{
    dn_config c = *config;
    c.sequence_length = 1;
    dn_status status = dn_plan_make(&c, 1, plan);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
    return status == DN_OK;
}

/* Each parameter, if the file has just these. */
static void read_parameters(dn_foreign *f, const dn_plan *plan)
{
    dn_arena weights = {0}, grads = {0};
    if (plan->n_elements > 10000) /* time goes with it */
        return;
    dn_param *params = calloc(plan->n_params, sizeof *params);
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    dn_real *block = calloc(plan->n_elements, sizeof *block);
    FUZZ_EXPECT(params && unit_of && block, "no memory for %zu parameters", plan->n_params);
    dn_model_layout(&plan->spec, plan->mesh, (const int[DN_N_AXES]){0}, &weights, &grads, params, unit_of);
    dn_status status = dn_hf_check(f, &plan->spec, params, plan->n_params, "folder");
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    for (size_t i = 0; status == DN_OK && i < plan->n_params; i++)
        dn_hf_read_block(f, &plan->spec, &params[i], block);
    free(params);
    free(unit_of);
    free(block);
}

static dn_status open_index(const fuzz_input *index, const fuzz_input *rest, dn_foreign *f)
{
    fuzz_file("a.safetensors", rest->data, rest->size);
    fuzz_file("model.safetensors.index.json", index->data, index->size);
    return dn_foreign_open(getenv("FUZZ_FOLDER"), f);
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size}, text = {0};
    size_t kind = fuzz_take(&input, 1) % N_KINDS, n = kind == INDEX || kind == MODEL ? fuzz_take(&input, 2) : 0;
    text = (fuzz_input){input.data, n < input.size ? n : input.size};
    input = (fuzz_input){input.data + text.size, input.size - text.size};
    dn_foreign f = {0};
    dn_config config;
    dn_plan plan = {0};
    dn_config_init(&config);
    if (kind == CONFIG || kind == MODEL) {
        const fuzz_input *json = kind == CONFIG ? &input : &text;
        dn_status status = dn_hf_parse_config((const char *)json->data, json->size, "config.json", &config);
        if (status != DN_OK)
            FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
        if (status != DN_OK || !plan_of(&config, &plan) || kind == CONFIG)
            return;
    }
    if (kind == GENERATION) {
        dn_hf_generation generation = {.n_ends = 0};
        dn_status status = dn_hf_parse_generation((const char *)input.data, input.size, "generation_config.json", true, &generation);
        if (status != DN_OK)
            FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
        FUZZ_EXPECT(generation.n_ends <= DN_HF_ENDS_MAX, "%zu ends", generation.n_ends);
        return;
    }
    const char *path = fuzz_file("foreign", input.data, input.size);
    dn_status status = kind == LLMC    ? dn_llmc_open(path, &config, &f)
                       : kind == INDEX ? open_index(&text, &input, &f)
                                       : dn_foreign_add_file(&f, path);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA, DN_ERR_IO);
    else if (kind == MODEL || (kind == LLMC && plan_of(&config, &plan)))
        read_parameters(&f, &plan);
    else
        read_all(&f);
    dn_foreign_close(&f);
}

const fuzz_target fuzz_foreign = {"foreign", run, 500};
