/* The states of links, for people and as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/gateway.h"
#include "status/status.h"

const char *const gatewaycli_families[WAN_FAMILIES] = {"IPv4", "IPv6"};
const char *const gatewaycli_types[] = {
    [GATEWAY_LINK_WAN] = "wan", [GATEWAY_LINK_TUNNEL] = "tunnel"};

enum exit_code gatewaycli_print_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    json_decref(json);
    if (!text)
        return EXIT_CODE_INTERNAL;
    printf("%s\n", text);
    free(text);
    return EXIT_CODE_OK;
}

struct wan_link_state gatewaycli_state(const struct gateway *g, unsigned link)
{
    struct wan_link_state s;

    wan_state_of(gateway_config(g), &gateway_mirror(g)->facts, link, &s);
    return s;
}

int64_t gatewaycli_since(const struct gateway *g, unsigned link, enum wan_family f)
{
    const struct wan_link_health *h = &gateway_health(g)->link[link];
    const struct disabled_link *off =
        disabled_find(gateway_disabled(g), gateway_config(g)->links[link].name);
    struct wan_link_state s = gatewaycli_state(g, link);

    if (off && s.state[f] == WAN_STATE_DISABLED)
        return off->since_s;
    return h->last[f] == s.state[f] ? h->since_s[f] : 0;
}

/* What the last rounds of its probe were. */
static json_t *probe_json(const struct wan_verdict *v)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f}", "state", wan_state_name(v->state),
                     "answering", v->answering, "targets", v->targets, "need", v->need,
                     "loss_percent", v->loss_percent, "latency_ms", v->latency_us / 1000.0);
}

json_t *gatewaycli_state_json(const struct gateway *g, unsigned link, enum wan_family f)
{
    const struct gateway_config *c = gateway_config(g);
    struct wan_link_state s = gatewaycli_state(g, link);
    bool up = s.reason[f] == WAN_REASON_UP;
    char via[IP_ADDR_STR_MAX], why[WAN_WHY_MAX];
    int64_t at = gatewaycli_since(g, link, f);
    json_t *all = json_pack("{s:s, s:b, s:s}", "state", wan_state_name(s.state[f]), "up", up,
                            "reason", wan_state_why(c, &gateway_mirror(g)->facts, link, f, why));

    if (up && s.hop[f].via.family)
        json_object_set_new(all, "via", json_string(ip_addr_str(&s.hop[f].via, via)));
    if (at)
        json_object_set_new(all, "since", json_integer(at));
    if (wan_has_probe(c, link, f))
        json_object_set_new(all, "probe", probe_json(&gateway_health(g)->link[link].probe[f]));
    return all;
}

const char *gatewaycli_state_str(const struct gateway *g, unsigned link, enum wan_family f,
                                 char buf[static GATEWAYCLI_STATE_MAX])
{
    struct wan_link_state s = gatewaycli_state(g, link);
    bool routed = s.reason[f] == WAN_REASON_UP && s.hop[f].via.family;
    char via[IP_ADDR_STR_MAX] = "", why[WAN_WHY_MAX], time[32] = "";
    int64_t at = gatewaycli_since(g, link, f);

    if (routed)
        ip_addr_str(&s.hop[f].via, via);
    if (at)
        status_time_str(at, time);
    snprintf(buf, GATEWAYCLI_STATE_MAX, "%s: %s%s%s%s%s", wan_state_name(s.state[f]),
             wan_state_why(gateway_config(g), &gateway_mirror(g)->facts, link, f, why),
             routed ? ", via " : "", via, at ? ", since " : "", time);
    return buf;
}
