/* Names of checkpoint files, and which of them are kept. */
#ifndef CHECKPOINT_GENERATIONS_H
#define CHECKPOINT_GENERATIONS_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** path [bytes]: dir/step_<8 digits>.safetensors. Errors: DN_ERR_ARG: it does not fit. */
dn_status dn_generation_path(const char *dir, uint64_t step, char *path, size_t bytes) DN_MUST_USE;

/** Whether the path is named as a generation, and its step. */
bool dn_generation_step(const char *path, uint64_t *step);

/** Whether the path is named as a generation, or as the best checkpoint. */
bool dn_generation_is(const char *path);

/** Removes the generations before `step` except the newest n of them. Best effort. */
void dn_generations_prune(const char *dir, uint64_t step, size_t n);

#endif
