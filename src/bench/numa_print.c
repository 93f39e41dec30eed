#include "bench/numa.h"

#include "base/human.h"
#include "base/printable.h"

#include <math.h>

static void print_number(FILE *out, double value, double scale, int decimals)
{
    if (isnan(value))
        fprintf(out, " %9s", "-");
    else
        fprintf(out, " %9.*f", decimals, value * scale);
}

/* labels [n], or NULL for 0, 1, 2, ... */
static void print_matrix(const dn_numa_matrix *m, const int *labels, double scale, int decimals, FILE *out)
{
    fprintf(out, "%8s", "");
    for (int j = 0; j < m->n; j++)
        fprintf(out, " %9d", labels ? labels[j] : j);
    fputc('\n', out);
    for (int i = 0; i < m->n; i++) {
        fprintf(out, "%8d", labels ? labels[i] : i);
        for (int j = 0; j < m->n; j++)
            print_number(out, m->at[i][j], scale, decimals);
        fputc('\n', out);
    }
}

static void print_domains(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "\nCopy and triad of each domain's cores in its own memory (GB/s)\n%8s %9s %9s %9s %9s\n",
            "domain", "cores", "node", "copy", "triad");
    for (int i = 0; i < r->n_domains; i++) {
        fprintf(out, "%8d %9d %9d", i, r->domains[i].n_cores, r->domains[i].os_node);
        print_number(out, r->copy_bytes_s[i], 1e-9, 2);
        print_number(out, r->triad_bytes_s[i], 1e-9, 2);
        fputc('\n', out);
    }
}

static void print_mixes(const dn_numa_results *r, FILE *out)
{
    fprintf(
        out,
        "\nReads and writes of a domain's cores in its own memory (GB/s, and as a share of reads alone)\n%8s",
        "domain");
    for (int mix = 0; mix < DN_NUMA_MIXES; mix++)
        fprintf(out, " %9s %5s", dn_numa_mixes[mix].title, "");
    fputc('\n', out);
    for (int i = 0; i < r->n_domains; i++) {
        const double *rates = r->mix_bytes_s[i];
        fprintf(out, "%8d", i);
        for (int mix = 0; mix < DN_NUMA_MIXES; mix++) {
            print_number(out, rates[mix], 1e-9, 2);
            if (isnan(rates[mix]))
                fprintf(out, " %5s", "");
            else
                fprintf(out, " %4.0f%%", 100 * rates[mix] / rates[0]);
        }
        fputc('\n', out);
    }
}

const char *dn_numa_holder(const dn_numa_results *r, const dn_numa_rung *rung, char text[16])
{
    snprintf(text, 16, rung->cache < r->n_caches ? "L%d" : "memory", rung->cache + 1);
    return text;
}

static void print_ladder(const dn_numa_results *r, FILE *out)
{
    if (r->ladder_domain < 0)
        return;
    fprintf(out,
            "\nWorking sets of one core (PU %d of the system), held by the cache that is named\n"
            "%10s %9s %9s %9s %9s\n",
            r->ladder_pu, "size", "held by", "ns", "GB/s", "of first");
    for (int i = 0; i < r->n_rungs; i++) {
        const dn_numa_rung *rung = &r->rungs[i];
        char size[24], holder[16];
        fprintf(out, "%10s %9s %9.1f %9.2f %8.0f%%\n", dn_human_size((double)rung->bytes, size, sizeof size),
                dn_numa_holder(r, rung, holder), rung->ns, 1e-9 * rung->bytes_s,
                100 * rung->bytes_s / r->rungs[0].bytes_s);
    }
}

static void print_loads(const dn_numa_results *r, FILE *out)
{
    if (r->loaded_domain < 0) {
        fprintf(out, "\nLatency under load: no domain has two usable cores\n");
        return;
    }
    fprintf(out,
            "\nLatency under load: one core of domain %d chases, the others read and pause after every KiB\n"
            "%10s %9s %9s\n",
            r->loaded_domain, "pause (ns)", "ns", "GB/s");
    for (int i = 0; i < r->n_loads; i++) {
        if (isinf(r->loads[i].delay_ns))
            fprintf(out, "%10s", "idle");
        else
            fprintf(out, "%10.0f", r->loads[i].delay_ns);
        print_number(out, r->loads[i].ns, 1, 1);
        print_number(out, r->loads[i].bytes_s, 1e-9, 2);
        fputc('\n', out);
    }
}

static void print_place(const char *what, int number, const dn_pages_places *places, FILE *out)
{
    fprintf(out, "  %s", what);
    if (number >= 0)
        fprintf(out, " %d", number);
    fprintf(out, ":");
    for (int node = 0; node < DN_PAGES_NODES; node++)
        if (places->on[node])
            fprintf(out, " node %d %.1f%%", node, 100.0 * (double)places->on[node] / (double)places->n_pages);
    if (places->nowhere)
        fprintf(out, " elsewhere %.1f%%", 100.0 * (double)places->nowhere / (double)places->n_pages);
    fprintf(out, places->n_pages ? " of %zu pages\n" : " the system does not tell\n", places->n_pages);
}

static void print_places(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "\nPlacement: where the pages really lie\n");
    for (int i = 0; i < r->n_domains; i++)
        if (r->domains[i].memory_bytes)
            print_place("buffer of domain", i, &r->places[i], out);
    print_place("arena of shared memory, touched by the first core", -1, &r->shared, out);
    char huge[24], all[24];
    fprintf(out, "  in huge pages: %s of the buffers' %s\n",
            dn_human_size((double)r->huge_bytes, huge, sizeof huge),
            dn_human_size((double)r->buffer_bytes * r->n_domains, all, sizeof all));
    fprintf(out, "  kernel.numa_balancing: %s\n  transparent huge pages: %s\n  ... of shared memory: %s\n",
            r->numa_balancing, r->huge_private, r->huge_shared);
}

void dn_numa_print(const dn_numa_results *r, FILE *out)
{
    char caches[24], buffer[24];
    fprintf(out, "# dionode %s bench numa\n# %s, %s\n", r->version, r->processor, r->system);
    fprintf(out, "# %d package%s, %d NUMA domain%s, %d core%s, %d PU%s (%d usable), last-level caches %s\n",
            r->machine.n_packages, dn_plural(r->machine.n_packages), r->machine.n_numa,
            dn_plural(r->machine.n_numa), r->machine.n_cores, dn_plural(r->machine.n_cores), r->machine.n_pus,
            dn_plural(r->machine.n_pus), r->machine.n_usable,
            dn_human_size((double)r->cache_bytes, caches, sizeof caches));
    fprintf(out, "# buffers of %s a domain, turns of %g s; rows: whose cores, columns: whose memory\n",
            dn_human_size((double)r->buffer_bytes, buffer, sizeof buffer), r->seconds);
    fprintf(out, "\nIdle latency (ns)\n");
    print_matrix(&r->latency_ns, NULL, 1, 1, out);
    fprintf(out, "\nRead bandwidth of all cores of a domain (GB/s)\n");
    print_matrix(&r->read_bytes_s, NULL, 1e-9, 2, out);
    print_mixes(r, out);
    print_domains(r, out);
    print_ladder(r, out);
    fprintf(out, "\nA cache line from core to core, half a round trip (ns); cores by PU of the system%s\n",
            r->n_cores < r->n_usable_cores ? ", a sample" : "");
    print_matrix(&r->line_ns, r->pus, 1, 1, out);
    print_loads(r, out);
    print_places(r, out);
}
