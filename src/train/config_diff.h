/* Comparing the current configuration with the one stored in a checkpoint or run directory. */
#ifndef TRAIN_CONFIG_DIFF_H
#define TRAIN_CONFIG_DIFF_H

#include "dionode/config.h"

/** Lists the keys of a role whose values differ, as "lr 0.02 -> 0.01, seed 0 -> 1", in text [bytes],
 * truncated. Returns their number. */
size_t dn_config_differences(const dn_config *before, const dn_config *now, dn_key_role role, char *text,
                             size_t bytes);

/** Whether weights stored under `stored` are of the model that `now` describes. Errors: DN_ERR_CHECKPOINT
 * naming the keys with both values, and `path`, the checkpoint. */
dn_status dn_config_check_model(const dn_config *stored, const dn_config *now, const char *path) DN_MUST_USE;

#endif
