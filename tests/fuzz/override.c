/* Arguments key=value, one after the other; a zero byte ends one. */
#include "fuzz/fuzz.h"
#include "fuzz/round_trip.h"

#include <stdlib.h>
#include <string.h>

static void run(const uint8_t *data, size_t size)
{
    dn_config config;
    dn_config_init(&config);
    while (size > 0) {
        size_t length = strnlen((const char *)data, size);
        char *argument = strndup((const char *)data, length);
        FUZZ_EXPECT(argument, "no memory for an argument");
        dn_status status = dn_config_set(&config, argument);
        if (status != DN_OK)
            FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
        free(argument);
        size_t used = length < size ? length + 1 : length;
        data += used;
        size -= used;
    }
    fuzz_round_trip(&config);
}

const fuzz_target fuzz_override = {"override", run, 1000};
