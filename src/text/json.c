/* tokenizer.json (huggingface/tokenizers): what each of its components asks for, or an error that names it.
 */
#include "text/tokenizer.h"

#include "base/fail.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- JSON ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const char *type_of(const json_t *object)
{
    return text_of(object, "type");
}

static bool is_type(const json_t *object, const char *type)
{
    return strcmp(type_of(object), type) == 0;
}

/* A flag's value; where it is missing, what it is then. */
static bool flag(const json_t *object, const char *key, bool missing)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : missing;
}

static dn_status not_supported(const char *what, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    dn_status status = dn_fail(DN_ERR_DATA, "%s %.200s is not supported", what, text ? text : "");
    free(text);
    return status;
}

/* Calls one for each component of a Sequence, or for the only one; null has none. */
typedef dn_status component_fn(dn_tokenizer *t, const json_t *component);
static dn_status each_component(dn_tokenizer *t, const json_t *node, const char *list, component_fn *one)
{
    if (!json_is_object(node))
        return DN_OK;
    if (!is_type(node, "Sequence"))
        return one(t, node);
    size_t i;
    json_t *component;
    json_array_foreach(json_object_get(node, list), i, component)
        DN_TRY(each_component(t, component, list, one));
    return DN_OK;
}

/* Whether a component of this type is among them. */
static bool has_component(const json_t *node, const char *list, const char *type)
{
    size_t i;
    json_t *component;
    if (is_type(node, type))
        return true;
    json_array_foreach(json_object_get(node, list), i,
                       component) if (has_component(component, list, type)) return true;
    return false;
}

/* ---- vocabulary ---- */

/* How texts of the file become bytes. */
typedef struct reading {
    bool byte_level, byte_fallback;
    int16_t byte_of[DN_STAND_INS]; /* -1: stands for no byte */
} reading;

/* A text of the vocabulary as bytes, in out with room for as many; false: not one of a byte-level vocabulary.
 */
static bool to_bytes(const reading *r, const char *text, size_t n, char *out, size_t *n_out)
{
    if (!r->byte_level) {
        memcpy(out, text, n);
        *n_out = dn_replace_marks(out, n);
        return true;
    }
    size_t k = 0;
    for (size_t at = 0; at < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t got =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(n - at), &c);
        if (got <= 0 || c >= DN_STAND_INS || r->byte_of[c] < 0)
            return false;
        out[k++] = (char)r->byte_of[c];
        at += (size_t)got;
    }
    *n_out = k;
    return true;
}

/* Each added token has its own entry: one in the vocabulary, too, is skipped there. */
static dn_status read_added(dn_tokenizer *t, const json_t *root)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(root, "added_tokens"), i, entry)
    {
        const char *content = text_of(entry, "content");
        int64_t id = json_integer_value(json_object_get(entry, "id"));
        if (!*content || !json_is_integer(json_object_get(entry, "id")))
            return not_supported("the added token", entry);
        if (flag(entry, "single_word", false))
            return not_supported("single_word of the added token", entry);
        DN_TRY(dn_tokenizer_add(t, id, content, strlen(content), true));
        DN_TRY(dn_tokenizer_add_added(t, (dn_added){(int32_t)id, flag(entry, "lstrip", false), flag(entry, "rstrip", false),
                                                    flag(entry, "special", false)}));
    }
    return DN_OK;
}

static dn_status read_vocabulary(dn_tokenizer *t, const reading *r, json_t *vocabulary)
{
    const char *text;
    json_t *number;
    json_object_foreach(vocabulary, text, number)
    {
        int64_t id = json_integer_value(number);
        size_t n = strlen(text), n_bytes;
        unsigned char byte;
        char *bytes;
        if (id >= 0 && (size_t)id < t->size && t->tokens[id].added && strcmp(t->tokens[id].bytes, text) == 0)
            continue;
        if (r->byte_fallback && dn_byte_name(text, n, &byte)) {
            t->byte_ids[byte] = (int32_t)id;
            DN_TRY(dn_tokenizer_add(t, id, (const char[]){(char)byte}, 1, true));
            continue;
        }
        if (!(bytes = malloc(n + 1)))
            return dn_fail(DN_ERR_MEMORY, "no memory for a token of %zu bytes", n);
        bool known = to_bytes(r, text, n, bytes, &n_bytes);
        dn_status status =
            known ? dn_tokenizer_add(t, id, bytes, n_bytes, false) : dn_tokenizer_add(t, id, text, n, true);
        free(bytes);
        DN_TRY(status);
    }
    return DN_OK;
}

