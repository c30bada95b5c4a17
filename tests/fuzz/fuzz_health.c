/* Any bytes as what comes to the probes: the file of a gateway that ran before, an answer from the
 * network, a word of the process that has no privileges. What is taken is within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "netlink/echo.h"
#include "wan/healthfile.h"
#include "wan/prober_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "probes:\n  - {name: p, targets: 192.0.2.1}\nlinks:\n"
                           "  - {name: wan1, device: w1, probe: p}\n"
                           "  - {name: mpq1, type: tunnel, device: m1, instance: one}\n";

static void check_verdict(const struct wan_verdict *v)
{
    if ((unsigned)v->state >= WAN_STATE_DISABLED || v->targets > PROBE_TARGETS_MAX ||
        v->need > v->targets || v->answering > v->targets || v->loss_percent > 100)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gateway_config c;
    struct wan_health h = {0};
    struct prober_word w;
    struct echo_tag tag;

    if (!c.n_links) {
        struct config_report report = {0};

        if (gateway_config_parse(text, strlen(text), &c, &report))
            abort();
        config_report_done(&report);
    }
    healthfile_parse((const char *)data, size, &c, 10, &h);
    for (unsigned i = 0; i < c.n_links; i++)
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++) {
            check_verdict(&h.link[i].probe[f]);
            if ((unsigned)h.link[i].last[f] >= WAN_STATE_COUNT)
                abort();
        }
    echo_parse(4, data, size, &tag);
    echo_parse(6, data, size, &tag);
    if (size >= sizeof(w)) {
        memcpy(&w, data, sizeof(w));
        if (prober_word_is_sane(&c, &w) && w.kind == PROBER_VERDICT)
            check_verdict(&w.verdict);
    }
    return 0;
}
