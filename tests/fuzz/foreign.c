/* Models of other programs: the first byte says whether the rest is a config.json, a safetensors file or llm.c's. */
#include "fuzz/fuzz.h"

#include "formats/hf.h"

static void read_all(const dn_foreign *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < f->tensors[i].n; k++)
            sum += (double)dn_foreign_element(&f->tensors[i], k);
    FUZZ_EXPECT(sum <= 0 || sum > 0 || sum != sum, "%g is no number", sum);
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    size_t kind = fuzz_take(&input, 1) % 3;
    dn_foreign f = {0};
    dn_config config;
    dn_config_init(&config);
    if (kind == 0) {
        dn_status status = dn_hf_parse_config((const char *)input.data, input.size, "config.json", &config);
        if (status != DN_OK)
            FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
        return;
    }
    const char *path = fuzz_file("foreign", input.data, input.size);
    dn_status status = kind == 1 ? dn_foreign_add_file(&f, path) : dn_llmc_open(path, &config, &f);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    else
        read_all(&f);
    dn_foreign_close(&f);
}

const fuzz_target fuzz_foreign = {"foreign", run, 500};
