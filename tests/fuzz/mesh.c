/* Meshes as people write them, and the parts that they cut. */
#include "fuzz/fuzz.h"

#include "dionode/mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of n things follow each other and hold all of them. */
static void check_parts(uint64_t n, uint64_t unit, int parts)
{
    size_t at = 0;
    for (int index = 0; index < parts; index++) {
        dn_range part = dn_shard_range(n, unit, parts, index);
        FUZZ_EXPECT(part.first == at && part.end >= at,
                    "part %d of %d of %zu in units of %zu is %zu to %zu, after %zu", index, parts, (size_t)n,
                    (size_t)unit, part.first, part.end, at);
        at = part.end;
    }
    FUZZ_EXPECT(at == n, "%d parts hold %zu of %zu", parts, at, (size_t)n);
}

static void run(const uint8_t *data, size_t size)
{
    int mesh[DN_N_AXES] = {0}, again[DN_N_AXES];
    char text[64], *given = strndup((const char *)data, size);
    FUZZ_EXPECT(given, "no memory");
    dn_status status = dn_mesh_parse(given, mesh);
    free(given);
    if (status != DN_OK) {
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG);
        return;
    }
    int n_ranks = mesh[DN_DP] * mesh[DN_PP] * mesh[DN_FS] * mesh[DN_TP];
    FUZZ_EXPECT(mesh[DN_DP] >= 1 && mesh[DN_PP] >= 1 && mesh[DN_FS] >= 1 && mesh[DN_TP] >= 1 && n_ranks <= DN_MAX_RANKS,
                "a mesh of %d x %d x %d x %d", mesh[DN_DP], mesh[DN_PP], mesh[DN_FS], mesh[DN_TP]);
    snprintf(text, sizeof text, "tp=%d,pp=%d,dp=%d,fs=%d", mesh[DN_TP], mesh[DN_PP], mesh[DN_DP], mesh[DN_FS]);
    FUZZ_EXPECT(dn_mesh_parse(text, again) == DN_OK && memcmp(mesh, again, sizeof mesh) == 0,
                "%s reads as another", text);
    fuzz_input input = {data, size};
    uint64_t n = fuzz_take(&input, 5), unit = 1 + fuzz_take(&input, 2);
    check_parts(n, unit, n_ranks);
}

const fuzz_target fuzz_mesh = {"mesh", run, 20000};
