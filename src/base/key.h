/* Values of keys (dionode/key.h): from text to fields and back. */
#ifndef BASE_KEY_H
#define BASE_KEY_H

#include "dionode/key.h"
#include "dionode/status.h"

/** Whether an unquoted word stands for null. */
bool dn_key_is_null(const char *value);

/** Parses value by the key's type into its field; NULL means null: the default. Errors: DN_ERR_CONFIG "where:
 * name: what". */
dn_status dn_key_parse(void *field, const dn_key *key, const char *value, const char *where) DN_MUST_USE;

/** Whether the field's value is one of the key's: a program may have filled it in by itself. Errors: code,
 * "where: name: what". */
dn_status dn_key_check(const void *field, const dn_key *key, dn_status code, const char *where) DN_MUST_USE;

/** Whether two fields of a key hold the same. */
bool dn_key_equal(const dn_key *key, const void *a, const void *b);

/** A field's value as a configuration file has it: numbers with as few digits as read back to the same ones,
 * null, texts in quotes, but their quotes not doubled. What does not fit in `bytes` is cut off. */
void dn_key_show(const void *field, const dn_key *key, char *text, size_t bytes);

#endif
