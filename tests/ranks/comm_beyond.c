/*
 * Collectives on buffers of more than 4 GiB, and of more than 2^31 elements, without the memory for them.
 *
 *     0              1 GiB            2 GiB                     6 GiB
 *     |island|........|island|........|island|  ...  ........|island|
 *              filler           filler
 *
 * Around every GiB lies an island: pages of its own, 1 MiB on either side, where elements differ from rank to
 * rank and place to place. All the rest is one piece of 8 MiB, mapped over and over, that holds zeros: no
 * collective makes anything but zeros of zeros. So an offset that is cut to 32 bits, or a count cut to 31,
 * hits or leaves out an island, or puts something else than zero into the filler; and all there is can be
 * compared, element by element.
 */
#include "shm/control.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB         ((size_t)1 << 30)
#define MIB         ((size_t)1 << 20)
#define ISLAND      MIB
#define FILLER      (8 * MIB)
#define ROOM        (6 * GIB + ISLAND)  /* of a buffer; as mapped */
#define BYTES       (4 * GIB + MIB / 2) /* of most calls; slices of 2 or 4 ranks end within islands */
#define ROW         (3 * GIB)           /* of an all-to-all between two */
#define ARENA_BYTES (2 * ROOM)

/* This test needs no memory to speak of: it is not to be told that there is too little. */
uint64_t __wrap_dn_limits_memory(const char *root);
uint64_t __wrap_dn_limits_memory(const char *root)
{
    (void)root;
    return UINT64_MAX;
}

/* ---- islands ---- */

static size_t island_start(size_t k)
{
    return k == 0 ? 0 : k * GIB - ISLAND;
}

static size_t island_end(size_t k)
{
    return k * GIB + ISLAND;
}

/* Maps the filler between islands k and k + 1 over and over; its first 8 MiB are those of the file. */
static int map_filler(char *buffer, size_t k, int file, off_t at)
{
    size_t first = island_end(k), filler = island_end(0);
    for (size_t i = first; i < island_start(k + 1); i += FILLER) {
        size_t bytes = island_start(k + 1) - i < FILLER ? island_start(k + 1) - i : FILLER;
        if (mmap(buffer + i, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
                 at + (off_t)filler) == MAP_FAILED)
            return 1;
    }
    return 0;
}

/* Makes the mapping of a file at `buffer` sparse; `at`: where in the file it begins. */
static int make_sparse(char *buffer, int file, off_t at)
{
    for (size_t k = 0; island_start(k + 1) < ROOM; k++)
        if (map_filler(buffer, k, file, at) != 0)
            return 1;
    return 0;
}

static void make_arenas_sparse(dn_world *world)
{
    for (int rank = 0; rank < dn_world_size(world); rank++)
        for (size_t i = 0; i < 2; i++) {
            char *buffer = (char *)dn_world_arena(world, rank) + i * ROOM;
            assert_int_equal(make_sparse(buffer, world->descriptor, buffer - (char *)world->control), 0);
        }
}

/* A private buffer, in memory that no other rank has. */
static char *make_private(void)
{
    int file = memfd_create("beyond", MFD_CLOEXEC);
    char *buffer = MAP_FAILED;
    if (file >= 0 && ftruncate(file, (off_t)ROOM) == 0)
        buffer = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int failed = buffer == MAP_FAILED || make_sparse(buffer, file, 0);
    close(file);
    return failed ? NULL : buffer;
}

/* ---- elements: small whole numbers, whose sums every type holds exactly ---- */

static int brought(int rank, size_t i)
{
    return (int)(((i * 2654435761U) >> 9 ^ (size_t)rank * 29) & 63);
}

static void put(char *buffer, dn_type type, size_t i, int value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (type == DN_BF16)
        ((uint16_t *)(void *)buffer)[i] = (uint16_t)(bits >> 16);
    else
        ((int32_t *)(void *)buffer)[i] = value;
}

