#include "train/stored_run.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "train/clients.h"

#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Files of other programs that people may well try. */
static dn_status refuse_foreign(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool of_folder = strcmp(name, "config.json") == 0 || (strncmp(name, "model", 5) == 0 && ends_with(name, ".safetensors"));
    if (ends_with(path, ".gguf"))
        return dn_fail(DN_ERR_CHECKPOINT,
                       "%s: GGUF is written (dionode export) and not read: name the run or Hugging Face folder that it was made of",
                       path);
    return of_folder ? dn_fail(DN_ERR_CHECKPOINT, "%s is a file of a Hugging Face folder: name the folder", path) : DN_OK;
}

dn_status dn_stored_find(const char *run, const char *takes, char path[DN_STORED_PATH_MAX])
{
    bool found;
    DN_TRY(dn_checkpoint_latest(run, path, DN_STORED_PATH_MAX, &found));
    return found ? refuse_foreign(path) : dn_fail(DN_ERR_CHECKPOINT, "'%s' holds no checkpoint; %s", run, takes);
}

dn_status dn_stored_config(const dn_checkpoint *checkpoint, const char *path, dn_config *out)
{
    const char *text = dn_checkpoint_meta(checkpoint, "config");
    if (!text)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of dionode train: it has no configuration in its metadata", path);
    dn_config_init(out);
    return dn_config_parse(out, text, path);
}

uint64_t dn_stored_tokenizer(const dn_checkpoint *checkpoint)
{
    const char *text = dn_checkpoint_meta(checkpoint, "tokenizer");
    return text ? strtoull(text, NULL, 16) : 0;
}

/* What the newest checkpoint of the run was trained with; auto where there is none that can be read: whoever restores it says
 * why. */
static dn_compress stored_exchange(const dn_config *config)
{
    char path[DN_STORED_PATH_MAX];
    bool found;
    dn_config stored;
    dn_checkpoint *checkpoint;
    if (dn_checkpoint_latest(config->checkpoint_dir, path, sizeof path, &found) != DN_OK || !found ||
        dn_checkpoint_peek(path, &checkpoint) != DN_OK)
        return DN_COMPRESS_AUTO;
    bool read = dn_stored_config(checkpoint, path, &stored) == DN_OK;
    dn_checkpoint_close(&checkpoint);
    return read ? stored.optim.compress : DN_COMPRESS_AUTO;
}

/* What such a device computes with, a worker knows: nobody else opens it. */
static bool is_in_a_module(const char *device)
{
    for (const dn_device *const *d = dn_device_all(); *d; d++)
        if (strcmp((*d)->name, device) == 0)
            return (*d)->module != NULL;
    return false;
}

dn_status dn_plan_run(const dn_config *config, int n_workers, dn_plan *plan)
{
    dn_config c = *config;
    bool open = c.optim.compress == DN_COMPRESS_AUTO && !*c.strategy && dn_rule_has_factors(c.optimizer);
    const char *kernels;
    if (open)
        c.optim.compress = stored_exchange(config);
    if (!is_in_a_module(c.device))
        DN_TRY(dn_kernels_of_precision(c.precision, &kernels)); /* of a processor that trains: others may read what it has trained */
    DN_TRY(dn_plan_make(&c, n_workers, plan));
    DN_TRY(dn_clients_check_mesh(plan));
    plan->exchange.kept = open && c.optim.compress != DN_COMPRESS_AUTO;
    return DN_OK;
}