/* "a b", or ["a", "b"]. */
static dn_status read_merge(dn_tokenizer *t, const reading *r, const json_t *merge, int32_t rank)
{
    const char *left = json_string_value(json_is_array(merge) ? json_array_get(merge, 0) : merge),
               *right = NULL;
    size_t n_left = left ? strlen(left) : 0;
    if (json_is_array(merge)) {
        right = json_string_value(json_array_get(merge, 1));
    } else if (left) {
        right = strchr(left, ' ');
        n_left = right ? (size_t)(right - left) : 0;
        right = right ? right + 1 : NULL;
    }
    char bytes[4096];
    size_t n, n_right = right ? strlen(right) : 0;
    int32_t ids[3] = {-1, -1, -1};
    if (n_left > 0 && n_right > 0 && n_left + n_right <= sizeof bytes &&
        to_bytes(r, left, n_left, bytes, &n_left) && to_bytes(r, right, n_right, bytes + n_left, &n)) {
        ids[0] = dn_tokenizer_find(t, bytes, n_left);
        ids[1] = dn_tokenizer_find(t, bytes + n_left, n);
        ids[2] = dn_tokenizer_find(t, bytes, n_left + n);
    }
    if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0)
        return dn_fail(DN_ERR_DATA, "merge %d is not one of two tokens that make a third", rank);
    return dn_tokenizer_add_merge(t, ids[0], ids[1], rank, ids[2]);
}

static dn_status read_model(dn_tokenizer *t, const json_t *root, reading *r)
{
    const json_t *model = json_object_get(root, "model");
    json_t *vocabulary = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges"), *merge;
    bool is_bpe = is_type(model, "BPE") || (!*type_of(model) && merges);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    if (!is_bpe || !json_is_object(vocabulary) || !json_is_array(merges))
        return dn_fail(DN_ERR_DATA, "a model of type '%s' is not supported: only BPE is", type_of(model));
    for (size_t i = 0; i < 2; i++)
        if (*text_of(model, affixes[i]))
            return not_supported(affixes[i], json_object_get(model, affixes[i]));
    r->byte_fallback = flag(model, "byte_fallback", false);
    DN_TRY(read_added(t, root));
    DN_TRY(read_vocabulary(t, r, vocabulary));
    DN_TRY(dn_tokenizer_index(t, json_array_size(merges)));
    size_t rank;
    json_array_foreach(merges, rank, merge) DN_TRY(read_merge(t, r, merge, (int32_t)rank));
    for (size_t b = 0; r->byte_level && b < 256; b++)
        t->byte_ids[b] = dn_tokenizer_find(t, (const char[]){(char)b}, 1);
    const char *unknown = text_of(model, "unk_token");
    if (*unknown) {
        int32_t id = dn_tokenizer_special(t, unknown);
        t->unknown = id >= 0 ? id : dn_tokenizer_find(t, unknown, strlen(unknown));
    }
    t->fuse_unknown = flag(model, "fuse_unk", false);
    t->whole_first = flag(model, "ignore_merges", false);
    t->byte_level = r->byte_level;
    return DN_OK;
}

/* ---- what stands before and behind the model ---- */

static const char *pattern_text(const json_t *component)
{
    return text_of(json_object_get(component, "pattern"), "String");
}

static bool is_mark(const char *text)
{
    return strcmp(text, "\xe2\x96\x81") == 0;
}

static dn_status read_normalizer(dn_tokenizer *t, const json_t *c)
{
    if (is_type(c, "NFC"))
        return dn_tokenizer_add_normalizer(t, (dn_normalizer){.what = DN_NORMALIZE_NFC});
    if (is_type(c, "Prepend") && is_mark(text_of(c, "prepend")))
        return dn_tokenizer_add_normalizer(t, (dn_normalizer){.what = DN_NORMALIZE_PREPEND, .to = " "});
    const char *from = pattern_text(c), *to = text_of(c, "content");
    if (is_type(c, "Replace") && strcmp(from, " ") == 0 && is_mark(to))
        return dn_tokenizer_add_marks(t);
    if (is_type(c, "Replace") && *from)
        return dn_tokenizer_add_normalizer(
            t, (dn_normalizer){.what = DN_NORMALIZE_REPLACE, .from = from, .to = to});
    return not_supported("the normalizer", c);
}

/* Old files say add_prefix_space instead of prepend_scheme. */
static bool metaspace_prepends(const json_t *c)
{
    return strcmp(text_of(c, "prepend_scheme"), "never") != 0 && flag(c, "add_prefix_space", true);
}

static dn_status read_metaspace(dn_tokenizer *t, const json_t *c)
{
    if (!is_mark(text_of(c, "replacement")))
        return not_supported("the pre-tokenizer", c);
    DN_TRY(dn_tokenizer_add_marks(t));
    if (metaspace_prepends(c))
        DN_TRY(dn_tokenizer_add_normalizer(
            t, (dn_normalizer){.what = DN_NORMALIZE_PREPEND,
                               .to = " ",
                               .unless_there = true,
                               .at_start_only = strcmp(text_of(c, "prepend_scheme"), "first") == 0}));
    return flag(c, "split", true) ? dn_tokenizer_add_split(t, " ", DN_SPLIT_WITH_NEXT) : DN_OK;
}