static bool holds(const char *buffer, dn_type type, size_t i, int value)
{
    char want[4] = {0}, element[4] = {0};
    size_t bytes = dn_type_bytes(type);
    put(want, type, 0, value);
    memcpy(element, buffer + i * bytes, bytes);
    return memcmp(element, want, bytes) == 0;
}

typedef struct range {
    size_t first, end; /* elements */
} range;

static range island_in(size_t k, dn_type type, range within)
{
    size_t size = dn_type_bytes(type), first = island_start(k) / size, end = island_end(k) / size;
    return (range){first > within.first ? first : within.first, end < within.end ? end : within.end};
}

static range whole(dn_type type)
{
    return (range){0, BYTES / dn_type_bytes(type)};
}

static range all_of_room(dn_type type)
{
    return (range){0, ROOM / dn_type_bytes(type)};
}

static void bring(char *buffer, dn_type type, int rank)
{
    for (size_t k = 0; island_start(k) < ROOM; k++) {
        range r = island_in(k, type, all_of_room(type));
        for (size_t i = r.first; i < r.end; i++)
            put(buffer, type, i, brought(rank, i));
    }
}

/* Whether the islands of a range hold sums of what n ranks from `rank` on brought to the elements `shift`
 * further, and the filler nothing. */
static bool is(const char *buffer, dn_type type, range within, int rank, int n, size_t shift)
{
    static const char nothing[4096];
    for (size_t k = 0; island_start(k) < ROOM; k++) {
        range r = island_in(k, type, within);
        for (size_t i = r.first; i < r.end; i++) {
            int sum = 0;
            for (int other = rank; other < rank + n; other++)
                sum += brought(other, i + shift);
            if (!holds(buffer, type, i, sum)) {
                fprintf(stderr, "# element %zu is wrong\n", i);
                return false;
            }
        }
    }
    for (size_t at = island_end(0); at < island_end(0) + FILLER; at += sizeof nothing)
        if (memcmp(buffer + at, nothing, sizeof nothing) != 0) {
            fprintf(stderr, "# something between the islands, at %zu of the filler\n", at - island_end(0));
            return false;
        }
    return true;
}

/* ---- symmetric buffers ---- */

typedef struct room {
    char *buffer, *other;
    int me, n;
} room;

static bool enter(dn_comm *comm, dn_type type, room *r)
{
    void *buffer, *other;
    if (dn_comm_alloc(comm, ROOM, &buffer) != DN_OK || dn_comm_alloc(comm, ROOM, &other) != DN_OK)
        return false;
    *r = (room){.buffer = buffer, .other = other, .me = dn_comm_rank(comm), .n = dn_comm_size(comm)};
    bring(r->buffer, type, r->me);
    return true;
}

static range slice(const dn_comm *comm, dn_type type, int rank)
{
    range r;
    dn_comm_chunk_bounds(comm, whole(type).end, type, rank, &r.first, &r.end);
    return r;
}

static int all_reduce(dn_comm *comm, void *argument)
{
    const dn_type *type = argument;
    room r;
    RANKS_CHECK(enter(comm, *type, &r));
    size_t n = whole(*type).end;
    RANKS_CHECK(dn_comm_all_reduce(comm, r.buffer, n, *type, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(r.buffer, *type, whole(*type), 0, r.n, 0));
    RANKS_CHECK(
        is(r.buffer, *type, (range){n, all_of_room(*type).end}, r.me, 1, 0)); /* untouched behind it */
    RANKS_CHECK(dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_GRADIENT] == BYTES);
    return 0;
}

static int all_reduce_in_halves(dn_comm *comm, void *argument)
{
    room r;
    uint64_t exchange;
    RANKS_CHECK(enter(comm, DN_BF16, &r));
    RANKS_CHECK(dn_comm_begin_all_reduce(comm, r.buffer, whole(DN_BF16).end, DN_BF16, DN_SUM,
                                         DN_TRAFFIC_GRADIENT, &exchange) == DN_OK);
    RANKS_CHECK(dn_comm_finish(comm, exchange) == DN_OK && is(r.buffer, DN_BF16, whole(DN_BF16), 0, r.n, 0));
    return 0;
}

