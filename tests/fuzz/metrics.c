/* metrics.jsonl: two bytes for the step from which a resumed run goes on, then the file. */
#include "fuzz/fuzz.h"

#include "report/metrics.h"
#include "report/record.h"

static void check_record(const char *path, uint64_t last)
{
    dn_record record;
    dn_status status = dn_record_read(path, &record);
    FUZZ_EXPECT(status == DN_OK, "a file that a resumed run went on with: %s", dn_error_message());
    FUZZ_EXPECT(record.n > 0 && record.steps[record.n - 1].step == last,
                "%zu lines, the last is not step %zu", record.n, (size_t)last);
    for (size_t i = 0; i + 1 < record.n; i++)
        FUZZ_EXPECT(record.steps[i].step < last, "step %zu is still there before step %zu",
                    (size_t)record.steps[i].step, (size_t)last);
    dn_record_free(&record);
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    uint64_t next = 1 + fuzz_take(&input, 2);
    const char *path = fuzz_file("metrics.jsonl", input.data, input.size);
    dn_record record;
    dn_status status = dn_record_read(path, &record);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    dn_record_free(&record);

    dn_metrics *metrics = NULL;
    status = dn_metrics_open(path, next, &metrics);
    if (status != DN_OK) {
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CHECKPOINT);
        return;
    }
    const dn_metric loss = {"loss", 1.5};
    FUZZ_EXPECT(dn_metrics_write(metrics, next, &loss, 1) == DN_OK && dn_metrics_close(&metrics) == DN_OK,
                "%s", dn_error_message());
    check_record(path, next);
}

const fuzz_target fuzz_metrics = {"metrics", run, 800};
