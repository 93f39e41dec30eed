/*
 * Every rank brings 1, 2, 3, ... times its number; all get the sum.
 *
 *     cc all_reduce.c -o all_reduce $(pkg-config --cflags --libs dionode)
 *     dionode launch -n 4 ./all_reduce
 *     torchrun --no-python --nproc-per-node 4 ./all_reduce
 */
#include <dionode/comm.h>

#include <stdio.h>

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "all_reduce: %s\n", line);
}

static dn_status add_up(dn_comm *comm)
{
    enum { COUNT = 1000 };
    void *memory;
    dn_status status = dn_comm_alloc(comm, COUNT * sizeof(dn_real), &memory);
    dn_real *mine = memory; /* in this rank's arena; the others read it there */
    for (int i = 0; status == DN_OK && i < COUNT; i++)
        mine[i] = (dn_real)((dn_comm_rank(comm) + 1) * (i + 1));
    if (status == DN_OK)
        status = dn_comm_all_reduce(comm, mine, COUNT, DN_REAL, DN_SUM, DN_TRAFFIC_GRADIENT);
    if (status == DN_OK)
        printf("rank %d of %d: %g %g ... %g\n", dn_comm_rank(comm), dn_comm_size(comm), mine[0], mine[1],
               mine[COUNT - 1]);
    return status;
}

int main(void)
{
    dn_comm *comm;
    dn_log_set(print_notice, NULL);
    dn_status status = dn_comm_join(1 << 20, 10, &comm);
    if (status == DN_OK)
        status = add_up(comm);
    return dn_comm_leave(&comm, status);
}
