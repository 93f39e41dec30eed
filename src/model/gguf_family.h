/* What GGUF files call an architecture (formats/gguf.c writes them): a field of its row. */
#ifndef MODEL_GGUF_FAMILY_H
#define MODEL_GGUF_FAMILY_H

#include <stdbool.h>

typedef struct dn_gguf_family {
    const char *name;   /* general.architecture */
    const char *keys;   /* of the model, beside sizes, that a file can say: "rope_theta n_kv_head" */
    bool interleaved;   /* rows of a head's two halves stand in turns, in q and k */
    bool stacked;       /* q, k and v are one tensor */
    bool parallel;      /* says use_parallel_residual */
    bool frequencies;   /* llama3 scaling of rotary positions, as a tensor of factors */
} dn_gguf_family;

#define DN_GGUF_KEYS_OF_LLAMA "n_kv_head head_dim rope_theta rope_scaling"

#endif
