#include "pipe/cut.h"

#include "base/fail.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

/* least[s][l]: the slowest of stages 0 .. s on units 0 .. l-1; begins[s][l]: the unit with which stage s begins then. */
dn_status dn_pipe_cut(const double *work_s, size_t n_units, const double *link_s, size_t n_stages, size_t *end, double *slowest_s)
{
    size_t width = n_units + 1;
    double *least = calloc(n_stages * width, sizeof *least);
    size_t *begins = calloc(n_stages * width, sizeof *begins);
    if (!least || !begins) {
        free(least);
        free(begins);
        return dn_fail(DN_ERR_MEMORY, "no memory to cut %zu units into %zu stages", n_units, n_stages);
    }
    for (size_t l = 1; l <= n_units; l++)
        least[l] = least[l - 1] + work_s[l - 1];
    for (size_t s = 1; s < n_stages; s++) {
        for (size_t l = s + 1; l <= n_units; l++) {
            double own_s = link_s[s], best = INFINITY;
            for (size_t k = l; k-- > s;) { /* the stage has units k .. l-1 */
                own_s += work_s[k];
                if (own_s > best) /* and with more units longer still */
                    break;
                double slowest = fmax(least[(s - 1) * width + k], own_s);
                if (slowest <= best) {
                    best = slowest;
                    begins[s * width + l] = k;
                }
            }
            least[s * width + l] = best;
        }
    }
    *slowest_s = least[n_stages * width - 1];
    for (size_t s = n_stages, l = n_units; s-- > 0; l = begins[s * width + l])
        end[s] = l;
    free(least);
    free(begins);
    return DN_OK;
}
