#include "optim/adjust.h"

#include <math.h>

double dn_adjust_factor(dn_adjust adjust, size_t rows, size_t cols)
{
    switch (adjust) {
    case DN_ADJUST_SPECTRAL_NORM:
        return sqrt((double)rows / (double)cols);
    case DN_ADJUST_RMS_NORM:
        return 0.2 * sqrt((double)(rows > cols ? rows : cols));
    case DN_ADJUST_NONE:
        break;
    }
    return 1;
}
