#include "wan/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

enum { GROUP_PATH_MAX = 4096, PROGRAM_MAX = 48, ADDRESS_WORDS = 4 };

struct confine {
    int above; /* the group that ours is in */
    int group;
    char name[48];
};

/* --- programs -------------------------------------------------------------------------- */

struct program {
    struct bpf_insn v[PROGRAM_MAX];
    unsigned n;
};

static unsigned emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int off,
                     int32_t imm)
{
    struct bpf_insn *v = &p->v[p->n];

    *v = (struct bpf_insn){.code = code, .off = (int16_t)off, .imm = imm};
    v->dst_reg = dst & 0xfu;
    v->src_reg = src & 0xfu;
    return p->n++;
}

static void set(struct program *p, uint8_t reg, int32_t value)
{
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, value);
}

static void copy(struct program *p, uint8_t dst, uint8_t src)
{
    emit(p, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void load(struct program *p, uint8_t dst, uint8_t base, size_t off, uint8_t size)
{
    emit(p, BPF_LDX | BPF_MEM | size, dst, base, (int)off, 0);
}

/* A jump forward, to where land() is called with what it returns. */
static unsigned jump(struct program *p, uint8_t op, uint8_t reg, int32_t value)
{
    return emit(p, BPF_JMP | op | BPF_K, reg, 0, 0, value);
}

static void land(struct program *p, unsigned from)
{
    p->v[from].off = (int16_t)(p->n - from - 1);
}

static void leave(struct program *p, int32_t result)
{
    set(p, BPF_REG_0, result);
    emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* A socket is made: it is bound. */
static void write_create(struct program *p, int index)
{
    set(p, BPF_REG_2, index);
    emit(p, BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2,
         (int)offsetof(struct bpf_sock, bound_dev_if), 0);
    leave(p, 1);
}

/* Sixteen bytes on the stack: the name that SO_BINDTODEVICE takes. */
static void put_name(struct program *p, const char *device)
{
    char name[IFNAMSIZ] = "";
    int32_t words[IFNAMSIZ / 4];

    memcpy(name, device, strnlen(device, sizeof(name) - 1));
    memcpy(words, name, sizeof(words));
    for (int i = 0; i < IFNAMSIZ / 4; i++)
        emit(p, BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, 4 * i - IFNAMSIZ, words[i]);
}

/* Loopback goes to *lift, anything else goes on. r6 is the context. */
static void test_loopback4(struct program *p, unsigned *lift)
{
    load(p, BPF_REG_7, BPF_REG_6, offsetof(struct bpf_sock_addr, user_ip4), BPF_W);
    emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_7, 0, 0, (int32_t)htonl(0xff000000));
    *lift = jump(p, BPF_JEQ, BPF_REG_7, (int32_t)htonl(0x7f000000));
}

/* ::1; a mapped IPv4 address is none that a resolver is reached by. */
static void test_loopback6(struct program *p, unsigned *lift)
{
    unsigned other[ADDRESS_WORDS - 1];

    for (unsigned i = 0; i < ADDRESS_WORDS; i++) {
        load(p, BPF_REG_7, BPF_REG_6, offsetof(struct bpf_sock_addr, user_ip6) + 4 * i, BPF_W);
        if (i == ADDRESS_WORDS - 1)
            *lift = jump(p, BPF_JEQ, BPF_REG_7, (int32_t)htonl(1));
        else
            other[i] = jump(p, BPF_JNE, BPF_REG_7, 0);
    }
    for (unsigned i = 0; i < ADDRESS_WORDS - 1; i++)
        land(p, other[i]);
}

/* A socket is connected: let go for a loopback address, as far as that is allowed; bound again for
 * any other, or refused. */
static void write_connect(struct program *p, int index, const char *device, bool six)
{
    unsigned lift, bound, call, done, may;

    copy(p, BPF_REG_6, BPF_REG_1);
    if (six)
        test_loopback6(p, &lift);
    else
        test_loopback4(p, &lift);
    load(p, BPF_REG_8, BPF_REG_6, offsetof(struct bpf_sock_addr, sk), BPF_DW);
    load(p, BPF_REG_8, BPF_REG_8, offsetof(struct bpf_sock, bound_dev_if), BPF_W);
    bound = jump(p, BPF_JEQ, BPF_REG_8, index);
    put_name(p, device);
    set(p, BPF_REG_9, 0);
    call = jump(p, BPF_JA, 0, 0);
    land(p, lift);
    put_name(p, "");
    set(p, BPF_REG_9, 1);
    land(p, call);
    copy(p, BPF_REG_1, BPF_REG_6);
    set(p, BPF_REG_2, SOL_SOCKET);
    set(p, BPF_REG_3, SO_BINDTODEVICE);
    copy(p, BPF_REG_4, BPF_REG_10);
    emit(p, BPF_ALU64 | BPF_ADD, BPF_REG_4, 0, 0, -IFNAMSIZ);
    set(p, BPF_REG_5, IFNAMSIZ);
    emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_setsockopt);
    done = jump(p, BPF_JEQ, BPF_REG_0, 0);
    may = jump(p, BPF_JEQ, BPF_REG_9, 1);
    leave(p, 0);
    land(p, bound);
    land(p, done);
    land(p, may);
    leave(p, 1);
}

static int bpf(int cmd, union bpf_attr *a)
{
    int rv = (int)syscall(SYS_bpf, cmd, a, sizeof(*a));

    return rv < 0 ? -errno : rv;
}

/* Load it and attach it to the group, which keeps it. */
static int install(int group, const struct program *p, enum bpf_prog_type type,
                   enum bpf_attach_type at)
{
    union bpf_attr a;
    _cleanup_close_ int fd = -1;

    memset(&a, 0, sizeof(a));
    a.prog_type = type;
    a.insns = (uintptr_t)p->v;
    a.insn_cnt = p->n;
    a.license = (uintptr_t) "GPL";
    a.expected_attach_type = at;
    fd = bpf(BPF_PROG_LOAD, &a);
    if (fd < 0)
        return fd;
    memset(&a, 0, sizeof(a));
    a.target_fd = (uint32_t)group;
    a.attach_bpf_fd = (uint32_t)fd;
    a.attach_type = at;
    a.attach_flags = BPF_F_ALLOW_MULTI;
    return bpf(BPF_PROG_ATTACH, &a);
}

static int install_all(int group, const char *device, int index)
{
    struct program create = {.n = 0}, four = {.n = 0}, six = {.n = 0};
    int rv;

    write_create(&create, index);
    write_connect(&four, index, device, false);
    write_connect(&six, index, device, true);
    rv = install(group, &create, BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE);
    if (!rv)
        rv = install(group, &four, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT);
    if (!rv)
        rv = install(group, &six, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT);
    return rv == -EINVAL || rv == -ENOSYS ? -EOPNOTSUPP : rv;
}

/* --- the group ------------------------------------------------------------------------- */

/* The tree of groups, wherever it is mounted, or nowhere: a mount of our own that no path shows. */
static int mount_tree(void)
{
    _cleanup_close_ int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0)
        return errno == ENODEV || errno == ENOSYS ? -EOPNOTSUPP : -errno;
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        return -errno;
    fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* The group of this process, as a path below the tree's root: "." when it is not known. */
static void own_path(char ret[static GROUP_PATH_MAX])
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[GROUP_PATH_MAX];

    snprintf(ret, GROUP_PATH_MAX, ".");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "0::/", 4) && line[4] && !strstr(line, "/.."))
            snprintf(ret, GROUP_PATH_MAX, "%s", line + 4);
    }
    if (f)
        fclose(f);
}

