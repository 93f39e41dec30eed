/*
 * One run of a comparison, in its own folder:
 *
 *     config.yaml     its configuration; written before it begins
 *     log.txt         the workers' standard error
 *     metrics.jsonl   its metrics
 *     diverged.txt    why it diverged; it is not repeated
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

enum { PATH_SIZE = sizeof((dn_trial *)0)->dir + 32 };

static const char *path_of(const dn_trial *trial, const char *name, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s", trial->dir, name);
    return path;
}

static dn_status write_file(const char *path, const char *text)
{
    dn_atomic_file file;
    DN_TRY(dn_atomic_file_open(path, strlen(text), &file));
    dn_status status = dn_atomic_file_append(&file, text, strlen(text));
    return dn_atomic_file_end(&file, status);
}

/* ---- inspection ---- */

/* Errors: the folder holds a run of another configuration. */
static dn_status check_owner(const dn_trial *trial, const dn_config *config, bool *begun)
{
    char path[PATH_SIZE];
    dn_config saved;
    dn_config_init(&saved);
    *begun = access(path_of(trial, "config.yaml", path), F_OK) == 0;
    if (!*begun && access(path_of(trial, "metrics.jsonl", path), F_OK) != 0)
        return DN_OK;
    if (!*begun)
        return dn_fail(DN_ERR_CONFIG, "%s holds a run that is not of a comparison; use another --output",
                       trial->dir);
    DN_TRY(dn_config_read(&saved, path_of(trial, "config.yaml", path)));
    char model[300], training[400];
    size_t n = dn_config_differences(&saved, config, DN_KEY_MODEL, model, sizeof model);
    if (n + dn_config_differences(&saved, config, DN_KEY_TRAINING, training, sizeof training) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "%s holds a run of another configuration (saved -> requested): %s%s%s; use another "
                   "--output, or move that folder away to repeat the run",
                   trial->dir, model, *model && *training ? ", " : "", training);
}

dn_status dn_trial_inspect(dn_trial *trial, const dn_config *config)
{
    char path[PATH_SIZE];
    bool begun;
    DN_TRY(check_owner(trial, config, &begun));
    dn_record_free(&trial->record);
    trial->end = DN_TRIAL_OPEN;
    if (!begun)
        return DN_OK;
    DN_TRY(dn_record_read(path_of(trial, "metrics.jsonl", path), &trial->record));
    dn_trial_judge(trial, (uint64_t)config->num_iterations);
    FILE *diverged = trial->end == DN_TRIAL_OPEN ? dn_file_read(path_of(trial, "diverged.txt", path)) : NULL;
    if (diverged) {
        trial->message[fread(trial->message, 1, sizeof trial->message - 1, diverged)] = 0;
        fclose(diverged);
        trial->end = DN_TRIAL_DIVERGED;
    }
    if (trial->end != DN_TRIAL_OPEN) /* else the run that goes on says it */
        dn_gaps_log(&trial->record.gaps, path_of(trial, "metrics.jsonl", path), "");
    return DN_OK;
}

/* ---- execution ---- */

/* The metrics stay; the weights of many runs would fill the disk. */
static dn_status drop_checkpoints(const dn_trial *trial)
{
    char path[PATH_SIZE];
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

static dn_status record_failure(dn_trial *trial, dn_status failure)
{
    char path[PATH_SIZE], message[sizeof trial->message];
    snprintf(message, sizeof message, "%s", dn_error_message());
    DN_TRY(dn_record_read(path_of(trial, "metrics.jsonl", path), &trial->record));
    memcpy(trial->message, message, sizeof message);
    trial->end = DN_TRIAL_FAILED;
    if (failure != DN_ERR_NUMERIC)
        return DN_OK;
    trial->end = DN_TRIAL_DIVERGED;
    trial->message[strcspn(message, ";")] = 0; /* the rest is advice for a single run */
    return write_file(path_of(trial, "diverged.txt", path), trial->message);
}

static dn_status train(const dn_trial *trial, const dn_config *config, dn_train_observer *observer,
                       int *signal_out)
{
    char path[PATH_SIZE];
    DN_TRY(dn_dir_make(trial->dir));
    char *text = dn_config_dump(config);
    if (!text)
        return dn_fail(DN_ERR_MEMORY, "no memory for the configuration's text");
    dn_status status = write_file(path_of(trial, "config.yaml", path), text);
    free(text);
    if (status != DN_OK)
        return status;
    observer->error_output =
        open(path_of(trial, "log.txt", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (observer->error_output < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", path);
    const char *argv[] = {"dionode", "train", path_of(trial, "config.yaml", path), NULL};
    status = dn_train_observed(config, 0, 0, (char *const *)argv, observer, signal_out);
    close(observer->error_output);
    return status;
}

dn_status dn_trial_run(dn_trial *trial, const dn_config *config,
                       void (*progress)(uint64_t step, void *context), void *context, int *signal_out)
{
    dn_train_observer observer = {.progress = progress, .context = context};
    dn_record_free(&trial->record);
    dn_status status = train(trial, config, &observer, signal_out);
    if (*signal_out)
        return DN_OK; /* stopped, by force or not */
    if (status == DN_OK)
        DN_TRY(dn_trial_inspect(trial, config));
    else if (status == DN_ERR_NUMERIC || status == DN_ERR_PEER || status == DN_ERR_TIMEOUT ||
             status == DN_ERR_MEMORY)
        DN_TRY(record_failure(trial, status)); /* of this run, not of the next */
    else
        return status;
    return trial->end == DN_TRIAL_OPEN || trial->end == DN_TRIAL_FAILED ? DN_OK : drop_checkpoints(trial);
}
