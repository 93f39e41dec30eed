#include "linalg/select.h"

#include <math.h>

static double comparable(double score)
{
    return isnan(score) ? -INFINITY : score;
}

/* The k-th largest of x [n], 1 <= k <= n, which it reorders: Hoare's selection. */
static double kth_largest(double *x, size_t n, size_t k)
{
    size_t low = 0, high = n - 1, wanted = k - 1;
    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (x[i] > pivot)
                i++;
            while (x[j] < pivot)
                j--;
            if (i >= j)
                break;
            double swapped = x[i];
            x[i++] = x[j];
            x[j--] = swapped;
        }
        /* x[low..j] >= pivot >= x[j+1..high], or both at j when i met j */
        if (wanted <= j)
            high = j;
        else
            low = j + 1;
    }
    return x[wanted];
}

void dn_select_largest(const double *score, size_t n, size_t k, double *work, int32_t *ids)
{
    if (k == 0)
        return;
    for (size_t i = 0; i < n; i++)
        work[i] = comparable(score[i]);
    double least = kth_largest(work, n, k);
    size_t n_above = 0, n_taken = 0;
    for (size_t i = 0; i < n; i++)
        n_above += comparable(score[i]) > least;
    size_t n_equal = k - n_above; /* how many of those at the limit find room */
    for (size_t i = 0; i < n; i++) {
        double x = comparable(score[i]);
        if (x > least || (x == least && n_equal > 0)) {
            n_equal -= x == least;
            ids[n_taken++] = (int32_t)i;
        }
    }
}
