/* All ranks get the records of all, and so judge alike. */
#include "verify/inside.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

/* What a rank says before it sends its records. */
typedef struct heading {
    dn_status status;
    char message[256];
    double seconds;
    size_t n;
} heading;

static dn_status gather_one(dn_comm *world, const dn_verify *v, heading *said, int rank, dn_gathered *out)
{
    DN_TRY(dn_comm_broadcast(world, said, sizeof *said, rank, DN_TRAFFIC_CONTROL));
    dn_observation *records = realloc(out->records, (out->n + said->n + 1) * sizeof *records);
    if (!records)
        return dn_fail(DN_ERR_MEMORY, "no memory for the %zu results of a comparison", out->n + said->n);
    out->records = records;
    records += out->n;
    if (rank == dn_comm_rank(world) && said->n > 0)
        memcpy(records, v->records, said->n * sizeof *records);
    if (said->n > 0)
        DN_TRY(dn_comm_broadcast(world, records, said->n * sizeof *records, rank, DN_TRAFFIC_CONTROL));
    for (size_t i = 0; i < said->n; i++)
        records[i].rank = rank;
    out->n += said->n;
    if (said->status != DN_OK && out->status == DN_OK) {
        out->status = said->status;
        snprintf(out->message, sizeof out->message, "rank %d: %.200s", rank, said->message);
    }
    out->seconds = said->seconds > out->seconds ? said->seconds : out->seconds;
    return DN_OK;
}

dn_status dn_verify_gather(dn_comm *world, const dn_verify *v, dn_status status, double seconds,
                           dn_gathered *out)
{
    heading own = {.status = status, .seconds = seconds, .n = v->n_records};
    *out = (dn_gathered){0};
    if (status != DN_OK)
        snprintf(own.message, sizeof own.message, "%.255s", dn_error_message());
    for (int rank = 0; rank < dn_comm_size(world); rank++) {
        heading said = own;
        DN_TRY(gather_one(world, v, &said, rank, out));
    }
    return DN_OK;
}

void dn_gathered_free(dn_gathered *gathered)
{
    free(gathered->records);
    *gathered = (dn_gathered){0};
}
