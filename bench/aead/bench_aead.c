/* What protecting one packet costs, for each AEAD backend and algorithm: nanoseconds of processor
 * time for sealing, opening, one header mask, and making a pair of keys.
 *
 * A round measures everything once, in turn, so that a disturbance meets all alike. Packets are 64
 * at a time, as in a burst: sealed in place, opened to another buffer, as ngtcp2 does. Printed are
 * median, least and greatest over the rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "quic/aead.h"

enum {
    BURST = 64,
    PACKET_MAX = 9000,
    AAD_BYTES = 13, /* short header: 1, connection ID 8, packet number 4 */
    ROUNDS_MAX = 1000,
    BACKENDS_MAX = 4
};

enum op { OP_SEAL, OP_OPEN, OP_MASK, OP_KEYS, OP_COUNT };

struct series {
    double ns[ROUNDS_MAX];
};

struct subject {
    const struct aead_backend *backend;
    enum aead_alg alg;
    struct aead_key *key, *mask;
    struct series op[OP_COUNT];
};

static uint8_t plain[BURST][PACKET_MAX + AEAD_TAG_BYTES],
    sealed[BURST][PACKET_MAX + AEAD_TAG_BYTES];
static uint8_t opened[PACKET_MAX];
static const uint8_t key_bytes[AEAD_KEY_BYTES_MAX] = {1, 2, 3};
static size_t packet_bytes = 1350;

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench-aead: %s\n", what);
    exit(1);
}

static void do_one(struct subject *s, enum op op, unsigned i)
{
    uint8_t nonce[AEAD_NONCE_BYTES] = {(uint8_t)i}, aad[AAD_BYTES] = {0}, mask[AEAD_SAMPLE_BYTES];
    int rv = 0;

    switch (op) {
    case OP_SEAL:
        rv = aead_seal(s->key, nonce, aad, sizeof(aad), plain[i], packet_bytes, plain[i]);
        break;
    case OP_OPEN:
        rv = aead_open(s->key, nonce, aad, sizeof(aad), sealed[i], packet_bytes + AEAD_TAG_BYTES,
                       opened);
        break;
    case OP_MASK:
        rv = aead_mask(s->mask, sealed[i], mask);
        break;
    default:
        aead_key_free(aead_key_new(s->backend, s->alg, key_bytes));
        aead_key_free(aead_mask_new(s->backend, s->alg, key_bytes));
        break;
    }
    if (rv)
        die("a packet does not open");
}

/* Nanoseconds for each of `n` bursts' worth of packets. */
static double measure(struct subject *s, enum op op, unsigned n)
{
    double begin;

    for (unsigned i = 0; i < BURST; i++) {
        uint8_t nonce[AEAD_NONCE_BYTES] = {(uint8_t)i}, aad[AAD_BYTES] = {0};

        aead_seal(s->key, nonce, aad, sizeof(aad), plain[i], packet_bytes, sealed[i]);
        do_one(s, op, i);
    }
    begin = cpu_ns();
    for (unsigned k = 0; k < n; k++)
        for (unsigned i = 0; i < BURST; i++)
            do_one(s, op, i);
    return (cpu_ns() - begin) / (n * BURST);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_op(struct series *v, unsigned rounds)
{
    qsort(v->ns, rounds, sizeof(v->ns[0]), by_value);
    printf("  %5.0f (%4.0f-%5.0f)", v->ns[rounds / 2], v->ns[0], v->ns[rounds - 1]);
}

static unsigned make_subjects(struct subject *v)
{
    unsigned n = 0;

    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        if ((*b)->unusable()) {
            printf("%s: %s\n", (*b)->name, (*b)->unusable());
            continue;
        }
        for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++, n++) {
            v[n].backend = *b;
            v[n].alg = alg;
            v[n].key = aead_key_new(*b, alg, key_bytes);
            v[n].mask = aead_mask_new(*b, alg, key_bytes);
            if (!v[n].key || !v[n].mask)
                die("no key");
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    static struct subject subject[BACKENDS_MAX * AEAD_ALG_COUNT];
    unsigned rounds = 101, bursts = 20, n;

    for (int c; (c = getopt(argc, argv, "n:b:s:")) >= 0;)
        if (c == 'n')
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'b')
            bursts = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's')
            packet_bytes = strtoul(optarg, NULL, 10);
        else
            rounds = 0;
    if (!rounds || rounds > ROUNDS_MAX || !bursts || packet_bytes > PACKET_MAX) {
        fprintf(stderr, "usage: bench-aead [-n ROUNDS] [-b BURSTS] [-s PACKET_BYTES]\n");
        return 2;
    }
    n = make_subjects(subject);
    for (unsigned r = 0; r < rounds; r++)
        for (unsigned i = 0; i < n; i++)
            for (enum op op = 0; op < OP_COUNT; op++)
                subject[(i + r) % n].op[op].ns[r] =
                    measure(&subject[(i + r) % n], op, op == OP_KEYS ? 1 : bursts);
    printf("ns for each packet of %zu bytes, median (least-greatest) of %u rounds\n%-28s %17s  "
           "%17s  %17s  %17s\n",
           packet_bytes, rounds, "", "seal", "open", "mask", "two keys");
    for (unsigned i = 0; i < n; i++) {
        printf("%-9s %-18s", subject[i].backend->name, aead_alg_name(subject[i].alg));
        for (enum op op = 0; op < OP_COUNT; op++)
            print_op(&subject[i].op[op], rounds);
        printf("\n");
        aead_key_free(subject[i].key);
        aead_key_free(subject[i].mask);
    }
    return 0;
}
