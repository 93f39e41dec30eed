/* Texts as a tokenizer's ids: files are documents, or what a separator splits them into; each is followed by
 * the token that ends a text, if the tokenizer has one. Documents come in blocks of at most 64 KiB, which end
 * where words do, so that several threads can encode one document to the ids that it has as a whole. */
#ifndef DATA_DOCUMENTS_H
#define DATA_DOCUMENTS_H

#include "data/text.h"
#include "dionode/tokenizer.h"

typedef struct dn_documents dn_documents;

/** separator: NULL, or not empty. All is borrowed; text has just been opened. *out is owned by the caller.
 * Errors: DN_ERR_MEMORY; DN_ERR_DATA a tokenizer that only decodes. */
dn_status dn_documents_open(const dn_tokenizer *tokenizer, dn_text *text, const char *separator,
                            dn_documents **out) DN_MUST_USE;
void dn_documents_close(dn_documents **documents);

/** The ids of the next block, *n_ids, borrowed until the next call, and the bytes of text that they stand
 * for. At the end of the last document *ids = NULL. Errors: those of dn_text_read and dn_encode. */
dn_status dn_documents_next(dn_documents *documents, const int32_t **ids, size_t *n_ids,
                            size_t *bytes) DN_MUST_USE;

#endif
