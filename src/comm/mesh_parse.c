/* Meshes as users write them: dp=2,fs=2,tp=2. */
#include "dionode/mesh.h"

#include "base/fail.h"
#include "comm/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[DN_N_AXES] = {[DN_DP] = "dp=", [DN_FS] = "fs=", [DN_TP] = "tp=", [DN_PP] = "pp="};

static dn_status refuse(const char *text, const char *why)
{
    return dn_fail(DN_ERR_CONFIG,
                   "mesh '%s': %s; write it as dp=2,fs=2,tp=2 (an axis that is left out is 1, the product is "
                   "at most %d workers)",
                   text, why, DN_MAX_RANKS);
}

/* One "dp=2" from *at on, which moves behind it. Sizes not given yet are 0. */
static dn_status parse_axis(const char *text, const char **at, int size[DN_N_AXES])
{
    int axis = 0;
    while (axis < DN_N_AXES && strncmp(*at, names[axis], 3) != 0)
        axis++;
    if (axis == DN_N_AXES)
        return refuse(text, "axes are dp, pp, fs and tp");
    if (size[axis] != 0)
        return refuse(text, "an axis is given twice");
    char *end;
    const char *digits = *at + 3;
    long value = isdigit((unsigned char)*digits) ? strtol(digits, &end, 10) : 0;
    if (value < 1)
        return refuse(text, "the size of an axis must be a positive integer");
    size[axis] = value <= DN_MAX_RANKS ? (int)value : DN_MAX_RANKS + 1; /* so that the product is too large */
    *at = end;
    return DN_OK;
}

dn_status dn_mesh_parse(const char *text, int size[DN_N_AXES])
{
    int given[DN_N_AXES] = {0};
    const char *at = text;
    DN_TRY(parse_axis(text, &at, given));
    while (*at == ',') {
        at++;
        DN_TRY(parse_axis(text, &at, given));
    }
    if (*at != '\0')
        return refuse(text, "axes must be separated by a comma, and nothing else");
    long product = 1;
    for (int axis = 0; axis < DN_N_AXES; axis++)
        product *= given[axis] ? given[axis] : 1;
    if (product > DN_MAX_RANKS)
        return refuse(text, "too many workers");
    for (int axis = 0; axis < DN_N_AXES; axis++)
        size[axis] = given[axis] ? given[axis] : 1;
    return DN_OK;
}
