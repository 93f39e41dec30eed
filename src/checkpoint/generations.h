/* The names of checkpoint files and which of them stay. */
#ifndef CHECKPOINT_GENERATIONS_H
#define CHECKPOINT_GENERATIONS_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

/** dir/step_<8 digits>.safetensors. Errors: DN_ERR_ARG: does not fit. */
dn_status dn_generation_path(const char *dir, uint64_t step, char *path, size_t bytes) DN_MUST_USE;

/** Removes what a killed writer left in dir: step_*.safetensors.tmp. Best effort. */
void dn_generations_clean(const char *dir);

/** Removes the generations before `step` except the newest of them. Best effort. */
void dn_generations_prune(const char *dir, uint64_t step);

#endif
