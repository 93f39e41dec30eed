#include "verify/inside.h"

#include "report/json_file.h"
#include "tensor/axes.h"

#include <jansson.h>
#include <math.h>

static const char *const kinds[DN_VERIFY_N_KINDS] = {
    [DN_VERIFY_BLOCK] = "difference", [DN_VERIFY_SCALAR] = "difference", [DN_VERIFY_SAME] = "same",
    [DN_VERIFY_HOPS] = "hops",
    [DN_VERIFY_BYTES] = "bytes",      [DN_VERIFY_AMOUNT] = "amount",     [DN_VERIFY_COVERAGE] = "coverage",
};

/* JSON knows neither NAN nor infinity: null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *check(const dn_verify_check *f, dn_verify_kind kind)
{
    json_t *object = json_pack("{s:s, s:b}", "name", f->name, "holds", (int)f->holds);
    if (kind == DN_VERIFY_BLOCK || kind == DN_VERIFY_SCALAR)
        json_object_set_new(object, "difference", number(f->difference));
    if (kind == DN_VERIFY_BYTES || kind == DN_VERIFY_AMOUNT)
        json_object_set_new(object, "bytes", json_integer((json_int_t)f->counted));
    if (kind == DN_VERIFY_HOPS)
        json_object_set_new(object, "hops", json_integer((json_int_t)f->counted));
    if (kind == DN_VERIFY_BYTES || kind == DN_VERIFY_HOPS)
        json_object_set_new(object, "formula", json_integer((json_int_t)f->expected));
    if (kind == DN_VERIFY_BYTES)
        json_object_set_new(object, "cluster", number(f->cluster));
    if (!f->holds)
        json_object_set_new(object, "why", json_string(f->why));
    return object;
}

/* One line on one mesh; NULL: nothing was shown. */
static json_t *line(const dn_verify_report *report, const dn_verify_row *row, size_t i)
{
    const dn_verify_line *l = &report->lines[i];
    const dn_verify_check *worst = dn_verify_worst(row, i);
    json_t *checks = json_array();
    if (!worst) {
        json_decref(checks);
        return NULL;
    }
    for (size_t k = 0; k < row->n; k++)
        if (row->checks[k].line == (int)i)
            json_array_append_new(checks, check(&row->checks[k], l->kind));
    return json_pack("{s:s, s:s, s:b, s:s, s:o}", "line", l->name, "kind", kinds[l->kind], "holds",
                     (int)worst->holds, "worst", worst->name, "findings", checks);
}

static json_t *mesh(const dn_verify_report *report, const dn_verify_row *row)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < report->n_lines; i++) {
        json_t *one = line(report, row, i);
        if (one)
            json_array_append_new(lines, one);
    }
    json_t *object =
        json_pack("{s:i, s:i, s:i, s:i, s:b, s:f, s:o}", "dp", row->size[DN_DP], "pp", dn_axis_size(row->size, DN_PP), "fs",
                  row->size[DN_FS], "tp", row->size[DN_TP], "holds", (int)row->holds, "seconds", row->seconds, "lines", lines);
    if (row->status != DN_OK)
        json_object_set_new(object, "error", json_string(row->message));
    return object;
}

dn_status dn_verify_write_json(const dn_verify_report *report, const char *path)
{
    json_t *meshes = json_array();
    for (size_t i = 0; i < report->n_rows; i++)
        json_array_append_new(meshes, mesh(report, &report->rows[i]));
    json_t *object = json_pack("{s:b, s:f, s:o}", "holds", (int)dn_verify_holds(report), "tolerance",
                               report->tolerance, "meshes", meshes);
    return dn_json_file_write(object, 6, path);
}
