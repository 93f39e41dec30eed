/* The table of what ways to learn labels gave and cost. */
#include "base/human.h"
#include "dionode/train.h"

#include <math.h>
#include <stdio.h>

void dn_finetuned_print(const dn_finetuned *f, const char *how, bool json, bool first, FILE *out)
{
    char bytes[32], memory[32];
    if (json) {
        fprintf(out, "{\"how\": \"%s\", \"classes\": %zu, \"train\": %zu, \"test\": %zu, \"cut\": %zu, \"largest\": %.17g, "
               "\"accuracy\": %.17g, \"trained\": %llu, \"bytes\": %llu, \"memory\": %llu, \"seconds\": %.3f",
               how, f->n_classes, f->n_train, f->n_test, f->n_cut, f->largest, f->accuracy, (unsigned long long)f->n_trained,
               (unsigned long long)f->bytes, (unsigned long long)f->memory, f->seconds);
        if (!isnan(f->loss))
            fprintf(out, ", \"loss\": %.17g", f->loss);
        if (!isnan(f->at_once))
            fprintf(out, ", \"at_once\": %.17g", f->at_once);
        if (f->n_rounds)
            fprintf(out, ", \"rounds\": %llu, \"exchanged\": %.17g", (unsigned long long)f->n_rounds, f->exchanged);
        fprintf(out, "}\n");
        return;
    }
    if (first) {
        fprintf(out, "%zu classes; %zu texts to learn from, %zu held out, of which the largest class has %.1f %%", f->n_classes,
               f->n_train, f->n_test, 100 * f->largest);
        if (f->n_cut > 0)
            fprintf(out, "; %zu are longer than the model's positions, or sequence_length, and were cut", f->n_cut);
        fprintf(out, "\n\n%-8s %10s %10s %14s %10s %10s %9s\n", "how", "accuracy", "loss", "trained", "bytes", "memory", "seconds");
    }
    char loss[32] = "-";
    if (!isnan(f->loss))
        snprintf(loss, sizeof loss, "%.4f", f->loss);
    fprintf(out, "%-8s %8.1f %% %10s %14llu %10s %10s %9.1f", how, 100 * f->accuracy, loss, (unsigned long long)f->n_trained,
           dn_human((double)f->bytes, "B", bytes, sizeof bytes), dn_human((double)f->memory, "B", memory, sizeof memory), f->seconds);
    if (!isnan(f->at_once))
        fprintf(out, "   %.1f %% before retraining", 100 * f->at_once);
    if (f->n_rounds)
        fprintf(out, "   %llu rounds, %s exchanged", (unsigned long long)f->n_rounds, dn_human(f->exchanged, "B", bytes, sizeof bytes));
    putc('\n', out);
}
