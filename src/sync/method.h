/*
 * The table of methods: how one kind of optimizer steps all of its parameters, on any mesh. A new optimizer
 * is a file with its row, and the row's name in method.c.
 *
 * Before a step the gradients of parts are means over all that hold copies (unless the method decouples
 * them); after it the updated weights of parts are brought to the copies. Both is the optimizer's; between, a
 * method reads and writes what its slots point at.
 */
#ifndef SYNC_METHOD_H
#define SYNC_METHOD_H

#include "sync/slot.h"

/* All parameters of one method. */
typedef struct dn_party {
    const struct dn_method *method;
    const dn_optim_config *config;
    dn_stream *stream;
    const dn_mesh *mesh;
    dn_slot *slots;
    size_t n_slots;
    void *work; /* the method's own, made by open */
} dn_party;

/* Some elements of a slot, one behind the other, with its states open. */
typedef struct dn_stretch {
    const dn_slot *slot;
    size_t n;
    dn_buf *weight, *grad, *states[DN_MAX_STATES];
} dn_stretch;

typedef struct dn_method {
    bool matrices_only; /* parameters of other kinds need another method */

    /** Fills in layout and states (and shape) of a slot that has a parameter. Only the cuts of the parameter
     * are known. */
    void (*describe)(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot);

    /** Deals what one rank does of each to owners, once all slots are described; NULL: nothing is. */
    void (*deal)(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slots, size_t n);

    /** What all slots need together; NULL: nothing. heap_bytes: symmetric heap, the same on all ranks;
     * SIZE_MAX without memory to find out, or where it is more than can be counted. open: fills in work;
     * workspace is that heap, zero. After a failure, too, close frees what is there. */
    size_t (*heap_bytes)(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                         size_t n);
    dn_status (*open)(dn_party *party, void *workspace);
    void (*close)(dn_party *party);

    /** Collective over the mesh if the method exchanges anything. One step; lr is the base rate. Adds to
     * n_zero and n_fallback of the report. */
    dn_status (*step)(dn_party *party, uint64_t step, double lr, dn_step_report *report);

    /** Element-wise methods step through dn_elements_step, which calls this for each slot, or for one stretch
     * of it after the other. */
    void (*update)(const dn_party *party, const dn_stretch *x, uint64_t step, double lr);

    /** This rank's flops of a step, and what it exchanges within step; NULL: nothing that counts. */
    double (*flops)(const dn_party *party);
    void (*formula)(const dn_party *party, dn_formula *formula);
    /** Adds what it exchanged in the last step that depended on numbers; NULL: nothing does. */
    void (*rounds)(const dn_party *party, dn_formula *formula);
} dn_method;

/** The row of a rule; NULL if there is none. */
const dn_method *dn_method_of(dn_rule rule);

/** Steps slots one by one: hooks of element-wise methods. */
size_t dn_elements_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                              size_t n);
dn_status dn_elements_open(dn_party *party, void *workspace);
dn_status dn_elements_step(dn_party *party, uint64_t step, double lr, dn_step_report *report);

extern const dn_method dn_method_dion, dn_method_adamw, dn_method_lion, dn_method_muon, dn_method_normuon,
    dn_method_dion2, dn_method_dion3, dn_method_sgd;

#endif
