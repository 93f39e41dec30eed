#include "shard/deal.h"

void dn_deal_batch(dn_deal *deal, int n_ranks, void *items, size_t n, double (*cost)(void *items, size_t i),
                   int *(*owner)(void *items, size_t i))
{
    double here[DN_MAX_RANKS] = {0};
    for (size_t left = n; left > 0; left--) {
        size_t next = n;
        for (size_t i = 0; i < n; i++)
            if (*owner(items, i) < 0 && (next == n || cost(items, i) > cost(items, next)))
                next = i;
        int least = 0;
        for (int rank = 1; rank < n_ranks; rank++)
            if (here[rank] < here[least] ||
                (here[rank] == here[least] && deal->given[rank] < deal->given[least]))
                least = rank;
        *owner(items, next) = least;
        here[least] += cost(items, next);
        deal->given[least] += cost(items, next);
    }
}
