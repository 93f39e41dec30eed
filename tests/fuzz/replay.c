/*
 * Runs every kept input of a target, and then mutations of them, drawn from a fixed seed.
 *
 *     fuzz_replay TARGET FOLDER
 *
 * The inputs run in a child, so that the files they leave are removed however it ends. An input that fails is
 * written to the current folder, as libFuzzer would.
 */
#include "fuzz/fuzz.h"
#include "support/scratch.h"

#include <signal.h>
#include <sys/wait.h>

enum { MAX_INPUTS = 1000, MAX_SIZE = 1 << 16 };

typedef struct input {
    char *name;
    char *data;
    size_t size;
} input;

static input inputs[MAX_INPUTS];
static size_t n_inputs;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const input *)a)->name, ((const input *)b)->name);
}

static bool read_inputs(const char *folder)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    while (stream && n_inputs < MAX_INPUTS && (entry = readdir(stream))) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        input *in = &inputs[n_inputs];
        if (entry->d_name[0] != '.' && (in->data = scratch_read(path, &in->size))) {
            in->name = strdup(entry->d_name);
            n_inputs++;
        }
    }
    if (stream)
        closedir(stream);
    qsort(inputs, n_inputs, sizeof *inputs, by_name);
    return n_inputs > 0;
}

/* What a dying child leaves to look at. */
static const char *current_name;
static const uint8_t *current;
static size_t current_size;

static void keep_input(int signal)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "crash-%s", current_name);
    FILE *file = fopen(path, "wb");
    if (file) {
        fwrite(current, 1, current_size, file);
        fclose(file);
        fprintf(stderr, "the input is kept as %s\n", path);
    }
    raise(signal); /* with the default action again: SA_RESETHAND */
}

/* A copy of exactly its size, so that a sanitizer sees a read beyond its end. */
static void run(const fuzz_target *target, const char *name, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    current_name = name;
    current = copy;
    current_size = size;
    alarm(60);
    target->run(copy, size);
    free(copy);
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64 (Marsaglia 2003) */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One change: a bit, a byte, a number at an edge, a stretch moved, or a stretch of another input. */
static size_t mutate(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint64_t edges[] = {0,          1,          0x7f,       0x80,      0xff,
                                     0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                     UINT64_MAX};
    size_t at = size ? draw(state) % size : 0, n = 1 + draw(state) % 32;
    const input *other = &inputs[draw(state) % n_inputs];
    switch (draw(state) % 6) {
    case 0:
        if (size)
            data[at] ^= (uint8_t)(1 << draw(state) % 8);
        return size;
    case 1:
        if (size)
            data[at] = (uint8_t)draw(state);
        return size;
    case 2:
        n = (size_t)1 << draw(state) % 4;
        if (n <= size - at)
            memcpy(data + at, &edges[draw(state) % (sizeof edges / sizeof *edges)], n);
        return size;
    case 3: /* taken out */
        n = n < size - at ? n : size - at;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 4: /* doubled */
        n = n < size - at ? n : size - at;
        n = n < MAX_SIZE - size ? n : MAX_SIZE - size;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    default:
        n = n < other->size ? n : other->size;
        n = n < size - at ? n : size - at;
        if (n)
            memcpy(data + at, other->data + draw(state) % (other->size - n + 1), n);
        return size;
    }
}

static int run_all(const fuzz_target *target)
{
    static uint8_t data[MAX_SIZE];
    uint64_t state = 20261129;
    for (size_t i = 0; i < n_inputs; i++)
        run(target, inputs[i].name, (const uint8_t *)inputs[i].data, inputs[i].size);
    for (int i = 0; i < target->n_mutations; i++) {
        const input *from = &inputs[draw(&state) % n_inputs];
        size_t size = from->size < MAX_SIZE ? from->size : MAX_SIZE;
        memcpy(data, from->data, size);
        for (uint64_t n = 1 + draw(&state) % 8; n > 0; n--)
            size = mutate(data, size, &state);
        run(target, "mutation", data, size);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const fuzz_target *target = argc == 3 ? fuzz_find(argv[1]) : NULL;
    scratch s;
    if (!target || !read_inputs(argv[2]) || !scratch_make(&s)) {
        fprintf(stderr, "usage: fuzz_replay TARGET FOLDER-WITH-INPUTS\n");
        return 2;
    }
    setenv("FUZZ_FOLDER", s.dir, 1);
    pid_t child = fork();
    if (child == 0) {
        static const int deaths[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
        for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++)
            sigaction(deaths[i], &(struct sigaction){.sa_handler = keep_input, .sa_flags = SA_RESETHAND},
                      NULL);
        exit(run_all(target));
    }
    int status = -1;
    waitpid(child, &status, 0);
    scratch_remove(&s);
    for (size_t i = 0; i < n_inputs; i++) {
        free(inputs[i].name);
        free(inputs[i].data);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("%s: %zu inputs and %d mutations of them\n", target->name, n_inputs, target->n_mutations);
        return 0;
    }
    fprintf(stderr, "%s: ended with wait status %#x\n", target->name, status);
    return 1;
}
