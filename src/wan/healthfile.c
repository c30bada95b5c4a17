#include "wan/healthfile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/util.h"

enum { FILE_BYTES_MAX = 256 << 10 };

static const char *const families[WAN_FAMILIES] = {"ipv4", "ipv6"};

/* --- writing --------------------------------------------------------------------------- */

static json_t *verdict_json(const struct wan_verdict *v)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:I, s:b}", "state", wan_state_name(v->state),
                     "answering", v->answering, "targets", v->targets, "need", v->need,
                     "loss_percent", v->loss_percent, "latency_us", (json_int_t)v->latency_us,
                     "by_latency", v->by_latency);
}

static json_t *link_json(const struct gateway_config *c, unsigned i,
                         const struct wan_link_health *h)
{
    json_t *all = json_pack("{s:s}", "name", c->links[i].name);

    for (enum wan_family f = 0; all && f < WAN_FAMILIES; f++) {
        json_t *one = json_pack("{s:s, s:I}", "state", wan_state_name(h->last[f]), "since",
                                (json_int_t)h->since_s[f]);

        if (one && wan_has_probe(c, i, f))
            json_object_set_new(one, "probe", verdict_json(&h->probe[f]));
        json_object_set_new(all, families[f], one);
    }
    return all;
}

static int replace_file(const char *file, const char *text)
{
    _cleanup_free_ char *temporary = NULL;
    size_t len = strlen(text);
    int fd, rv = 0;

    if (asprintf(&temporary, "%s.new", file) < 0)
        return -ENOMEM;
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    if (write(fd, text, len) != (ssize_t)len)
        rv = errno ? -errno : -EIO;
    close(fd);
    if (!rv && rename(temporary, file))
        rv = -errno;
    if (rv)
        unlink(temporary);
    return rv;
}

int healthfile_write(const char *file, const struct gateway_config *c, const struct wan_health *h,
                     uint64_t now_ns)
{
    _cleanup_free_ char *text = NULL;
    json_t *links = json_array(), *all;

    for (unsigned i = 0; i < c->n_links; i++)
        json_array_append_new(links, link_json(c, i, &h->link[i]));
    all = json_pack("{s:I, s:o}", "written_ns", (json_int_t)now_ns, "links", links);
    text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text ? replace_file(file, text) : -ENOMEM;
}

/* --- reading --------------------------------------------------------------------------- */

static bool read_state(const json_t *object, enum wan_state limit, enum wan_state *ret)
{
    const char *name = json_string_value(json_object_get(object, "state"));

    for (enum wan_state s = 0; name && s < limit; s++)
        if (!strcmp(name, wan_state_name(s))) {
            *ret = s;
            return true;
        }
    return false;
}

static uint32_t read_number(const json_t *object, const char *name, uint32_t max)
{
    json_int_t v = json_integer_value(json_object_get(object, name));

    return (uint32_t)MIN(MAX(v, 0), (json_int_t)max);
}

static void read_verdict(const json_t *object, struct wan_verdict *ret)
{
    struct wan_verdict v = {0};

    if (!read_state(object, WAN_STATE_DISABLED, &v.state))
        return;
    v.targets = (uint8_t)read_number(object, "targets", GATEWAY_TARGETS_MAX + 1);
    v.need = (uint8_t)read_number(object, "need", v.targets);
    v.answering = (uint8_t)read_number(object, "answering", v.targets);
    v.loss_percent = (uint8_t)read_number(object, "loss_percent", 100);
    v.latency_us = read_number(object, "latency_us", UINT32_MAX);
    v.by_latency = json_is_true(json_object_get(object, "by_latency"));
    *ret = v;
}

static void read_link(const json_t *object, const struct gateway_config *c, struct wan_health *h)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    int i = name ? gateway_config_link(c, name) : -1;

    for (enum wan_family f = 0; i >= 0 && f < WAN_FAMILIES; f++) {
        const json_t *one = json_object_get(object, families[f]);
        struct wan_link_health *l = &h->link[i];

        if (read_state(one, WAN_STATE_COUNT, &l->last[f]))
            l->since_s[f] = json_integer_value(json_object_get(one, "since"));
        read_verdict(json_object_get(one, "probe"), &l->probe[f]);
    }
}

int healthfile_parse(const char *text, size_t len, const struct gateway_config *c, uint64_t now_ns,
                     struct wan_health *h)
{
    json_t *all = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *links = json_object_get(all, "links");
    json_int_t written = json_integer_value(json_object_get(all, "written_ns"));
    int rv = 0;

    if (!json_is_array(links) || written <= 0)
        rv = -EINVAL;
    else if ((uint64_t)written > now_ns || now_ns - (uint64_t)written > HEALTHFILE_VALID_NS)
        rv = -ESTALE;
    for (size_t i = 0; !rv && i < json_array_size(links); i++)
        read_link(json_array_get(links, i), c, h);
    json_decref(all);
    return rv;
}

int healthfile_read(const char *file, const struct gateway_config *c, uint64_t now_ns,
                    struct wan_health *h)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int fd = readfile_open(file), rv;

    if (fd < 0)
        return fd;
    rv = readfile_text(fd, FILE_BYTES_MAX, &text, &len);
    close(fd);
    return rv ? rv : healthfile_parse(text, len, c, now_ns, h);
}
