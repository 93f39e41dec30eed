/* A configuration file. */
#include "fuzz/fuzz.h"
#include "fuzz/round_trip.h"

static void run(const uint8_t *data, size_t size)
{
    dn_config config;
    dn_config_init(&config);
    dn_status status = dn_config_read(&config, fuzz_file("config.yaml", data, size));
    if (status == DN_OK)
        fuzz_round_trip(&config);
    else
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
}

const fuzz_target fuzz_yaml = {"yaml", run, 800};
