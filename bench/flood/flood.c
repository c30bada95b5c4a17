/* Throw datagrams at a hub: what somebody on the Internet can who knows nothing but its address.
 *
 * usage: flood SOURCE ADDRESS PORT RATE SECONDS FILE KINDS
 *
 * FILE holds true first packets of clients (two bytes of length in network order, then the bytes).
 * KINDS says what is sent in turn, one letter each:
 *
 *      r  replayed: one of them, from SOURCE and some port
 *      f  forged: one of them, under an address of 198.18.0.0/15
 *      i  junk behind the header of a first packet, from SOURCE
 *      s  junk that looks like a packet of an established connection, from SOURCE
 *      n  random bytes of random length, from SOURCE
 *
 * RATE is in datagrams a second, sent in tens. Prints how many went out. Needs root (a raw socket).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"

enum { PACKETS_MAX = 4096, PAYLOAD_MAX = 1472, BATCH = 10, HEADERS = 28, FIRST_BYTES = 1200 };

struct packet {
    uint16_t len;
    uint8_t data[PAYLOAD_MAX];
};

struct flood {
    int fd;
    struct sockaddr_in to;
    in_addr_t source;
    const char *kinds;
    size_t next_kind;
    struct rng rng;
    unsigned n;
    struct packet packet[PACKETS_MAX];
    uint8_t out[BATCH][HEADERS + PAYLOAD_MAX];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void load(struct flood *f, const char *file)
{
    FILE *in = fopen(file, "re");
    uint8_t head[2];

    if (!in)
        die(file);
    while (f->n < PACKETS_MAX && fread(head, 1, 2, in) == 2) {
        uint16_t len = load_be16(head);

        if (!len || len > PAYLOAD_MAX || fread(f->packet[f->n].data, 1, len, in) != len)
            break;
        f->packet[f->n++].len = len;
    }
    fclose(in);
    if (!f->n) {
        fprintf(stderr, "%s: no packets\n", file);
        exit(1);
    }
}

static size_t make_initial_junk(struct flood *f, uint8_t *p)
{
    static const uint8_t head[] = {0xc3, 0, 0, 0, 1, 8};

    rng_bytes(&f->rng, p, FIRST_BYTES);
    memcpy(p, head, sizeof(head));
    p[14] = 8; /* length of the source connection ID */
    p[23] = 0; /* of the token */
    store_be16(p + 24, 0x4000 | (FIRST_BYTES - 26));
    return FIRST_BYTES;
}

static size_t make_payload(struct flood *f, uint8_t *p, char kind)
{
    const struct packet *known = &f->packet[rng_below(&f->rng, f->n)];
    size_t len = 1 + rng_below(&f->rng, PAYLOAD_MAX);

    switch (kind) {
    case 'r':
    case 'f':
        memcpy(p, known->data, known->len);
        return known->len;
    case 'i':
        return make_initial_junk(f, p);
    case 's':
        len = FIRST_BYTES;
        break;
    default:
        break;
    }
    rng_bytes(&f->rng, p, len);
    if (kind == 's')
        p[0] = 0x40 | (p[0] & 0x3f);
    return len;
}

/* One datagram with its headers. Returns its length. */
static size_t make(struct flood *f, uint8_t *out)
{
    char kind = f->kinds[f->next_kind++];
    in_addr_t forged = htonl(0xc6120000 | rng_below(&f->rng, 1 << 17));
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    struct udphdr udp = {.dest = f->to.sin_port};
    size_t len = make_payload(f, out + HEADERS, kind);

    if (!f->kinds[f->next_kind])
        f->next_kind = 0;
    ip.saddr = kind == 'f' ? forged : f->source;
    ip.daddr = f->to.sin_addr.s_addr;
    ip.tot_len = htons((uint16_t)(HEADERS + len));
    udp.source = htons((uint16_t)(1024 + rng_below(&f->rng, 60000)));
    udp.len = htons((uint16_t)(8 + len));
    memcpy(out, &ip, sizeof(ip));
    memcpy(out + sizeof(ip), &udp, sizeof(udp));
    return HEADERS + len;
}

static int send_batch(struct flood *f)
{
    struct mmsghdr msg[BATCH] = {0};
    struct iovec v[BATCH];

    for (unsigned i = 0; i < BATCH; i++) {
        v[i].iov_base = f->out[i];
        v[i].iov_len = make(f, f->out[i]);
        msg[i].msg_hdr.msg_iov = &v[i];
        msg[i].msg_hdr.msg_iovlen = 1;
        msg[i].msg_hdr.msg_name = &f->to;
        msg[i].msg_hdr.msg_namelen = sizeof(f->to);
    }
    return sendmmsg(f->fd, msg, BATCH, 0);
}

/* Who is late catches up: what counts is the mean rate. */
static unsigned long send_for(struct flood *f, unsigned long rate, uint64_t duration_ns)
{
    uint64_t began_ns = clock_mono_ns();
    unsigned long sent = 0, tried = 0;

    for (uint64_t at = began_ns; at < began_ns + duration_ns;
         at = began_ns + tried * NS_PER_S / rate) {
        struct timespec t = {.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
        int n;

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        n = send_batch(f);
        tried += BATCH;
        sent += n > 0 ? (unsigned long)n : 0;
    }
    return sent;
}

int main(int argc, char **argv)
{
    static struct flood f;
    unsigned long rate, seconds;

    if (argc != 8 || !*argv[7]) {
        fprintf(stderr, "usage: flood SOURCE ADDRESS PORT RATE SECONDS FILE KINDS\n");
        return 2;
    }
    rate = strtoul(argv[4], NULL, 10);
    seconds = strtoul(argv[5], NULL, 10);
    f.source = inet_addr(argv[1]);
    f.to = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = inet_addr(argv[2]),
                                .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10))};
    f.kinds = argv[7];
    load(&f, argv[6]);
    rng_seed(&f.rng, 1);
    f.fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (f.fd < 0 || !rate)
        die("raw socket");
    printf("%lu\n", send_for(&f, rate, seconds * NS_PER_S));
    return 0;
}
