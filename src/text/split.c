#include "text/split.h"

#include "base/fail.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PATTERN_MAX = 4096, STACK_MAX = 64 << 20 };

/* Unicode's White_Space, as members of a class. */
#define SPACES                                                                                               \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{" \
    "3000}"

/* What a backslash and this character mean is the same in PCRE2 as in Oniguruma. */
static const char same[] = "pPrntdDxfv\\.()[]{}*+?|^$-/'\"!#%&,:;<=>@`~ ";

/* Writes the pattern with white space spelled out to out [PATTERN_MAX]. */
static dn_status translate(const char *pattern, char *out)
{
    size_t n = 0;
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        char one[3] = {*p, 0, 0};
        const char *piece = one;
        if (*p == '\\') {
            char c = one[1] = *++p;
            if (c == 's')
                piece = in_class ? SPACES : "[" SPACES "]";
            else if (c == 'S' && !in_class)
                piece = "[^" SPACES "]";
            else if (!c || !strchr(same, c))
                return dn_fail(DN_ERR_DATA, "pattern '%s': '\\%c'%s is not supported", pattern, c,
                               in_class ? " in a class" : "");
        } else if (in_class ? *p == '&' && p[1] == '&' : *p == '^' || *p == '$') {
            return dn_fail(DN_ERR_DATA, "pattern '%s': '%c' is not supported", pattern, *p);
        } else if (*p == '[') {
            if (in_class)
                return dn_fail(DN_ERR_DATA, "pattern '%s': a class within a class is not supported", pattern);
            in_class = true;
            if (p[1] == '^') {
                one[1] = *++p;
            }
        } else if (*p == ']') {
            in_class = false;
        }
        size_t bytes = strlen(piece);
        if (n + bytes >= PATTERN_MAX)
            return dn_fail(DN_ERR_DATA, "a pattern of %zu bytes is too long: at most %d", strlen(pattern),
                           PATTERN_MAX);
        memcpy(out + n, piece, bytes);
        n += bytes;
    }
    out[n] = '\0';
    return DN_OK;
}

dn_status dn_split_compile(const char *pattern, dn_split_keep keep, dn_split *out)
{
    char text[PATTERN_MAX];
    DN_TRY(translate(pattern, text));
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    if (!code) {
        char message[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
        return dn_fail(DN_ERR_DATA, "pattern '%s': %s", pattern, message);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where there is none, matching is slower */
    *out = (dn_split){.code = code, .pattern = strdup(pattern), .keep = keep};
    if (out->pattern)
        return DN_OK;
    dn_split_free(out);
    return dn_fail(DN_ERR_MEMORY, "no memory for a pattern");
}

void dn_split_free(dn_split *split)
{
    pcre2_code_free(split->code);
    free(split->pattern);
}

struct dn_splitter {
    const dn_split *split;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    size_t first, end; /* of the next match */
};

dn_splitter *dn_splitter_create(const dn_split *split)
{
    dn_splitter *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->split = split;
    s->match = pcre2_match_data_create_from_pattern(split->code, NULL);
    s->context = pcre2_match_context_create(NULL);
    if (!s->match || !s->context) {
        dn_splitter_destroy(s);
        return NULL;
    }
    s->stack =
        pcre2_jit_stack_create(32 << 10, STACK_MAX, NULL); /* NULL: matching has a small one of its own */
    if (s->stack)
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    pcre2_set_match_limit(s->context, UINT32_MAX);
    return s;
}

void dn_splitter_destroy(dn_splitter *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    free(s);
}

/* Finds the next match that does not begin before `at`; beyond the last, it is empty at the end. */
static bool find(dn_splitter *s, const char *text, size_t n, size_t at)
{
    int found = pcre2_match(s->split->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                            s->match, s->context);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(s->match);
    s->first = found > 0 ? ends[0] : n;
    s->end = found > 0 ? ends[1] : n;
    return found > 0 || found == PCRE2_ERROR_NOMATCH;
}

size_t dn_split_next(dn_splitter *s, const char *text, size_t n, size_t at)
{
    if ((at == 0 || at >= s->end) && !find(s, text, n, at))
        return 0;
    switch (s->split->keep) {
    case DN_SPLIT_ISOLATED:
        return at < s->first ? s->first : s->end;
    case DN_SPLIT_WITH_PREVIOUS:
        return s->end;
    case DN_SPLIT_WITH_NEXT:
        if (at == s->first && !find(s, text, n, s->end))
            return 0;
        return s->first;
    }
    return 0;
}
