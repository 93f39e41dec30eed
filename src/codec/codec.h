/*
 * Codecs: what travels in fewer bytes than its numbers have.
 *
 * A message is a run of bytes in device memory, 8-byte aligned: mostly a window on the symmetric heap, which
 * peers read in place. Encoding and decoding are queued on a stream, as kernels are (compute/ops.h), and are
 * functions of their arguments alone: the same bits in every run, for any number of threads and on every
 * replica that decodes the message. Nothing is allocated; nothing here is collective or can fail.
 *
 * Each codec is one file of this room, NAME.c, that defines one row, dn_codec_NAME; the list of names in
 * meson.build compiles the file and registers the row.
 *
 *     dense     writes every number (f32, bf16, fp4, int8, int2, sign)
 *     sparse    chooses entries (topk, threshold), whose numbers a dense codec writes: config->values
 *
 * A number 0 among the entries of a sparse message is not sent: nothing is added for it, and it is not
 * counted. NaN and infinity are sent as what is not finite, which whoever checks the result finds.
 *
 * Messages are believed, but for their indices: an entry outside of its tile is skipped, so that no damaged
 * message makes a replica write elsewhere. An index that comes twice in a tile, as in no message that was encoded, may be
 * added once or twice: tiles are cut between threads.
 */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include "device/stream.h"

#include <stdbool.h>

typedef struct dn_codec dn_codec;

/* Settings of sparse codecs; dense ones have none. */
typedef struct dn_codec_config {
    const dn_codec *values;      /* dense: writes the numbers */
    size_t cols;                 /* x is a matrix [n / cols, cols]; 0: one row */
    size_t tile_rows, tile_cols; /* topk: tiles of the matrix, > 0; of a vector 1 x chunk */
    size_t k;                    /* threshold: room for so many entries */
    double tau;                  /* threshold: the least magnitude that is sent */
    double share;                /* topk: of each tile's entries, in (0, 1], rounded up */
} dn_codec_config;

struct dn_codec {
    const char *name, *help;

    /* Dense. */
    /** Bytes of a message of n numbers. */
    size_t (*bytes)(size_t n);
    void (*write)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n);
    /** y += factor times the numbers. */
    void (*add)(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n);

    /* Sparse. */
    /** The most entries that are chosen of x [n]. NULL: the codec is dense. */
    size_t (*entries)(const dn_codec_config *config, size_t n);
    /** Bytes of so many entries' indices. */
    size_t (*index_bytes)(const dn_codec_config *config, size_t n, size_t entries);
    /** values [entries] and their indices; 0 in places that stay empty. */
    void (*choose)(dn_stream *s, const dn_codec_config *config, dn_bytes *indices, dn_buf *values,
                   const dn_buf *x, size_t n);
    /** y += factor times values, where the indices say; values NULL: 1 each. */
    void (*add_entries)(dn_stream *s, const dn_codec_config *config, dn_buf *y, double factor,
                        const dn_bytes *indices, const dn_buf *values, size_t n);
    /** *host = the number of entries behind indices. NULL: it is that of `entries`, in every message. */
    void (*count)(dn_stream *s, const dn_codec_config *config, uint64_t *host, const dn_bytes *indices,
                  size_t n);
};

/** The row with that name; NULL if no codec has it. */
const dn_codec *dn_codec_find(const char *name);

/** The most numbers that a message for x [n] holds: n of a dense codec. */
size_t dn_codec_entries(const dn_codec *codec, const dn_codec_config *config, size_t n);

/** Bytes of a message for x [n], a multiple of 8: exact, where codec->count is NULL; else its room. */
size_t dn_codec_bytes(const dn_codec *codec, const dn_codec_config *config, size_t n);

/** Bytes that are sent of a message of so many entries, which the rest of its room need not be. */
size_t dn_codec_sent_bytes(const dn_codec *codec, const dn_codec_config *config, size_t n, size_t entries);

/** Elements of the device memory `work` that encoding and decoding need; 0 of a dense codec. */
size_t dn_codec_work(const dn_codec *codec, const dn_codec_config *config, size_t n);

/** message [dn_codec_bytes] = what is sent of x [n]. Of a sparse codec work then holds the numbers that were chosen. */
void dn_codec_encode(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_bytes *message,
                     const dn_buf *x, size_t n, dn_buf *work);

/** y [n] += factor times what the message stands for. */
void dn_codec_decode_add(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_buf *y,
                         double factor, const dn_bytes *message, size_t n, dn_buf *work);

/** *host = the number of entries in a message, for dn_codec_sent_bytes: valid after dn_stream_sync, the same
 * for the encoder and for whoever reads it. */
void dn_codec_count(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, uint64_t *host,
                    const dn_bytes *message, size_t n);

/** counts [n] += 1 where the message, topk's or threshold's, has an entry: who sums the counts of all
 * messages has their sum's mean over senders by dn_kernels.divide_counts. */
void dn_codec_count_add(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_buf *counts,
                        const dn_bytes *message, size_t n);

/**
 * Encodes with error feedback (Seide et al., Interspeech 2014; Karimireddy et al., arXiv 1901.09847): what
 * was not sent before is sent with x [n], times beta, and what is not sent now stays in e [n]:
 *
 *     e = beta e + x;  message = encode(e);  e = e - decode(message)
 *
 * Where entries are sent as they are (a sparse codec with `f32`), e and what was sent together are beta e + x
 * to the last bit.
 */
void dn_codec_encode_feedback(dn_stream *s, const dn_codec *codec, const dn_codec_config *config,
                              dn_bytes *message, dn_buf *e, double beta, const dn_buf *x, size_t n,
                              dn_buf *work);

#endif
