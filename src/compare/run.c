/*
 * One run of a comparison, in its own folder:
 *
 *     config.yaml     what it is; written before it begins
 *     log.txt         what its workers say
 *     metrics.jsonl   what it measured
 *     diverged.txt    why it ended early; makes no sense to repeat
 *
 * and, until it is complete, checkpoints.
 */
#include "compare/compare.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "train/config_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = sizeof((dn_trial *)0)->dir + 32 };

static const char *path_of(const dn_trial *trial, const char *name, char path[PATH_ROOM])
{
    snprintf(path, PATH_ROOM, "%s/%s", trial->dir, name);
    return path;
}

static dn_status write_file(const char *path, const char *text)
{
    dn_atomic_file aside;
    DN_TRY(dn_atomic_file_open(path, strlen(text), &aside));
    dn_status status = dn_atomic_file_append(&aside, text, strlen(text));
    if (status == DN_OK)
        status = dn_atomic_file_seal(&aside, NULL, NULL);
    if (status == DN_OK)
        status = dn_atomic_file_publish(&aside);
    dn_atomic_file_discard(&aside);
    return status;
}

/* ---- what is there ---- */

/* Whether what lies in the folder, if anything, belongs to this configuration. */
static dn_status check_owner(const dn_trial *trial, const dn_config *config, bool *begun)
{
    char path[PATH_ROOM];
    dn_config found;
    dn_config_init(&found);
    *begun = access(path_of(trial, "config.yaml", path), F_OK) == 0;
    if (!*begun && access(path_of(trial, "metrics.jsonl", path), F_OK) != 0)
        return DN_OK;
    if (!*begun)
        return dn_fail(DN_ERR_CONFIG, "%s holds a run that is not of a comparison; choose another --output",
                       trial->dir);
    DN_TRY(dn_config_read(&found, path_of(trial, "config.yaml", path)));
    char model[300], training[400];
    size_t n = dn_config_differences(&found, config, DN_KEY_MODEL, model, sizeof model);
    if (n + dn_config_differences(&found, config, DN_KEY_TRAINING, training, sizeof training) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "%s holds a run of another configuration (its own -> this one): %s%s%s; choose another "
                   "--output, or move that folder away to make the run anew",
                   trial->dir, model, *model && *training ? ", " : "", training);
}

/* The story of a run that is known to diverge; false: it is not. */
static bool read_message(dn_trial *trial)
{
    char path[PATH_ROOM];
    FILE *file = dn_file_read(path_of(trial, "diverged.txt", path));
    if (!file)
        return false;
    size_t n = fread(trial->message, 1, sizeof trial->message - 1, file);
    trial->message[n] = 0;
    fclose(file);
    return true;
}

dn_status dn_trial_look(dn_trial *trial, const dn_config *config)
{
    char path[PATH_ROOM];
    bool begun;
    DN_TRY(check_owner(trial, config, &begun));
    dn_record_free(&trial->record);
    trial->end = DN_TRIAL_OPEN;
    if (!begun)
        return DN_OK;
    DN_TRY(dn_record_read(path_of(trial, "metrics.jsonl", path), &trial->record));
    dn_trial_judge(trial, (uint64_t)config->num_iterations);
    if (trial->end == DN_TRIAL_OPEN && read_message(trial))
        trial->end = DN_TRIAL_DIVERGED;
    return DN_OK;
}

/* ---- making it ---- */

static dn_status write_config(const dn_config *config, const char *path)
{
    char *text = dn_config_dump(config);
    if (!text)
        return dn_fail(DN_ERR_MEMORY, "no memory for the configuration's text");
    dn_status status = write_file(path, text);
    free(text);
    return status;
}

/* What was measured stays; weights of many runs would fill the disk. */
static dn_status drop_checkpoints(const dn_trial *trial)
{
    char path[PATH_ROOM];
    bool found;
    for (;;) {
        DN_TRY(dn_checkpoint_latest(trial->dir, path, sizeof path, &found));
        if (!found)
            break;
        if (unlink(path) != 0)
            return dn_fail_errno(DN_ERR_IO, errno, "cannot remove %s", path);
    }
    DN_TRY(dn_checkpoint_best(trial->dir, path, sizeof path));
    if (unlink(path) != 0 && errno != ENOENT)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot remove %s", path);
    return DN_OK;
}

/* Failures that say something of this run and nothing of the next. */
static bool is_own(dn_status status)
{
    return status == DN_ERR_NUMERIC || status == DN_ERR_PEER || status == DN_ERR_TIMEOUT ||
           status == DN_ERR_MEMORY;
}

static dn_status take_failure(dn_trial *trial, dn_status failure)
{
    char path[PATH_ROOM], message[sizeof trial->message];
    snprintf(message, sizeof message, "%s", dn_error_message());
    DN_TRY(dn_record_read(path_of(trial, "metrics.jsonl", path), &trial->record));
    memcpy(trial->message, message, sizeof message);
    trial->end = DN_TRIAL_FAILED;
    if (failure != DN_ERR_NUMERIC)
        return DN_OK;
    trial->end = DN_TRIAL_DIVERGED;
    trial->message[strcspn(message, ";")] = 0; /* the advice is for a run of its own */
    return write_file(path_of(trial, "diverged.txt", path), trial->message);
}

static dn_status train(const dn_trial *trial, const dn_config *config, dn_train_observer *watch,
                       int *signal_out)
{
    char path[PATH_ROOM];
    DN_TRY(dn_dir_make(trial->dir));
    DN_TRY(write_config(config, path_of(trial, "config.yaml", path)));
    watch->error_output =
        open(path_of(trial, "log.txt", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (watch->error_output < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", path);
    const char *argv[] = {"dionode", "train", path_of(trial, "config.yaml", path), NULL};
    dn_status status = dn_train_observed(config, 0, 0, (char *const *)argv, watch, signal_out);
    close(watch->error_output);
    return status;
}

dn_status dn_trial_run(dn_trial *trial, const dn_config *config,
                       void (*progress)(uint64_t step, void *context), void *context, int *signal_out)
{
    dn_train_observer watch = {.progress = progress, .context = context};
    dn_record_free(&trial->record);
    dn_status status = train(trial, config, &watch, signal_out);
    if (*signal_out)
        return DN_OK; /* stopped by force or not: it is known why */
    if (status == DN_OK)
        DN_TRY(dn_trial_look(trial, config));
    else if (is_own(status))
        DN_TRY(take_failure(trial, status));
    else
        return status;
    return trial->end == DN_TRIAL_OPEN || trial->end == DN_TRIAL_FAILED ? DN_OK : drop_checkpoints(trial);
}
