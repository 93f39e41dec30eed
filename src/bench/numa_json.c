#include "bench/numa.h"

#include "report/json_file.h"

#include <jansson.h>
#include <math.h>

/* JSON knows neither NAN nor infinity: null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *numbers(const double *values, int n, double scale)
{
    json_t *array = json_array();
    for (int i = 0; array && i < n; i++)
        json_array_append_new(array, number(values[i] * scale));
    return array;
}

static json_t *matrix(const dn_numa_matrix *m, double scale)
{
    json_t *rows = json_array();
    for (int i = 0; rows && i < m->n; i++)
        json_array_append_new(rows, numbers(m->at[i], m->n, scale));
    return rows;
}

static json_t *domains(const dn_numa_results *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_domains; i++)
        json_array_append_new(array, json_pack("{s:i, s:i, s:I}", "node", r->domains[i].os_node, "cores",
                                               r->domains[i].n_cores, "memory_bytes",
                                               (json_int_t)r->domains[i].memory_bytes));
    return array;
}

static json_t *mixes(const dn_numa_results *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_domains; i++) {
        json_t *object = json_object();
        for (int mix = 0; object && mix < DN_NUMA_MIXES; mix++)
            json_object_set_new(object, dn_numa_mixes[mix].key, number(1e-9 * r->mix_bytes_s[i][mix]));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *ladder(const dn_numa_results *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_rungs; i++) {
        const dn_numa_rung *rung = &r->rungs[i];
        char holder[16];
        json_array_append_new(array, json_pack("{s:I, s:s, s:o, s:o}", "bytes", (json_int_t)rung->bytes,
                                               "held_by", dn_numa_holder(r, rung, holder), "ns",
                                               number(rung->ns), "gb_s", number(1e-9 * rung->bytes_s)));
    }
    return json_pack("{s:i, s:o}", "pu", r->ladder_pu, "rungs", array);
}

static json_t *loads(const dn_numa_results *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_loads; i++)
        json_array_append_new(array,
                              json_pack("{s:o, s:o, s:o}", "pause_ns", number(r->loads[i].delay_ns), "ns",
                                        number(r->loads[i].ns), "gb_s", number(1e-9 * r->loads[i].bytes_s)));
    return array;
}

/* Pages on each node, by node number; what lies nowhere is left out. */
static json_t *places(const dn_pages_places *p)
{
    json_t *object = json_object();
    for (int node = 0; object && node < DN_PAGES_NODES; node++) {
        char name[16];
        snprintf(name, sizeof name, "%d", node);
        if (p->on[node])
            json_object_set_new(object, name, json_integer((json_int_t)p->on[node]));
    }
    return object;
}

static json_t *placement(const dn_numa_results *r)
{
    json_t *buffers = json_array();
    for (int i = 0; buffers && i < r->n_domains; i++)
        json_array_append_new(buffers, places(&r->places[i]));
    return json_pack("{s:o, s:o, s:I, s:s, s:s, s:s}", "buffers", buffers, "shared", places(&r->shared),
                     "huge_bytes", (json_int_t)r->huge_bytes, "numa_balancing", r->numa_balancing,
                     "huge_private", r->huge_private, "huge_shared", r->huge_shared);
}

static json_t *cores(const dn_numa_results *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_cores; i++)
        json_array_append_new(array, json_integer(r->pus[i]));
    return array;
}

dn_status dn_numa_write_json(const dn_numa_results *r, const char *path)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
        r->version, "processor", r->processor, "system", r->system, "cache_bytes", (json_int_t)r->cache_bytes,
        "buffer_bytes", (json_int_t)r->buffer_bytes, "domains", domains(r), "latency_ns",
        matrix(&r->latency_ns, 1), "read_gb_s", matrix(&r->read_bytes_s, 1e-9), "copy_gb_s",
        numbers(r->copy_bytes_s, r->n_domains, 1e-9), "triad_gb_s",
        numbers(r->triad_bytes_s, r->n_domains, 1e-9), "mixes_gb_s", mixes(r), "ladder", ladder(r), "cores",
        cores(r), "line_ns", matrix(&r->line_ns, 1), "loaded", loads(r), "placement", placement(r));
    return dn_json_file_write(object, 6, path);
}
