#include "data/text.h"

#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_stdin(const char *file)
{
    return strcmp(file, "-") == 0;
}

static const char *title(const char *file)
{
    return is_stdin(file) ? "standard input" : file;
}

dn_status dn_text_open(const char *const *files, size_t n_files, dn_text *out)
{
    dn_text text = {.files = files, .n_files = n_files};
    bool known = true;
    for (size_t i = 0; i < n_files; i++) {
        struct stat st;
        if ((is_stdin(files[i]) ? fstat(STDIN_FILENO, &st) : stat(files[i], &st)) != 0)
            return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "cannot read text from %s",
                                 title(files[i]));
        if (S_ISDIR(st.st_mode))
            return dn_fail(DN_ERR_DATA, "%s is a directory; name the text files in it", files[i]);
        known = known && S_ISREG(st.st_mode);
        text.total += (uint64_t)st.st_size;
    }
    if (!known)
        text.total = 0;
    *out = text;
    return DN_OK;
}

static dn_status open_current(dn_text *text)
{
    const char *file = text->files[text->current];
    int fd = is_stdin(file) ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "cannot read text from %s",
                             title(file));
    text->gz = gzdopen(fd, "rb");
    if (!text->gz) {
        close(fd);
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", title(file));
    }
    gzbuffer(text->gz, 1 << 18);
    return DN_OK;
}

/* zlib reports a stream that stops in its middle only when it is closed. */
static dn_status close_current(dn_text *text)
{
    const char *file = title(text->files[text->current]);
    text->passed = dn_text_done(text);
    int result = gzclose_r(text->gz);
    text->gz = NULL;
    text->current++;
    if (result == Z_BUF_ERROR)
        return dn_fail(DN_ERR_DATA, "%s: gzip data ends too early; download or compress it again", file);
    return DN_OK;
}

static dn_status read_failed(const dn_text *text)
{
    int code = Z_OK, error = errno;
    const char *what = gzerror(text->gz, &code);
    const char *file = title(text->files[text->current]);
    if (code == Z_ERRNO)
        return dn_fail_errno(DN_ERR_IO, error, "cannot read text from %s", file);
    if (code == Z_MEM_ERROR)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", file);
    return dn_fail(DN_ERR_DATA, "%s: damaged gzip data (%s); download or compress it again", file, what);
}

dn_status dn_text_read(dn_text *text, void *out, size_t bytes, size_t *got)
{
    *got = 0;
    while (*got < bytes && text->current < text->n_files) {
        if (!text->gz)
            DN_TRY(open_current(text));
        int n = gzread(text->gz, (char *)out + *got, (unsigned)(bytes - *got));
        if (n < 0)
            return read_failed(text);
        *got += (size_t)n;
        if (n == 0)
            DN_TRY(close_current(text));
    }
    return DN_OK;
}

uint64_t dn_text_done(const dn_text *text)
{
    z_off_t offset = text->gz ? gzoffset(text->gz) : 0;
    return text->passed + (offset > 0 ? (uint64_t)offset : 0);
}

void dn_text_close(dn_text *text)
{
    if (text->gz)
        gzclose_r(text->gz);
    text->gz = NULL;
}
