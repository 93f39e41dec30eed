/* Progress on a pipe and on a pseudo-terminal, read back as a reader or a terminal would. Time is moved by
 * moving the moments in the past. */
#include "report/progress.h"
#include "base/clock.h"
#include "support/close.h"
#include "support/tests.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static char seen[1 << 16];

/* Everything that fd holds now, as a string in `seen`. */
static void drain(int fd)
{
    size_t n = 0;
    ssize_t got;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((got = read(fd, seen + n, sizeof seen - 1 - n)) > 0)
        n += (size_t)got;
    seen[n] = '\0';
}

/* Seconds since `start_s` on a machine that may be busy, to which the tests' own time comes. */
static double since(double start_s)
{
    return dn_clock_s() - start_s;
}

static void pass_time(dn_progress *p, double seconds)
{
    p->started_s -= seconds;
    p->marked_s -= seconds;
    p->shown_s -= seconds;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static void a_pipe_gets_plain_lines_with_at_least_first_and_last(void **state)
{
    int ends[2];
    dn_progress p;
    assert_int_equal(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    double start_s = dn_clock_s();
    int left = 0, all = 0;
    dn_progress_begin(&p, out, 0, 1000);
    for (uint64_t i = 1; i <= 1000; i++) {
        if (i == 501)
            pass_time(&p, 5.5); /* one line in between is due */
        dn_progress_show(&p, i, "loss 2.314");
        if (i == 700)
            dn_progress_line(&p, "validation %d", 7);
    }
    dn_progress_end(&p);
    drain(ends[0]);
    fclose(out);
    close(ends[0]);
    for (const char *c = seen; *c; c++)
        assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
    double busy_s = since(start_s);
    assert_in_range(count(seen, "\n"), 4, 4 + (size_t)(busy_s / 5)); /* one more every five seconds */
    assert_ptr_equal(strstr(seen, "  0%  1/1000  loss 2.314"), seen);
    const char *middle = strstr(seen, "\n 50%  501/1000"), *end = strstr(seen, "\n100%  1000/1000");
    assert_non_null(strstr(seen, "\nvalidation 7\n"));
    assert_true(middle && sscanf(middle, "\n 50%%  501/1000  loss 2.314  %d s left\n", &left) == 1);
    assert_true(end && sscanf(end, "\n100%%  1000/1000  loss 2.314  %d s\n", &all) == 1);
    assert_in_range(left, 5, (uintmax_t)(5.5 + busy_s + 0.5)); /* 5.5 s for 501, and as much for the rest; rounded */
    assert_in_range(all, 6, (uintmax_t)(5.5 + busy_s + 0.5));
}

static void an_interrupted_run_still_shows_its_last_state(void **state)
{
    int ends[2];
    dn_progress p;
    assert_int_equal(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    double start_s = dn_clock_s();
    dn_progress_begin(&p, out, 0, 1000);
    for (uint64_t i = 1; i <= 30; i++)
        dn_progress_show(&p, i, "x");
    dn_progress_end(&p);
    drain(ends[0]);
    fclose(out);
    close(ends[0]);
    assert_in_range(count(seen, "\n"), 2, 2 + (size_t)(since(start_s) / 5));
    assert_non_null(strstr(seen, "  3%  30/1000  x"));
}

static void work_without_a_known_end_has_no_percentage(void **state)
{
    int ends[2];
    dn_progress p;
    assert_int_equal(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    double start_s = dn_clock_s();
    dn_progress_begin(&p, out, 0, 0);
    dn_progress_show(&p, 25000000, "reading");
    dn_progress_end(&p);
    drain(ends[0]);
    fclose(out);
    close(ends[0]);
    int seconds;
    assert_int_equal(sscanf(seen, "25.0M  reading  %d s\n", &seconds), 1);
    assert_in_range(seconds, 0, (uintmax_t)(since(start_s) + 0.5));
}

struct pty {
    int master;
    FILE *out;
};

static struct pty open_terminal(unsigned short width, const char *locale)
{
    struct pty pty = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
    assert_true(pty.master >= 0 && grantpt(pty.master) == 0 && unlockpt(pty.master) == 0);
    int slave = open(ptsname(pty.master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    struct winsize size = {.ws_row = 24, .ws_col = width};
    ioctl(slave, TIOCSWINSZ, &size);
    pty.out = fdopen(slave, "w");
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", locale, 1);
    return pty;
}

static void close_terminal(struct pty *pty)
{
    fclose(pty->out);
    close(pty->master);
}

/* Columns of the widest line that was drawn: each begins with a carriage return and ends with an erasure. */
static int widest(const char *text)
{
    int most = 0, n = 0;
    for (; *text; text++) {
        if (*text == '\r')
            n = 0;
        else if (*text == '\033')
            most = n > most ? n : most;
        else
            n += (*text & 0xc0) != 0x80;
    }
    return most;
}

static void a_terminal_gets_one_line_that_fits_whatever_its_width(void **state)
{
    for (unsigned short width = 2; width < 140; width++)
        for (int utf8 = 0; utf8 < 2; utf8++) {
            struct pty pty = open_terminal(width, utf8 ? "C.UTF-8" : "C");
            dn_progress p;
            dn_progress_begin(&p, pty.out, 0, 100);
            for (uint64_t i = 1; i <= 100; i += 33) {
                dn_progress_show(&p, i, "loss 2.314  41.2k tok/s");
                pass_time(&p, 0.2);
            }
            dn_progress_end(&p);
            drain(pty.master);
            close_terminal(&pty);
            assert_in_range(widest(seen), 1, width - 1);
            assert_int_equal(count(seen, "\n"), 1);
            assert_int_equal(count(seen, "\033[K"), 4);
            if (width > 70) /* room for a bar */
                assert_true(count(seen, utf8 ? "█" : "#") > 0);
            assert_int_equal(count(seen, utf8 ? "#" : "█"), 0);
        }
}

static void on_a_narrow_terminal_the_last_fields_go_and_the_others_stay_whole(void **state)
{
    struct pty pty = open_terminal(60, "C");
    dn_progress p;
    dn_progress_begin(&p, pty.out, 0, 1000);
    dn_progress_show(&p, 500, "loss 2.3141  41.2 ktok/s  5.24 MB/step  72% of GEMM peak  68% of FMA limit");
    dn_progress_end(&p);
    drain(pty.master);
    close_terminal(&pty);
    assert_non_null(strstr(seen, "500/1000  loss 2.3141  41.2 ktok/s  5.24 MB/step  "));
    assert_null(strstr(seen, "72%"));
    assert_null(strstr(seen, "68%"));
    assert_non_null(strstr(seen, " s\033[K")); /* the time */
}

static void the_bar_is_as_full_as_the_work_is_done(void **state)
{
    struct pty pty = open_terminal(80, "C");
    dn_progress p;
    dn_progress_begin(&p, pty.out, 0, 8);
    dn_progress_show(&p, 2, "");
    drain(pty.master);
    assert_non_null(strstr(seen, "\r 25% ##########------------------------------  2/8"));
    dn_progress_line(&p, "a line of its own");
    drain(pty.master);
    assert_ptr_equal(strstr(seen, "\r\033[Ka line of its own\r\n\r 25% ####"), seen);
    dn_progress_show(&p, 8, "");
    drain(pty.master);
    assert_non_null(strstr(seen, "\r100% ########################################  8/8"));
    dn_progress_end(&p);
    close_terminal(&pty);
}

static void redraws_are_at_most_ten_a_second_and_none_on_a_dumb_terminal(void **state)
{
    struct pty pty = open_terminal(80, "C");
    double start_s = dn_clock_s();
    dn_progress p;
    dn_progress_begin(&p, pty.out, 0, 1000);
    for (uint64_t i = 1; i < 1000; i++)
        dn_progress_show(&p, i, "");
    drain(pty.master);
    assert_in_range(count(seen, "\r"), 1, 1 + (size_t)(since(start_s) / 0.1));
    setenv("TERM", "dumb", 1);
    dn_progress_begin(&p, pty.out, 0, 1000);
    dn_progress_show(&p, 1, "");
    drain(pty.master);
    assert_int_equal(count(seen, "\033"), 0);
    close_terminal(&pty);
}

/* A run at 10 units a second that turns to 1 a second: soon the time left follows the new speed, but not at
 * once. A resumed run does not count what it found done. */
static void look_after(dn_progress *p, double seconds, uint64_t done)
{
    const dn_progress before = *p;
    double start_s;
    do { /* undisturbed, on a busy machine, too */
        *p = before;
        start_s = dn_clock_s();
        p->started_s = before.started_s - seconds;
        p->marked_s = start_s - seconds;
        p->shown_s = start_s - seconds;
        dn_progress_show(p, done, "");
    } while (since(start_s) > 1e-3 * seconds);
}

static void time_left_follows_the_speed_smoothly(void **state)
{
    FILE *out = fopen("/dev/null", "w");
    dn_progress p;
    uint64_t done = 5000;
    dn_progress_begin(&p, out, done, 10000);
    for (int i = 0; i < 100; i++)
        look_after(&p, 1, done += 10);
    assert_close(p.speed, 10, 0.1);
    look_after(&p, 1, done += 1);
    assert_true(p.speed > 9 && p.speed < 9.9);
    for (int i = 0; i < 100; i++)
        look_after(&p, 1, done += 1);
    assert_close(p.speed, 1, 0.2);
    dn_progress_end(&p);
    fclose(out);
}

static void numbers_for_people_have_three_digits(void **state)
{
    static const struct {
        double value;
        const char *unit, *text;
    } table[] = {
        {0, "B", "0 B"},           {5, "B", "5 B"},          {999, "B", "999 B"},
        {999.4, "", "999"},        {999.6, "", "1.00k"},     {1000, "B", "1.00 kB"},
        {1254000, "B", "1.25 MB"}, {41230, "", "41.2k"},     {9.994e3, "", "9.99k"},
        {9.996e3, "", "10.0k"},    {99.96e3, "", "100k"},    {123456, "B", "123 kB"},
        {999499, "B", "999 kB"},   {999501, "B", "1.00 MB"}, {3.14159, "", "3.14"},
        {0.5, "s", "0.5 s"},       {-2500, "", "-2.50k"},    {2.5e9, "B", "2.50 GB"},
        {7e12, "", "7.00T"},       {8e15, "", "8.00P"},      {1.5e18, "B", "1.50 EB"},
        {12.34, "", "12.3"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[32];
        assert_string_equal(dn_human(table[i].value, table[i].unit, text, sizeof text), table[i].text);
    }
}

static void memory_for_people_is_in_powers_of_two(void **state)
{
    static const struct {
        double size;
        const char *text;
    } table[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1 KiB"},
                 {49152, "48 KiB"},
                 {1023.4 * 1024, "1023 KiB"},
                 {1023.6 * 1024, "0.9996 MiB"},
                 {1.5 * (1 << 20), "1.5 MiB"},
                 {3.0 * (1 << 30), "3 GiB"},
                 {0x1p46, "64 TiB"},
                 {0x1p64, "16 EiB"}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[32];
        assert_string_equal(dn_human_size(table[i].size, text, sizeof text), table[i].text);
    }
}

static void times_for_people_are_clocks(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } table[] = {{0, "0 s"},    {0.4, "0 s"},        {12.3, "12 s"},    {59.4, "59 s"},        {59.6, "1:00"},
                 {245, "4:05"}, {3599.7, "1:00:00"}, {3723, "1:02:03"}, {360000, "100:00:00"}, {-1, "?"},
                 {NAN, "?"},    {INFINITY, "?"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[32];
        assert_string_equal(dn_human_time(table[i].seconds, text, sizeof text), table[i].text);
    }
}

TESTS(report_progress)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_gets_plain_lines_with_at_least_first_and_last),
        cmocka_unit_test(an_interrupted_run_still_shows_its_last_state),
        cmocka_unit_test(work_without_a_known_end_has_no_percentage),
        cmocka_unit_test(a_terminal_gets_one_line_that_fits_whatever_its_width),
        cmocka_unit_test(on_a_narrow_terminal_the_last_fields_go_and_the_others_stay_whole),
        cmocka_unit_test(the_bar_is_as_full_as_the_work_is_done),
        cmocka_unit_test(redraws_are_at_most_ten_a_second_and_none_on_a_dumb_terminal),
        cmocka_unit_test(time_left_follows_the_speed_smoothly),
        cmocka_unit_test(numbers_for_people_have_three_digits),
        cmocka_unit_test(memory_for_people_is_in_powers_of_two),
        cmocka_unit_test(times_for_people_are_clocks),
    };
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
