/* What --prompt-layers auto takes beside the plan of the model is counted before workers start: the basis of Lanczos, two more vectors, and
 * weights and room in the model's precision. Of as many classes as here that is most of all. */
#include "dionode/launch.h"
#include "dionode/train.h"
#include "shm/limits.h"
#include "support/scratch.h"
#include "support/tests.h"

#include <string.h>

/* PRODUCTS: of Lanczos with a client's Hessian, as published; of the folder's gpt2: WIDTH, LAYERS; of the way: PREFIX. */
enum { WORKERS = 2, CLASSES = 400, PRODUCTS = 50, WIDTH = 48, LAYERS = 3, PREFIX = 20 };
enum { TRAINED = CLASSES * WIDTH + LAYERS * 2 * PREFIX * WIDTH };

static uint64_t room;

uint64_t __wrap_dn_limits_memory(const char *root);
uint64_t __wrap_dn_limits_memory(const char *root)
{
    (void)root;
    return room;
}

/* Workers, which are this program again, do nothing: only what comes before them is looked at. */
static dn_status launch(const char *labels, double layers)
{
    static const char *const assignments[] = {"clients=4", "num_iterations=2", "local_steps=1"};
    char folder[PATH_MAX], program[] = "prompt_memory_f32", name[] = "prompt_memory";
    char *argv[] = {program, name, NULL};
    int signal;
    snprintf(folder, sizeof folder, "%s/hf/gpt2", ORACLE_DIR);
    const dn_finetuning what = {.run = folder, .labels = labels, .how = "prompt", .assignments = assignments, .n = 3, .prompt_layers = layers};
    return dn_finetune_launch(&what, WORKERS, argv, &signal);
}

static void vectors_of_lanczos_are_counted_before_workers_start(void **state)
{
    (void)state;
    const uint64_t vectors = WORKERS * (uint64_t)TRAINED * ((PRODUCTS + 2) * sizeof(double) + 2 * sizeof(dn_real));
    char said[128];
    scratch place;
    assert_true(scratch_make(&place));
    FILE *file = fopen(scratch_path(&place, "labels.tsv"), "w");
    assert_non_null(file);
    for (int i = 0; i < CLASSES; i++)
        fprintf(file, "%d\t!\n", i);
    fclose(file);
    snprintf(said, sizeof said, "%d workers with %d vectors of %d numbers each", WORKERS, PRODUCTS + 1, TRAINED);

    room = vectors - 1; /* enough for all else, as it is without a share to find */
    assert_int_equal(launch(place.path, DN_PROMPT_LAYERS_AUTO), DN_ERR_MEMORY);
    assert_non_null(strstr(dn_error_message(), said));
    assert_int_not_equal(launch(place.path, 1), DN_ERR_MEMORY);
    room = 2 * vectors;
    assert_int_not_equal(launch(place.path, DN_PROMPT_LAYERS_AUTO), DN_ERR_MEMORY);
    scratch_remove(&place);
}

TESTS(prompt_memory)
{
    if (dn_launch_is_worker())
        return 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_of_lanczos_are_counted_before_workers_start)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
