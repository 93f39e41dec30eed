#include "fuzz/round_trip.h"

#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

void fuzz_round_trip(const dn_config *config)
{
    dn_config again;
    dn_config_init(&again);
    char *text = dn_config_dump(config);
    FUZZ_EXPECT(text, "no memory for the text of a configuration");
    dn_status status = dn_config_parse(&again, text, "dump");
    FUZZ_EXPECT(status == DN_OK, "%s, in:\n%s", dn_error_message(), text);
    char *second = dn_config_dump(&again);
    FUZZ_EXPECT(second && strcmp(text, second) == 0,
                "written and read back, a configuration differs:\n%s\n%s", text,
                second ? second : "(no memory)");
    free(text);
    free(second);
}
