/* A program outside the tree: knows only installed headers and what pkg-config says. */
#include <dionode/blas.h>
#include <dionode/config.h>
#include <dionode/topo.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc;
    dn_blas_tune(argv);
    dn_config config;
    dn_config_init(&config);
    if (dn_config_set(&config, "no_such_key=1") != DN_ERR_CONFIG)
        return 1;
    dn_topo *topo;
    if (dn_topo_create(2, &topo) != DN_OK) {
        fprintf(stderr, "%s\n", dn_error_message());
        return dn_status_exit(DN_ERR_SYSTEM);
    }
    printf("%d workers of %d threads; %s\n", dn_topo_n_workers(topo), dn_topo_place(topo, 0)->n_threads,
           dn_blas_describe());
    dn_topo_destroy(&topo);
    return 0;
}