static int make_group(struct confine *c)
{
    _cleanup_close_ int tree = mount_tree();
    char path[GROUP_PATH_MAX];

    if (tree < 0)
        return tree;
    own_path(path);
    c->above = openat(tree, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (c->above < 0)
        return -errno;
    snprintf(c->name, sizeof(c->name), "mpquic-use-%d", (int)getpid());
    if (mkdirat(c->above, c->name, 0755) && errno != EEXIST)
        return -errno;
    c->group = openat(c->above, c->name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    return c->group < 0 ? -errno : 0;
}

int confine_open(const char *device, struct confine **ret)
{
    unsigned index = if_nametoindex(device);
    struct confine *c;
    int rv;

    if (!index)
        return -ENODEV;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->above = c->group = -1;
    rv = make_group(c);
    if (!rv)
        rv = install_all(c->group, device, (int)index);
    if (rv) {
        confine_close(c);
        return rv;
    }
    *ret = c;
    return 0;
}

int confine_enter(const struct confine *c)
{
    _cleanup_close_ int fd = openat(c->group, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, "0", 1) == 1 ? 0 : -errno;
}

int confine_close(struct confine *c)
{
    int rv = 0;

    if (!c)
        return 0;
    if (c->group >= 0 && unlinkat(c->above, c->name, AT_REMOVEDIR))
        rv = -errno;
    if (c->group >= 0)
        close(c->group);
    if (c->above >= 0)
        close(c->above);
    free(c);
    return rv;
}
