/* The list of events against a simulation that goes from end to end in time, and what must hold of any list. */
#include "train/tickets.h"

#include "support/close.h"
#include "support/tests.h"

enum { CLIENTS = 9 };

static double by_client(void *context, int client, uint64_t version)
{
    const double *seconds = context;
    return seconds[client] + 0.001 * (double)(version % 3);
}

static double seconds[CLIENTS] = {1, 2.5, 3.2, 1, 7, 0.3, 2, 19, 4};

static dn_tickets *open_list(int n, int out, int quorum, uint64_t seed)
{
    const dn_ticket_rules rules = {.n_clients = n, .n_out = out, .quorum = quorum, .seed = seed, .seconds = by_client, .context = seconds};
    dn_tickets *t;
    assert_int_equal(dn_tickets_create(&rules, &t), DN_OK);
    return t;
}

/* Versions are made when as many tickets as the server waits for have ended, and not before: time only goes on. */
static void tickets_end_in_order_and_no_client_has_two(void **state)
{
    (void)state;
    static const int settings[][3] = {{9, 9, 9}, {9, 4, 4}, {9, 6, 2}, {9, 9, 1}, {1, 1, 1}, {5, 3, 1}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int n = settings[i][0], n_out = settings[i][1], quorum = settings[i][2];
        uint64_t done[CLIENTS] = {0};
        dn_tickets *t = open_list(n, n_out, quorum, 3);
        for (uint64_t v = 0; v < 200; v++) {
            const dn_ticket *out = dn_tickets_out(t);
            double now = dn_tickets_now(t);
            bool has[CLIENTS] = {false};
            assert_int_equal(dn_tickets_version(t), v);
            for (int k = 0; k < n_out; k++) {
                assert_true(out[k].client >= 0 && out[k].client < n && !has[out[k].client]);
                has[out[k].client] = true;
                assert_at_most(out[k].version, v);
                assert_int_equal(out[k].before, done[out[k].client]);
                assert_at_least(out[k].end_s, now);
                assert_true(k == 0 || out[k].end_s > out[k - 1].end_s ||
                            (out[k].end_s == out[k - 1].end_s && out[k].client > out[k - 1].client));
                if (out[k].version == v) /* given now */
                    assert_close(out[k].end_s - now, by_client(seconds, out[k].client, v), 1e-9); /* of thousands */
            }
            for (int k = 0; k < quorum; k++)
                done[out[k].client]++;
            double end = out[quorum - 1].end_s;
            dn_tickets_next(t);
            assert_close(dn_tickets_now(t), end, 0);
        }
        dn_tickets_destroy(&t);
    }
}

/* All clients are out: nothing is drawn, and the list follows from speeds alone. */
static void with_all_out_the_list_is_that_of_clocks(void **state)
{
    (void)state;
    double end[CLIENTS];
    uint64_t trains[CLIENTS] = {0};
    dn_tickets *t = open_list(CLIENTS, CLIENTS, 1, 8);
    for (int c = 0; c < CLIENTS; c++)
        end[c] = by_client(seconds, c, 0);
    for (uint64_t v = 0; v < 300; v++) {
        int first = 0;
        for (int c = 1; c < CLIENTS; c++)
            first = end[c] < end[first] ? c : first;
        const dn_ticket *next = dn_tickets_out(t);
        assert_int_equal(next->client, first);
        assert_int_equal(next->version, trains[first]);
        assert_close(next->end_s, end[first], 0);
        trains[first] = v + 1;
        end[first] += by_client(seconds, first, v + 1);
        dn_tickets_next(t);
    }
    dn_tickets_destroy(&t);
}

static void rounds_are_the_case_that_all_are_waited_for_and_draw_all_clients_alike(void **state)
{
    (void)state;
    enum { ROUNDS = 3000 };
    int drawn[CLIENTS] = {0};
    dn_tickets *t = open_list(CLIENTS, 3, 3, 4);
    for (uint64_t v = 0; v < ROUNDS; v++) {
        for (int k = 0; k < 3; k++) {
            assert_int_equal(dn_tickets_out(t)[k].version, v);
            drawn[dn_tickets_out(t)[k].client]++;
        }
        dn_tickets_next(t);
    }
    /* Binomial with n = 3000, p = 1/3: mean 1000, deviation 26; five of them. */
    for (int c = 0; c < CLIENTS; c++)
        assert_close(drawn[c], ROUNDS / 3, 130);
    dn_tickets_destroy(&t);
}

static void a_list_is_a_function_of_its_settings(void **state)
{
    (void)state;
    dn_tickets *a = open_list(CLIENTS, 6, 2, 5), *b = open_list(CLIENTS, 6, 2, 5), *other = open_list(CLIENTS, 6, 2, 6);
    bool differs = false;
    for (int v = 0; v < 50; v++)
        dn_tickets_next(b);
    dn_tickets_rewind(b);
    for (int v = 0; v < 100; v++) {
        for (int k = 0; k < 6; k++) {
            const dn_ticket *x = &dn_tickets_out(a)[k], *y = &dn_tickets_out(b)[k];
            assert_true(x->client == y->client && x->version == y->version && x->before == y->before && x->end_s == y->end_s);
            differs = differs || x->client != dn_tickets_out(other)[k].client;
        }
        dn_tickets_next(a);
        dn_tickets_next(b);
        dn_tickets_next(other);
    }
    assert_true(differs); /* the seed counts */
    dn_tickets_destroy(&a);
    dn_tickets_destroy(&b);
    dn_tickets_destroy(&other);
}

TESTS(train_tickets)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_end_in_order_and_no_client_has_two),
        cmocka_unit_test(with_all_out_the_list_is_that_of_clocks),
        cmocka_unit_test(rounds_are_the_case_that_all_are_waited_for_and_draw_all_clients_alike),
        cmocka_unit_test(a_list_is_a_function_of_its_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
