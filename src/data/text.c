#include "data/text.h"

#include "base/fail.h"
#include "base/size.h"
#include "data/packing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* zlib's file reader (gzread) takes data without gzip's magic number for plain text, and after a member drops
 * it as garbage. Either could be the rest of the text after one damaged byte, so members are inflated one by
 * one and nothing is skipped. */
enum { INPUT_BYTES = 1 << 18, GZIP_ONLY = 15 + 16 /* inflateInit2: the largest window, a gzip header */ };

static bool is_stdin(const char *file)
{
    return strcmp(file, "-") == 0;
}

static const char *name_of(const char *file)
{
    return is_stdin(file) ? "standard input" : file;
}

dn_status dn_text_open(const char *const *files, size_t n_files, dn_text *out)
{
    dn_text text = {.files = files, .n_files = n_files, .fd = -1};
    bool known = true;
    for (size_t i = 0; i < n_files; i++) {
        struct stat st;
        if ((is_stdin(files[i]) ? fstat(STDIN_FILENO, &st) : stat(files[i], &st)) != 0)
            return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "cannot read text from %s",
                                 name_of(files[i]));
        if (S_ISDIR(st.st_mode))
            return dn_fail(DN_ERR_DATA, "%s is a directory", name_of(files[i]));
        known = known && S_ISREG(st.st_mode);
        text.total = dn_size_add(text.total, (size_t)st.st_size);
    }
    if (!known)
        text.total = 0;
    text.input = malloc(INPUT_BYTES);
    *out = text; /* before inflateInit2: the stream may not move afterwards */
    if (text.input && inflateInit2(&out->z, GZIP_ONLY) == Z_OK)
        return DN_OK;
    free(text.input);
    return dn_fail(DN_ERR_MEMORY, "no memory to read text");
}

/* Reads more input if the last is used up. */
static dn_status refill(dn_text *text)
{
    if (text->z.avail_in > 0 || text->at_end)
        return DN_OK;
    ssize_t n;
    do
        n = read(text->fd, text->input, INPUT_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot read text from %s",
                             name_of(text->files[text->current]));
    text->at_end = n == 0;
    text->read += (uint64_t)n;
    text->z.next_in = text->input;
    text->z.avail_in = (uInt)n;
    return DN_OK;
}

static bool named_as_gzip(const char *file)
{
    const char *dot = strrchr(file, '.');
    return dot && (strcmp(dot, ".gz") == 0 || strcmp(dot, ".dz") == 0);
}

/* Reads the first bytes, which a pipe may deliver one by one. */
static dn_status detect_gzip(dn_text *text)
{
    const char *file = name_of(text->files[text->current]);
    const unsigned char *begin = text->input;
    DN_TRY(refill(text));
    for (ssize_t n = 1; text->z.avail_in < DN_PACKING_BYTES && n != 0;) {
        n = read(text->fd, text->input + text->z.avail_in, DN_PACKING_BYTES - text->z.avail_in);
        if (n < 0 && errno != EINTR)
            return dn_fail_errno(DN_ERR_IO, errno, "cannot read text from %s", file);
        text->z.avail_in += n > 0 ? (uInt)n : 0;
        text->read += n > 0 ? (uint64_t)n : 0;
    }
    text->packed = text->z.avail_in > 1 && begin[0] == 0x1f && begin[1] == 0x8b;
    const dn_packing *other = text->packed ? NULL : dn_packing_of(begin, text->z.avail_in);
    if (other)
        return dn_fail(DN_ERR_DATA, "%s: in %s format; unpack it first (%s); only gzip is supported", file,
                       other->name, other->unpack);
    if (!text->packed && named_as_gzip(text->files[text->current])) /* an empty one, too */
        return dn_fail(DN_ERR_DATA,
                       "%s: damaged gzip data: no gzip header; download or compress it again, or rename it "
                       "if it is plain "
                       "text",
                       file);
    return DN_OK;
}

