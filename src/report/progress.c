#include "report/progress.h"

#include "base/clock.h"

#include <inttypes.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double REDRAW_S = 0.1, PLAIN_S = 5.0;
static const double SPEED_WINDOW_S = 20.0;

enum { BAR_MIN = 8, BAR_MAX = 40, LINE = 1024 };

#define ERASE_REST "\033[K"

static bool locale_is_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", 0);
    if (!locale)
        return false;
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

static bool can_redraw(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && !(term && strcmp(term, "dumb") == 0);
}

void dn_progress_begin(dn_progress *progress, FILE *out, uint64_t first, uint64_t total)
{
    double now = dn_clock_s();
    *progress = (dn_progress){.out = out,
                              .terminal = can_redraw(out),
                              .utf8 = locale_is_utf8(),
                              .first = first,
                              .total = total,
                              .started_s = now,
                              .marked_s = now,
                              .marked = first,
                              .done = first,
                              .shown_s = -1};
}

/* Each look moves the speed towards what was seen since the last one, by its share of the window; while the
 * run is younger than the window that is the plain average. Steps longer than the window still average over
 * eight. */
static void update_speed(dn_progress *p, double now)
{
    double passed = now - p->marked_s;
    if (passed < REDRAW_S)
        return;
    double window = fmin(now - p->started_s, fmax(SPEED_WINDOW_S, 8 * passed));
    double seen = (double)(p->done - p->marked) / passed;
    p->speed += passed / window * (seen - p->speed);
    p->marked_s = now;
    p->marked = p->done;
}

/* "120/1000", with prefixes where plain numbers would be long, as for bytes. */
static void write_count(const dn_progress *p, char *out, size_t bytes)
{
    char done[32], total[32];
    bool large = p->total >= 10000000 || p->done >= 10000000;
    if (large) {
        dn_human((double)p->done, "", done, sizeof done);
        dn_human((double)p->total, "", total, sizeof total);
    } else {
        snprintf(done, sizeof done, "%" PRIu64, p->done);
        snprintf(total, sizeof total, "%" PRIu64, p->total);
    }
    if (p->total)
        snprintf(out, bytes, "%s/%s", done, total);
    else
        snprintf(out, bytes, "%s", done);
}

/* Time left if that can be known, otherwise time passed. */
static void write_time(const dn_progress *p, double now, char *out, size_t bytes)
{
    char time[32];
    if (p->total > p->done && p->speed > 0)
        snprintf(out, bytes, "%s left",
                 dn_human_time((double)(p->total - p->done) / p->speed, time, sizeof time));
    else
        snprintf(out, bytes, "%s", dn_human_time(now - p->started_s, time, sizeof time));
}

/* Bytes that one character of UTF-8 takes; 1 for what is none. */
static size_t character(const char *text)
{
    size_t n = 1;
    while ((text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

static int columns(const char *text)
{
    int n = 0;
    for (; *text; text += character(text))
        n++;
    return n;
}

/* Everything but percentage and bar. Where `width` is too little for all of it, the last parts of the text, which two
 * blanks tell apart, are left out. */
static void write_state(const dn_progress *p, double now, int width, char *out, size_t bytes)
{
    char count[80], time[40], text[DN_PROGRESS_TEXT];
    write_count(p, count, sizeof count);
    write_time(p, now, time, sizeof time);
    strcpy(text, p->text);
    for (;;) {
        snprintf(out, bytes, "%s%s%s  %s", count, *text ? "  " : "", text, time);
        char *last = NULL;
        for (char *at = text; (at = strstr(at, "  ")) != NULL; at += 2)
            last = at;
        if (columns(out) <= width || !last)
            return;
        *last = '\0';
    }
}

static double fraction(const dn_progress *p)
{
    return p->done < p->total ? (double)p->done / (double)p->total : 1.0;
}

/* Whole percents, rounded down: 100 % means done. */
static int percent(const dn_progress *p)
{
    return (int)(100.0 * fraction(p));
}

static void cut(char *text, int width)
{
    for (; *text && width > 0; width--)
        text += character(text);
    *text = '\0';
}

/* `width` columns: full cells, one of eight partial ones, the rest blank; '#' and '-' outside UTF-8. */
static void write_bar(const dn_progress *p, int width, char *out)
{
    static const char *const parts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    int eighths = (int)(fraction(p) * width * 8);
    *out = '\0';
    for (int i = 0; i < width; i++) {
        int filled = eighths - 8 * i;
        filled = filled < 0 ? 0 : filled > 8 ? 8 : filled;
        out = stpcpy(out, p->utf8 ? parts[filled] : filled == 8 ? "#" : "-");
    }
}

int dn_terminal_columns(FILE *out, int otherwise)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return otherwise;
    return size.ws_col - 1;
}

static void draw(dn_progress *p, const char *state)
{
    char line[LINE], bar[4 * BAR_MAX + 1] = "";
    int width = dn_terminal_columns(p->out, 79);
    int room = width - columns(state) - (int)strlen("100%   ");
    if (room >= BAR_MIN)
        write_bar(p, room < BAR_MAX ? room : BAR_MAX, bar);
    if (p->total)
        snprintf(line, sizeof line, "%3d%% %s%s%s", percent(p), bar, *bar ? "  " : "", state);
    else
        snprintf(line, sizeof line, "%s", state);
    cut(line, width);
    fprintf(p->out, "\r%s" ERASE_REST, line);
    p->drawn = true;
}

static void show_state(dn_progress *p, double now)
{
    char state[LINE / 2];
    int width = p->terminal ? dn_terminal_columns(p->out, 79) - (int)strlen(p->total ? "100% " : "") : INT_MAX;
    write_state(p, now, width, state, sizeof state);
    if (p->terminal)
        draw(p, state);
    else if (p->total)
        fprintf(p->out, "%3d%%  %s\n", percent(p), state);
    else
        fprintf(p->out, "%s\n", state);
    fflush(p->out);
    p->shown_s = now;
    p->shown = p->done;
}

void dn_progress_show(dn_progress *progress, uint64_t done, const char *text)
{
    double now = dn_clock_s();
    progress->done = done;
    snprintf(progress->text, sizeof progress->text, "%s", text);
    update_speed(progress, now);
    bool due = now - progress->shown_s >= (progress->terminal ? REDRAW_S : PLAIN_S);
    if (progress->shown_s < 0 || due || (progress->total && done >= progress->total))
        show_state(progress, now);
}

void dn_progress_line(dn_progress *progress, const char *format, ...)
{
    va_list args;
    bool redraw = progress->drawn;
    if (redraw)
        fputs("\r" ERASE_REST, progress->out);
    va_start(args, format);
    vfprintf(progress->out, format, args);
    va_end(args);
    fputc('\n', progress->out);
    if (redraw)
        show_state(progress, dn_clock_s());
    fflush(progress->out);
}

void dn_progress_end(dn_progress *progress)
{
    if (progress->shown_s >= 0 && progress->shown != progress->done)
        show_state(progress, dn_clock_s());
    if (progress->drawn)
        fputc('\n', progress->out);
    progress->drawn = false;
    fflush(progress->out);
}
