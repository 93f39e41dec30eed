/* Work that one rank does for all is shared out evenly, also where each bucket holds a single matrix. */
#include "support/optim_rig.h"
#include "support/rules.h"
#include "support/tests.h"
#include "shard/deal.h"
#include "shard/executor.h"

enum { N_RANKS = 3, N = 9 };

typedef struct items {
    double costs[N];
    int owners[N];
} items;

static double cost(void *of, size_t i)
{
    return ((items *)of)->costs[i];
}

static int *owner(void *of, size_t i)
{
    return &((items *)of)->owners[i];
}

static void a_bucket_is_even_by_itself_and_what_is_left_to_choose_evens_out_all(void **state)
{
    (void)state;
    dn_deal deal = {0};
    items first = {{1, 5, 1, 1, 1}, {-1, -1, -1, -1, -1}}, second = {{2, 2}, {-1, -1}};
    dn_deal_batch(&deal, N_RANKS, &first, 5, cost, owner);
    const int expected[] = {1, 0, 2, 1, 2};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(first.owners[i], expected[i]);
    dn_deal_batch(&deal, N_RANKS, &second, 2, cost, owner);
    assert_int_equal(second.owners[0], 1); /* rank 0 has 5, the others 2 */
    assert_int_equal(second.owners[1], 2);
}

/* Of matrices so large that each fills a bucket, every rank owns as many as another. No memory is taken. */
static void large_matrices_have_all_ranks_for_owners(void **state)
{
    (void)state;
    static const int size[DN_N_AXES] = {N_RANKS, 1, 1};
    for (size_t k = 0; dn_rule_at(k); k++) {
        if (!is_owner_rule(dn_rule_at(k)->name))
            continue;
        dn_optim_config config = rig_config();
        dn_param params[N];
        dn_param_state slots[N];
        int n_owned[N_RANKS] = {0};
        config.matrix_rule = dn_rule_at(k)->name;
        config.rank_fraction = 1;
        for (size_t i = 0; i < N; i++) {
            params[i] = (dn_param){.kind = DN_PARAM_MATRIX, .tensor = {.rows = 16384, .cols = 16384}};
            slots[i] = dn_param_state_of(&config, &params[i], i, size);
        }
        dn_executor_of(slots[0].rule)->deal(&config, size, slots, N);
        for (size_t i = 0; i < N; i++)
            n_owned[slots[i].owner]++;
        for (int rank = 0; rank < N_RANKS; rank++)
            if (n_owned[rank] != N / N_RANKS)
                fail_msg("%s: rank %d owns %d of %d matrices, not %d", dn_rule_at(k)->name, rank,
                         n_owned[rank], N, N / N_RANKS);
    }
}

TESTS(shard_deal)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_even_by_itself_and_what_is_left_to_choose_evens_out_all),
        cmocka_unit_test(large_matrices_have_all_ranks_for_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
