/* Implementation of dn_prepare (dionode/data.h), with the size of the token files as an argument. */
#ifndef DATA_PREPARE_H
#define DATA_PREPARE_H

#include "dionode/data.h"

#include <stdbool.h>

#define DN_PREPARE_BLOCK 65536u /* bytes; the unit in which text is assigned to training or validation */

/** As dn_prepare, with at most shard_tokens (> 0) tokens per file. All files stay open until the last is
 * written, so that a call that fails or is killed leaves none behind; raises the soft limit on open files if
 * needed. */
dn_status dn_prepare_shards(const char *const *files, size_t n_files, const char *dir,
                            const dn_prepare_options *options, uint64_t shard_tokens,
                            void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                            dn_prepare_result *result) DN_MUST_USE;

/** Whether block 0, 1, ... of the text belongs to the validation set: block 1, then one in 1/val_fraction. */
bool dn_prepare_is_validation(uint64_t block, double val_fraction);

#endif
