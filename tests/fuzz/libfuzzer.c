/* libFuzzer's side: the target is the one that FUZZ_TARGET names. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fuzz_target *target;
    if (!target) {
        const char *name = getenv("FUZZ_TARGET");
        target = fuzz_find(name ? name : "");
        FUZZ_EXPECT(target, "FUZZ_TARGET names none of the targets: %s", name ? name : "(not set)");
    }
    target->run(data, size);
    return 0;
}
