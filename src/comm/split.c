/* Groups out of groups. */
#include "dionode/comm.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/internal.h"
#include "comm/peer.h"

#include <stdlib.h>
#include <string.h>

/* Where one member of the parent wants to go; rides in the barrier. */
typedef struct wish {
    int32_t color, key;
    int32_t member;
} wish;

static size_t rounded(size_t bytes)
{
    return dn_size_add(bytes, DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
}

static size_t scratch_bytes(int parent_size)
{
    return rounded(DN_SCRATCH_BYTES + (size_t)parent_size * DN_SCRATCH_BYTES_PER_PEER);
}

size_t dn_split_bytes(int parent_size, size_t heap_bytes)
{
    return dn_size_add(scratch_bytes(parent_size), rounded(heap_bytes));
}

size_t dn_comm_split_bytes(const dn_comm *parent, size_t heap_bytes)
{
    return dn_split_bytes(parent->size, heap_bytes);
}

static int by_key_then_member(const void *a, const void *b)
{
    const wish *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : x->member - y->member;
}

/* Members of the parent that wish the same color, in order; returns how many. */
static int find_company(dn_comm *parent, int color, wish *company)
{
    int n = 0;
    for (int member = 0; member < parent->size; member++) {
        wish theirs;
        memcpy(&theirs, dn_barrier_payload(&parent->barrier, member), sizeof theirs);
        if (theirs.color == color)
            company[n++] = theirs;
    }
    qsort(company, (size_t)n, sizeof *company, by_key_then_member);
    return n;
}

static dn_status exchange_wishes(dn_comm *parent, const wish *mine, wish *company, int *n)
{
    const dn_call call = {.purpose = DN_FOR_SPLIT};
    if (parent->size == 1) {
        company[0] = *mine;
        *n = 1;
        return DN_OK;
    }
    DN_TRY(dn_barrier_wait(&parent->barrier, &call, mine, sizeof *mine));
    *n = find_company(parent, mine->color, company);
    return DN_OK;
}

static void join(dn_comm *child, const dn_comm *parent, const wish *company, char *scratch)
{
    int16_t ranks[DN_MAX_RANKS];
    dn_line *lines[DN_MAX_RANKS];
    for (int i = 0; i < child->size; i++) {
        child->scratch[i] = dn_comm_peer(parent, scratch, company[i].member);
        ranks[i] = parent->barrier.ranks[company[i].member];
        lines[i] = (dn_line *)(void *)(child->scratch[i] + DN_LINES_AT);
        if (company[i].member == parent->rank)
            child->rank = i;
    }
    dn_barrier_init(&child->barrier, parent->world, child->size, ranks, lines, child->rank);
    dn_domains_find(child);
}

static dn_status make_child(const dn_comm *parent, const wish *company, int n, char *taken, size_t heap_bytes,
                            dn_comm **out)
{
    dn_comm *child = calloc(1, sizeof *child);
    if (!child)
        return dn_fail(DN_ERR_MEMORY, "no memory for a group of ranks");
    child->world = parent->world;
    child->size = n;
    child->arena = parent->arena;
    child->arena_bytes = parent->arena_bytes;
    child->heap = (dn_arena){.base = taken + scratch_bytes(parent->size), .capacity = rounded(heap_bytes)};
    child->small_bytes = parent->small_bytes;
    child->ops = parent->ops;
    child->split = true;
    child->stream = parent->stream;
    if (parent->world)
        join(child, parent, company, taken);
    *out = child;
    return DN_OK;
}

dn_status dn_comm_split(dn_comm *parent, int color, int key, size_t heap_bytes, dn_comm **out)
{
    wish company[DN_MAX_RANKS];
    const wish mine = {.color = color, .key = key, .member = parent->rank};
    dn_status status = DN_OK;
    void *taken;
    int n = 0;
    *out = NULL;
    DN_TRY(exchange_wishes(parent, &mine, company, &n));
    DN_TRY(dn_comm_alloc(parent, dn_comm_split_bytes(parent, heap_bytes), &taken));
    memset((char *)taken + DN_LINES_AT, 0,
           scratch_bytes(parent->size) - DN_LINES_AT); /* the stages hold nothing yet */
    if (color >= 0)
        status = make_child(parent, company, n, taken, heap_bytes, out);
    dn_status met = dn_comm_barrier(parent); /* nobody meets in a child before all lines are zero */
    return status != DN_OK ? status : met;
}
