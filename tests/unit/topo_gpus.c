/* Workers beside their GPUs, on machines that are not here. */
#include "topo/gpus.h"
#include "device/place.h"
#include "support/scratch.h"
#include "support/tests.h"

/* A device on the PCI bus of a made-up system. */
static void put(scratch *s, const char *address, const char *vendor, const char *class, const char *node)
{
    const struct {
        const char *name, *text;
    } files[] = {{"vendor", vendor}, {"class", class}, {"numa_node", node}};
    char name[256];
    static const char *const folders[] = {"sys", "sys/bus", "sys/bus/pci", "sys/bus/pci/devices"};
    for (int i = 0; i < 4; i++)
        mkdir(scratch_path(s, folders[i]), 0700);
    snprintf(name, sizeof name, "sys/bus/pci/devices/%s", address);
    mkdir(scratch_path(s, name), 0700);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "sys/bus/pci/devices/%s/%s", address, files[i].name);
        assert_true(scratch_write(s, name, files[i].text, strlen(files[i].text)));
    }
}

static void nodes_are(scratch *s, const char *visible, int n, const int *expected)
{
    int nodes[8];
    assert_int_equal(dn_topo_gpu_nodes(s->dir, visible, nodes, 8), n);
    for (int i = 0; i < n; i++)
        assert_int_equal(nodes[i], expected[i]);
}

static void gpus_are_found_in_the_order_of_the_bus(void **state)
{
    (void)state;
    scratch s;
    assert_true(scratch_make(&s));
    nodes_are(&s, NULL, 0, NULL); /* a system without a bus */
    put(&s, "0000:9b:00.0", "0x10de\n", "0x030200\n", "1\n");
    put(&s, "0000:19:00.0", "0x10de\n", "0x030200\n", "0\n");
    put(&s, "0000:19:00.1", "0x10de\n", "0x040300\n", "0\n"); /* its sound */
    put(&s, "0000:03:00.0", "0x1a03\n", "0x030000\n", "0\n"); /* of another maker */
    put(&s, "0000:3b:00.0", "0x10de\n", "0x030000\n", "-1\n");
    nodes_are(&s, NULL, 3, (int[]){0, -1, 1});
    nodes_are(&s, "2,0", 2, (int[]){1, 0});
    nodes_are(&s, "", 0, NULL);
    nodes_are(&s, "1,-1,0", 1, (int[]){-1});
    nodes_are(&s, "GPU-8932f937", 0, NULL);
    scratch_remove(&s);
}

/* PUs of all workers, in order. */
static void places_are(int n_workers, const int *nodes, int n, const char *expected)
{
    dn_topo *topo;
    char text[256] = "";
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] core:4 pu:1", 1);
    assert_int_equal(dn_topo_create(n_workers, &topo), DN_OK);
    dn_topo_prefer(topo, nodes, n);
    for (int rank = 0; rank < n_workers; rank++) {
        const dn_place *place = dn_topo_place(topo, rank);
        size_t length = strlen(text);
        assert_int_equal(place->rank, rank);
        snprintf(text + length, sizeof text - length, "%s ", place->os_pus);
    }
    assert_string_equal(text, expected);
    dn_topo_destroy(&topo);
    unsetenv("HWLOC_SYNTHETIC");
}

static void workers_are_placed_beside_their_gpus(void **state)
{
    (void)state;
    places_are(4, NULL, 0, "0-1 2-3 4-5 6-7 ");
    places_are(4, (int[]){1, 1, 0, 0}, 4, "4-5 6-7 0-1 2-3 ");
    places_are(4, (int[]){0, 1}, 2, "0-1 4-5 2-3 6-7 ");
    places_are(4, (int[]){1, 1, 1, 0}, 4, "4-5 6-7 0-1 2-3 "); /* one too many: it takes what is left */
    places_are(2, (int[]){-1, 0}, 2, "0-3 4-7 ");
}

/* What a launcher does of it: workers number GPUs as it did, unless the user numbers them. */
static void workers_are_told_to_number_gpus_by_the_bus(void **state)
{
    (void)state;
    dn_topo *topo;
    assert_int_equal(dn_topo_create(1, &topo), DN_OK);
    unsetenv("CUDA_DEVICE_ORDER");
    dn_device_place("cpu", topo);
    assert_null(getenv("CUDA_DEVICE_ORDER"));
    dn_device_place("cuda", topo);
    assert_string_equal(getenv("CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
    setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST", 1);
    dn_device_place("cuda", topo);
    assert_string_equal(getenv("CUDA_DEVICE_ORDER"), "FASTEST_FIRST");
    unsetenv("CUDA_DEVICE_ORDER");
    dn_topo_destroy(&topo);
}

TESTS(topo_gpus)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpus_are_found_in_the_order_of_the_bus),
        cmocka_unit_test(workers_are_placed_beside_their_gpus),
        cmocka_unit_test(workers_are_told_to_number_gpus_by_the_bus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
