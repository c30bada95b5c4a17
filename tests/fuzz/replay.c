/* Run a fuzz target over given files and the files of given directories, once each: the corpora
 * are ordinary tests. Every input is copied to a buffer of exactly its size, so that a sanitizer
 * sees a read past the end. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned long inputs;

static int replay_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    FILE *f = fopen(path, "rb");
    int r = -1;

    if (data && f && fread(data, 1, size, f) == size) {
        fprintf(stderr, "%s\n", path); /* the last line before a crash names the input */
        LLVMFuzzerTestOneInput(data, size);
        inputs++;
        r = 0;
    } else {
        perror(path);
    }
    if (f)
        fclose(f);
    free(data);
    return r;
}

static int replay(const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *d;
    int r = 0;

    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size);

    d = opendir(path);
    if (!d) {
        perror(path);
        return -1;
    }
    while (r == 0 && (e = readdir(d))) {
        char name[4096];

        if (e->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(name, sizeof(name), "%s/%s", path, e->d_name) >= sizeof(name))
            r = -1;
        else
            r = replay(name);
    }
    closedir(d);
    return r;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) < 0)
            return 1;
    fprintf(stderr, "%lu inputs\n", inputs);
    return inputs ? 0 : 1;
}