static int reduce_to_one(dn_comm *comm, void *argument)
{
    const void *result;
    room r;
    RANKS_CHECK(enter(comm, DN_I32, &r));
    RANKS_CHECK(dn_comm_all_reduce_shared(comm, r.buffer, whole(DN_I32).end, DN_I32, DN_SUM,
                                          DN_TRAFFIC_GRADIENT, &result) == DN_OK);
    RANKS_CHECK(is(result, DN_I32, whole(DN_I32), 0, r.n, 0) && dn_comm_barrier(comm) == DN_OK);
    bring(r.buffer, DN_I32, r.me);
    RANKS_CHECK(dn_comm_reduce(comm, r.buffer, whole(DN_I32).end, DN_I32, DN_SUM, 1, DN_TRAFFIC_GRADIENT) ==
                DN_OK);
    RANKS_CHECK(r.me != 1 || is(r.buffer, DN_I32, whole(DN_I32), 0, r.n, 0));
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    bring(r.buffer, DN_I32, r.me);
    dn_owned item = {.buffer = r.buffer, .count = whole(DN_I32).end, .owner = 0}; /* in one piece */
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, &item, 1, DN_I32, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(r.me != 0 || is(r.buffer, DN_I32, whole(DN_I32), 0, r.n, 0));
    RANKS_CHECK(dn_comm_gather_from_owners(comm, &item, 1, DN_I32, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(r.buffer, DN_I32, whole(DN_I32), 0, r.n, 0));
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static int scatter_and_gather(dn_comm *comm, void *argument)
{
    room r;
    RANKS_CHECK(enter(comm, DN_BF16, &r));
    size_t n = whole(DN_BF16).end;
    RANKS_CHECK(dn_comm_reduce_scatter(comm, r.buffer, n, DN_BF16, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(r.buffer, DN_BF16, slice(comm, DN_BF16, r.me), 0, r.n, 0));
    RANKS_CHECK(dn_comm_all_gather(comm, r.buffer, n, DN_BF16, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(r.buffer, DN_BF16, whole(DN_BF16), 0, r.n, 0));
    return 0;
}

static int broadcast(dn_comm *comm, void *argument)
{
    room r;
    RANKS_CHECK(enter(comm, DN_I32, &r));
    RANKS_CHECK(dn_comm_broadcast(comm, r.buffer, BYTES, 1, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(r.buffer, DN_I32, whole(DN_I32), 1, 1, 0));
    return 0;
}

/* Row s of member d comes to row d of member s. */
static int check_transposed(const dn_comm *comm, const char *to)
{
    size_t row = ROW / dn_type_bytes(DN_I32), me = (size_t)dn_comm_rank(comm);
    RANKS_CHECK(is(to, DN_I32, (range){0, row}, 0, 1, me * row));
    RANKS_CHECK(is(to, DN_I32, (range){row, 2 * row}, 1, 1, me * row - row));
    return 0;
}

static int all_to_all(dn_comm *comm, void *argument)
{
    room r;
    RANKS_CHECK(enter(comm, DN_I32, &r));
    RANKS_CHECK(dn_comm_all_to_all(comm, r.buffer, r.other, ROW / 4, DN_I32, DN_TRAFFIC_GRADIENT) == DN_OK);
    return check_transposed(comm, r.other);
}

static int send(dn_comm *comm, void *argument)
{
    room r;
    RANKS_CHECK(enter(comm, DN_I32, &r));
    dn_status status =
        r.me == 0 ? dn_comm_send(comm, r.buffer, whole(DN_I32).end, DN_I32, 1, DN_TRAFFIC_GRADIENT)
                  : dn_comm_receive(comm, r.buffer, whole(DN_I32).end, DN_I32, 0, DN_TRAFFIC_GRADIENT);
    RANKS_CHECK(status == DN_OK && is(r.buffer, DN_I32, whole(DN_I32), 0, 1, 0));
    return 0;
}

static int reduce_by_domains(dn_comm *unused, void *argument)
{
    dn_comm *comm;
    for (int rank = 0; rank < 4; rank++)
        dn_world_set_domain(dn_comm_world(unused), rank, rank / 2); /* all tell the same */
    if (dn_comm_create(dn_comm_world(unused), dn_comm_rank(unused), &comm) != DN_OK)
        return 1;
    dn_type type = DN_I32;
    int failed = all_reduce(comm, &type);
    bool crossed = dn_comm_get_stats(comm, false).crossed[DN_TRAFFIC_GRADIENT] < BYTES;
    dn_comm_destroy(&comm);
    return failed || !crossed;
}

/* ---- private buffers ---- */

static int exchange_private(dn_comm *comm, void *argument)
{
    char *x = make_private(), *to = make_private();
    int me = dn_comm_rank(comm);
    size_t n = whole(DN_I32).end;
    RANKS_CHECK(x && to);
    bring(x, DN_I32, me);
    RANKS_CHECK(dn_comm_all_to_all(comm, x, to, ROW / 4, DN_I32, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(check_transposed(comm, to) == 0);
    RANKS_CHECK(dn_comm_all_reduce(comm, x, n, DN_I32, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(x, DN_I32, whole(DN_I32), 0, 2, 0));
    bring(x, DN_I32, me);
    RANKS_CHECK(dn_comm_broadcast(comm, x, BYTES, 1, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(is(x, DN_I32, whole(DN_I32), 1, 1, 0));
    bring(x, DN_I32, me);
    dn_status status = me == 1 ? dn_comm_send(comm, x, n, DN_I32, 0, DN_TRAFFIC_GRADIENT)
                               : dn_comm_receive(comm, x, n, DN_I32, 1, DN_TRAFFIC_GRADIENT);
    RANKS_CHECK(status == DN_OK && is(x, DN_I32, whole(DN_I32), 1, 1, 0));
    munmap(x, ROOM);
    munmap(to, ROOM);
    return 0;
}

/* ---- tests ---- */

static void run(int n_ranks, ranks_body *body, void *argument)
{
    ranks_spec spec = {
        .kind = AS_PROCESSES, .n_ranks = n_ranks, .arena_bytes = ARENA_BYTES, .prepare = make_arenas_sparse};
    assert_int_equal(ranks_run(&spec, body, argument, NULL), 0);
}

static void all_reduce_of_more_than_4_gib(void **state)
{
    (void)state;
    dn_type type = DN_I32;
    run(2, all_reduce, &type);
}

static void all_reduce_of_more_than_31_bits_of_elements(void **state)
{
    (void)state;
    dn_type type = DN_BF16;
    run(2, all_reduce, &type);
    run(2, all_reduce_in_halves, NULL);
}

static void all_reduce_by_domains_of_more_than_4_gib(void **state)
{
    (void)state;
    run(4, reduce_by_domains, NULL);
}

static void reductions_to_one_result_of_more_than_4_gib(void **state)
{
    (void)state;
    run(2, reduce_to_one, NULL);
}

static void scattering_and_gathering_more_than_31_bits_of_elements(void **state)
{
    (void)state;
    run(2, scatter_and_gather, NULL);
}

static void copies_of_more_than_4_gib(void **state)
{
    (void)state;
    run(2, broadcast, NULL);
    run(2, all_to_all, NULL);
    run(2, send, NULL);
}

static void private_buffers_of_more_than_4_gib(void **state)
{
    (void)state;
    run(2, exchange_private, NULL);
}

TESTS(comm_beyond)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_of_more_than_4_gib),
        cmocka_unit_test(all_reduce_of_more_than_31_bits_of_elements),
        cmocka_unit_test(all_reduce_by_domains_of_more_than_4_gib),
        cmocka_unit_test(reductions_to_one_result_of_more_than_4_gib),
        cmocka_unit_test(scattering_and_gathering_more_than_31_bits_of_elements),
        cmocka_unit_test(copies_of_more_than_4_gib),
        cmocka_unit_test(private_buffers_of_more_than_4_gib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
