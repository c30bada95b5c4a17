#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/place.h"
#include "cli/cli.h"
#include "config/config.h"
#include "helper/ensure.h"
#include "helper/last.h"

static const char *reason(int rv)
{
    switch (rv) {
    case -EEXIST:
        return "the name belongs to an interface that is not a TUN: choose another tun_name";
    case -EPERM:
    case -EACCES:
        return "not permitted: run as root or with CAP_NET_ADMIN";
    case -ENOENT:
    case -ENXIO:
        return "the kernel has no TUN driver: modprobe tun";
    default:
        return strerror(-rv);
    }
}

/* The service does not start then, so this is what `mpquic status` has to tell. */
static void leave_word(const char *file, const struct tunnel_config *config, const char *what,
                       int rv)
{
    struct last_end end = {.code = EXIT_CODE_START, .time_s = clock_real_s()};
    const struct group *group = getgrnam(PLACE_USER);
    char name[PLACE_NAME_MAX];

    snprintf(end.text, sizeof(end.text), "tun %s: cannot %s: %s", config->tun_name, what,
             reason(rv));
    if (!place_instance_name(file, name))
        last_end_save(name, &end, group ? &group->gr_gid : NULL);
}

static enum exit_code ensure(const char *file, const struct tunnel_config *config)
{
    static const char *const words[] = {
        [ENSURE_MADE] = "made", [ENSURE_WAS_THERE] = "was there", [ENSURE_IN_USE] = "in use"};
    const char *what;
    int rv = ensure_tun(config, &what);

    if (rv < 0) {
        fprintf(stderr, "mpquic tun ensure: %s: cannot %s: %s\n", config->tun_name, what,
                reason(rv));
        leave_word(file, config, what, rv);
        return EXIT_CODE_START;
    }
    printf("%s: %s\n", config->tun_name, words[rv]);
    return EXIT_CODE_OK;
}

static const struct cli_verb cli_tun_ensure;

static int run(int argc, char **argv)
{
    struct config_report report = {0};
    struct tunnel_config config = {0};
    enum exit_code code = EXIT_CODE_CONFIG;
    const char *file = NULL;
    int c;

    while ((c = cli_getopt(&cli_tun_ensure, argc, argv)) != -1) {
        if (c != 'c')
            return EXIT_CODE_USAGE;
        file = optarg;
    }
    if (optind < argc)
        return cli_usage_error(&cli_tun_ensure, "unexpected argument '%s'", argv[optind]);
    if (!file)
        return cli_usage_error(&cli_tun_ensure, "option -c FILE is missing");
    if (!config_load(file, &config, &report))
        code = ensure(file, &config);
    config_report_write(&report, file, stderr);
    config_report_done(&report);
    config_done(&config);
    return (int)code;
}

static const struct cli_option ensure_options[] = {
    {'c', NULL, "FILE", "The configuration of the instance; see mpquic.yaml(5).", true},
    {0},
};

static const struct cli_verb cli_tun_ensure = {
    .name = "tun ensure",
    .summary = "make the TUN interface of an instance ahead",
    .args = "",
    .text = "Sees that the TUN interface that the configuration names is there and stays there, "
            "with the configured addresses and MTU, and up. It belongs to the user mpquic, if "
            "there is one. What is right already is left alone, and nothing is taken away, so that "
            "the command may be run at any time, also while the instance runs.\n\n"
            "An instance makes its interface itself when it starts. Made ahead, the interface is "
            "there for routes and filters that name it.",
    .options = ensure_options,
    .run = run,
};

static const struct cli_verb *const subs[] = {&cli_tun_ensure, NULL};

const struct cli_verb cli_tun = {
    .name = "tun",
    .summary = "prepare TUN interfaces",
    .args = "",
    .text = "An instance's TUN interface stays when the instance ends, so that routes into it stay "
            "too and nothing leaves by another way meanwhile.",
    .subs = subs,
};