static dn_status read_pre_tokenizer(dn_tokenizer *t, const json_t *c)
{
    if (t->byte_level && is_type(c, "ByteLevel")) {
        if (flag(c, "add_prefix_space", true) && t->n_splits > 0)
            return not_supported("a prefix behind other pre-tokenizers:", c);
        if (flag(c, "add_prefix_space", true))
            DN_TRY(dn_tokenizer_add_normalizer(
                t, (dn_normalizer){.what = DN_NORMALIZE_PREPEND, .to = " ", .unless_there = true}));
        return flag(c, "use_regex", true) ? dn_tokenizer_add_split(t, DN_PATTERN_GPT2, DN_SPLIT_ISOLATED)
                                          : DN_OK;
    }
    if (is_type(c, "Digits"))
        return dn_tokenizer_add_split(t, flag(c, "individual_digits", false) ? "\\p{N}" : "\\p{N}+",
                                      DN_SPLIT_ISOLATED);
    if (is_type(c, "Metaspace"))
        return read_metaspace(t, c);
    const char *pattern = text_of(json_object_get(c, "pattern"), "Regex");
    if (is_type(c, "Split") && !flag(c, "invert", false)) {
        if (*pattern && strcmp(text_of(c, "behavior"), "Isolated") == 0)
            return dn_tokenizer_add_split(t, pattern, DN_SPLIT_ISOLATED);
        if (strcmp(pattern_text(c), " ") == 0 && t->space_first + t->n_normalizers > 0 && !t->byte_level)
            return DN_OK; /* of Gemma: there are only marks where this looks for spaces */
    }
    return not_supported("the pre-tokenizer", c);
}

static dn_status read_decoder(dn_tokenizer *t, const json_t *c)
{
    bool of_marks = !t->byte_level &&
                    ((is_type(c, "Replace") && is_mark(pattern_text(c))) || is_type(c, "ByteFallback") ||
                     is_type(c, "Fuse") || is_type(c, "Metaspace") || is_type(c, "Strip"));
    if (is_type(c, "Metaspace"))
        t->space_first = metaspace_prepends(c);
    if (is_type(c, "Strip"))
        t->space_first =
            json_integer_value(json_object_get(c, "start")) == 1 && strcmp(text_of(c, "content"), " ") == 0;
    return of_marks || (t->byte_level && is_type(c, "ByteLevel")) ? DN_OK : not_supported("the decoder", c);
}

/* The first token of the template for one text, if it is a special one. */
static dn_status read_post_processor(dn_tokenizer *t, const json_t *c)
{
    if (is_type(c, "TemplateProcessing")) {
        const json_t *first = json_array_get(json_object_get(c, "single"), 0);
        t->begin = dn_tokenizer_special(t, text_of(json_object_get(first, "SpecialToken"), "id"));
        return DN_OK;
    }
    return is_type(c, "ByteLevel") ? DN_OK : not_supported("the post-processor", c);
}

static dn_status read_root(dn_tokenizer *t, const json_t *root)
{
    reading r = {0};
    uint32_t of[256];
    dn_stand_ins(of);
    memset(r.byte_of, 0xff, sizeof r.byte_of); /* -1 */
    for (int16_t b = 0; b < 256; b++)
        r.byte_of[of[b]] = b;
    const json_t *splits = json_object_get(root, "pre_tokenizer");
    r.byte_level = has_component(splits, "pretokenizers", "ByteLevel");
    DN_TRY(read_model(t, root, &r));
    DN_TRY(each_component(t, json_object_get(root, "normalizer"), "normalizers", read_normalizer));
    DN_TRY(each_component(t, splits, "pretokenizers", read_pre_tokenizer));
    DN_TRY(each_component(t, json_object_get(root, "decoder"), "decoders", read_decoder));
    return each_component(t, json_object_get(root, "post_processor"), "processors", read_post_processor);
}

dn_status dn_tokenizer_read_json(dn_tokenizer *t, const char *content, size_t n)
{
    char why[DN_JSON_WHY];
    json_t *root = dn_json_object(content, n, why);
    if (!root)
        return dn_fail(DN_ERR_DATA, "%s", why);
    dn_status status = read_root(t, root);
    json_decref(root);
    return status;
}

/* A name is a text, or an added token with one. */
static int32_t named(const dn_tokenizer *t, const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return dn_tokenizer_special(t, json_is_object(value) ? text_of(value, "content") : text_of(root, key));
}

dn_status dn_tokenizer_read_config(dn_tokenizer *t, const char *content, size_t n)
{
    char why[DN_JSON_WHY];
    json_t *root = dn_json_object(content, n, why);
    if (!root)
        return dn_fail(DN_ERR_DATA, "tokenizer_config.json: %s", why);
    int32_t end = named(t, root, "eos_token");
    t->end = end >= 0 ? end : t->end;
    if (flag(root, "add_bos_token", false))
        t->begin = named(t, root, "bos_token");
    json_decref(root);
    return DN_OK;
}