static dn_status open_current(dn_text *text)
{
    const char *file = text->files[text->current];
    text->fd = is_stdin(file) ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
    if (text->fd < 0)
        return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "cannot read text from %s",
                             name_of(file));
    text->at_end = text->packed = text->in_member = false;
    text->n_members = 0;
    text->read = text->z.avail_in = 0;
    inflateReset(&text->z);
    return detect_gzip(text);
}

static void close_current(dn_text *text)
{
    text->passed += text->read;
    text->read = 0;
    close(text->fd);
    text->fd = -1;
    text->current++;
}

static dn_status unpack_failed(const dn_text *text, int result)
{
    const char *file = name_of(text->files[text->current]);
    if (result == Z_MEM_ERROR)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", file);
    if (text->n_members > 0 && text->z.total_out == 0)
        return dn_fail(DN_ERR_DATA,
                       "%s: damaged gzip data: what follows member %zu, at about byte %" PRIu64
                       ", is not gzip (%s); download it again, or unpack the intact members by hand",
                       file, text->n_members, text->read - text->z.avail_in,
                       text->z.msg ? text->z.msg : "no header");
    return dn_fail(DN_ERR_DATA, "%s: damaged gzip data (%s); download or compress it again", file,
                   text->z.msg ? text->z.msg : "not readable");
}

/* Unpacks up to *bytes bytes, and sets *bytes to their number. */
static dn_status unpack(dn_text *text, void *out, size_t *bytes)
{
    z_stream *z = &text->z;
    size_t wanted = *bytes;
    text->in_member = text->in_member || !text->at_end;
    z->next_out = out;
    z->avail_out = (uInt)wanted;
    int result = text->in_member ? inflate(z, Z_NO_FLUSH) : Z_OK; /* also at the end: output may be pending */
    *bytes = wanted - z->avail_out;
    if (result == Z_STREAM_END) {
        text->n_members++;
        text->in_member = false;
        inflateReset(z);
    } else if (result != Z_OK && result != Z_BUF_ERROR) /* Z_BUF_ERROR: needs more input */
        return unpack_failed(text, result);
    else if (text->at_end && text->in_member && *bytes == 0)
        return dn_fail(DN_ERR_DATA, "%s: gzip data ends too early (truncated); download or compress it again",
                       name_of(text->files[text->current]));
    return DN_OK;
}

static void copy(dn_text *text, void *out, size_t *bytes)
{
    if (*bytes > text->z.avail_in)
        *bytes = text->z.avail_in;
    memcpy(out, text->z.next_in, *bytes);
    text->z.next_in += *bytes;
    text->z.avail_in -= (uInt)*bytes;
}

/* Of the files before number `end`. */
static dn_status read_until(dn_text *text, size_t end, void *out, size_t bytes, size_t *got)
{
    *got = 0;
    while (*got < bytes && text->current < end) {
        if (text->fd < 0)
            DN_TRY(open_current(text));
        DN_TRY(refill(text));
        size_t n = bytes - *got < INPUT_BYTES ? bytes - *got : INPUT_BYTES;
        if (text->packed)
            DN_TRY(unpack(text, (char *)out + *got, &n));
        else
            copy(text, (char *)out + *got, &n);
        *got += n;
        if (n == 0 && text->at_end)
            close_current(text);
    }
    return DN_OK;
}

dn_status dn_text_read(dn_text *text, void *out, size_t bytes, size_t *got)
{
    return read_until(text, text->n_files, out, bytes, got);
}

dn_status dn_text_read_file(dn_text *text, void *out, size_t bytes, size_t *got, bool *ended)
{
    size_t file = text->current;
    DN_TRY(read_until(text, file + 1, out, bytes, got));
    *ended = text->current > file;
    return DN_OK;
}

uint64_t dn_text_done(const dn_text *text)
{
    return text->passed + text->read - text->z.avail_in;
}

void dn_text_close(dn_text *text)
{
    if (text->fd >= 0)
        close(text->fd);
    text->fd = -1;
    inflateEnd(&text->z);
    free(text->input);
    text->input = NULL;
}
