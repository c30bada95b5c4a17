/* Write a manual page in mdoc from the tables of the program: the keys of the configuration, the
 * verbs, the exit codes. Run by the build.
 *
 *      genman mpquic.8
 *      genman mpquic.yaml.5 CLIENT-EXAMPLE SERVER-EXAMPLE
 *      genman mpquic-gateway.yaml.5 EDGE-EXAMPLE HUB-EXAMPLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clockfloor.h"
#include "base/drop.h"
#include "base/exitcode.h"
#include "base/util.h"
#include "cli/cli.h"
#include "config/gateway_schema.h"
#include "config/schema.h"

enum { WRAP_COLUMN = 78 };

/* ---- mdoc ---- */

/* One word with what roff would interpret taken out. Returns the columns it takes. */
static unsigned write_word(const char *s, size_t n, bool line_start)
{
    if (line_start && (*s == '.' || *s == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\\')
            fputs("\\e", stdout);
        else
            putchar(s[i]);
    return (unsigned)n;
}

/* Plain text: wrapped, each sentence on a line of its own as mdoc wants it, an empty line
 * becoming a paragraph. */
static void write_text(const char *text)
{
    unsigned column = 0;

    while (*text) {
        size_t n = strcspn(text, " \n");
        bool sentence_end;

        if (column && column + 1 + n > WRAP_COLUMN) {
            putchar('\n');
            column = 0;
        }
        if (column) {
            putchar(' ');
            column++;
        }
        column += write_word(text, n, !column);
        sentence_end = n && strchr(".?!", text[n - 1]);
        text += n;
        if (!strncmp(text, "\n\n", 2)) {
            printf("\n.Pp");
            sentence_end = true;
        }
        text += strspn(text, " \n");
        if (sentence_end && *text) {
            putchar('\n');
            column = 0;
        }
    }
    putchar('\n');
}

/* A summary in lower case without a full stop, as a sentence. */
static void write_summary(const char *summary)
{
    char *s;

    if (asprintf(&s, "%s.", summary) < 0)
        exit(1);
    if (*s >= 'a' && *s <= 'z')
        *s = (char)(*s - 'a' + 'A');
    write_text(s);
    free(s);
}

static void write_head(const char *name, const char *title, const char *section, const char *what)
{
    time_t made = (time_t)clock_source_date_s();
    const struct tm *day = gmtime(&made);
    char month[16];

    strftime(month, sizeof(month), "%B", day);
    printf(".\\\" Made from the tables of the program by genman; do not edit.\n"
           ".Dd %s %d, %d\n.Dt %s %s\n.Os mpquic %s\n.Sh NAME\n.Nm %s\n.Nd %s\n",
           month, day->tm_mday, 1900 + day->tm_year, title, section, MPQUIC_VERSION, name, what);
}

/* ---- mpquic.yaml(5) ---- */

static void write_roles(const struct config_key *k)
{
    static const char *const who[] = {[CONFIG_FOR_CLIENT] = "client",
                                      [CONFIG_FOR_SERVER] = "server",
                                      [CONFIG_FOR_BOTH] = "client and server"};

    printf(".Em Role :\n%s", who[k->roles]);
    if (k->required == k->roles)
        printf(", mandatory");
    else if (k->required)
        printf(", mandatory on a %s", who[k->required]);
    printf(".\n");
}

static void write_key(const struct config_key *k, bool top)
{
    char values[256];

    printf(".It Ic %s\n", k->name);
    write_summary(k->help);
    if (k->man)
        write_text(k->man);
    printf(".Pp\n.Em Value :\n%s", config_key_values(k, values, sizeof(values)));
    if (k->list_max)
        printf(", or a list of up to %u", k->list_max);
    printf(".\n");
    if (k->def)
        printf(".Em Default :\n%s.\n", k->def);
    else if (k->unset && !(k->required == k->roles))
        printf(".Em When not set :\n%s.\n", k->unset);
    if (top)
        write_roles(k);
    else if (k->required)
        printf("Mandatory.\n");
}

static void write_keys(const struct config_section *s)
{
    printf(".Bl -tag -width Ds\n");
    for (unsigned i = 0; i < s->n_keys; i++)
        write_key(&s->keys[i], s == &config_schema);
    printf(".El\n");
}

static int write_example(const char *file, const char *what)
{
    char line[1024];
    FILE *f = fopen(file, "r");

    if (!f) {
        perror(file);
        return 1;
    }
    printf("%s:\n.Bd -literal -offset indent\n", what);
    while (fgets(line, sizeof(line), f)) {
        size_t n = strcspn(line, "\n");

        write_word(line, n, true);
        putchar('\n');
    }
    printf(".Ed\n");
    fclose(f);
    return 0;
}

/* What tokens_file and token_file hold. */
static void write_tokens_file(void)
{
    printf(".Ss Files of tokens\nThe server's\n.Ic tokens_file :\n"
           ".Bd -literal -offset indent\n"
           "# NAME TOKEN\n"
           "edge1 4nRzq8Xv0Yt2mKfWc1sLbA7pHdUeJg5o\n"
           "edge2 Q9wVx3TnZr6yBkMd8hCjSf2aPgLuE1i7\n"
           ".Ed\n.Pp\nand the\n.Ic token_file\nof the client that it calls edge1:\n"
           ".Bd -literal -offset indent\n"
           "4nRzq8Xv0Yt2mKfWc1sLbA7pHdUeJg5o\n"
           ".Ed\n");
}

static int write_page_yaml(const char *client_example, const char *server_example)
{
    write_head("mpquic.yaml", "MPQUIC.YAML", "5", "configuration of an mpquic tunnel");
    printf(".Sh DESCRIPTION\n");
    write_text("A configuration describes one instance: one end of one tunnel. It is a YAML "
               "mapping of the keys below, in any order, each at most once. Nothing but plain and "
               "quoted values, lists and mappings is used; anchors, aliases and tags are refused. "
               "Where a list is allowed a single value stands for a list of one.\n\n"
               "A key that does not exist is an error, a key that means nothing for the role of "
               "the instance at least a warning. All problems of a file are reported at once, "
               "each with its line and column.");
    printf(".Pp\n.Dl mpquic check FILE\n.Pp\n");
    write_text("checks a file without starting anything.");
    printf(".Sh KEYS\n");
    write_keys(&config_schema);
    printf(".Ss Keys of a path\nEach entry of\n.Ic multipath_paths\nis a mapping of these keys.\n");
    write_keys(&config_path_schema);
    printf(".Ss Keys of a peer\nEach entry of\n.Ic peers\nis a mapping of these keys.\n");
    write_keys(&config_peer_schema);
    printf(".Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/mpquic/\n");
    write_text("The usual place: a file per instance, called after it, as in 1.yaml.");
    printf(".It Pa /etc/mpquic/tls/\n");
    write_text("The usual place of certificates and keys.");
    printf(".El\n");
    write_tokens_file();
    printf(".Sh EXAMPLES\n");
    if (write_example(client_example, "An edge"))
        return 1;
    printf(".Pp\n");
    if (write_example(server_example, "Its hub"))
        return 1;
    printf(".Sh SEE ALSO\n.Xr mpquic 8\n");
    return 0;
}

static int write_page_gateway(const char *edge_example, const char *hub_example)
{
    write_head("mpquic-gateway.yaml", "MPQUIC-GATEWAY.YAML", "5",
               "configuration of the mpquic gateway");
    printf(".Sh DESCRIPTION\n");
    write_text("The configuration says which links the machine has, WANs and tunnels, and what "
               "comes from which interface leaves by which of them. It is a YAML mapping of the "
               "keys below, as of");
    printf(".Xr mpquic.yaml 5 .\n.Pp\n.Dl mpquic gateway check -c FILE\n.Pp\n");
    write_text("checks a file, and what others have on this machine.");
    printf(".Sh KEYS\n");
    write_keys(&gateway_schema);
    printf(".Ss Keys of a link\nEach entry of\n.Ic links\nis a mapping of these keys.\n");
    write_keys(&gateway_link_schema);
    printf(".Ss Keys of a probe\nEach entry of\n.Ic probes\nis a mapping of these keys.\n");
    write_keys(&gateway_probe_schema);
    printf(".Ss Keys of a policy\nEach entry of\n.Ic policies\nis a mapping of these keys.\n");
    write_keys(&gateway_policy_schema);
    printf(".Ss Keys of a translation\nEach entry of\n.Ic nat\nis a mapping of these keys.\n");
    write_keys(&gateway_map_schema);
    printf(".Ss Keys of a forwarded port\nEach entry of\n.Ic port_forwards\nis a mapping of these "
           "keys.\n");
    write_keys(&gateway_port_forward_schema);
    printf(".Ss Keys of a route\nEach entry of\n.Ic routes\nis a mapping of these keys.\n");
    write_keys(&gateway_route_schema);
    printf(".Ss Keys of a link of a balance\nEach entry of\n.Ic balance\nis a mapping of these "
           "keys.\n");
    write_keys(&gateway_way_schema);
    printf(".Ss Keys of a name\nEach entry of\n.Ic dns\nis a mapping of these keys.\n");
    write_keys(&gateway_dns_schema);
    printf(".Sh EXAMPLES\n");
    if (write_example(edge_example, "An edge"))
        return 1;
    printf(".Pp\n");
    if (write_example(hub_example, "Its hub"))
        return 1;
    printf(".Sh SEE ALSO\n.Xr mpquic.yaml 5 ,\n.Xr mpquic 8\n");
    return 0;
}

/* ---- mpquic(8) ---- */

static void write_option_synopsis(const struct cli_verb *v)
{
    if (v->subs)
        printf(" Ar verb Op Ar argument ...");
    for (const struct cli_option *o = v->options; o && o->letter; o++) {
        printf("\n.%s", o->required ? "" : "Op ");
        if (o->name)
            printf("Fl -%s", o->name);
        else
            printf("Fl %c", o->letter);
        if (o->arg)
            printf(" Ar %s", o->arg);
    }
    if (*v->args)
        printf(*v->args == '[' ? "\n.Op Ar %.*s" : "\n.Ar %.*s",
               (int)(strlen(v->args) - (*v->args == '[' ? 2 : 0)), v->args + (*v->args == '['));
    printf("\n");
}

static void write_options(const struct cli_verb *v)
{
    if (!v->options || !v->options->letter)
        return;
    printf(".Bl -tag -width Ds\n");
    for (const struct cli_option *o = v->options; o->letter; o++) {
        printf(".It Fl %c", o->letter);
        if (o->name)
            printf(" , Fl -%s", o->name);
        printf("%s%s\n", o->arg ? " Ar " : "", o->arg ? o->arg : "");
        write_text(o->text);
    }
    printf(".El\n");
}

static void write_verb(const struct cli_verb *v)
{
    printf(".Ss mpquic %s\n", v->name);
    write_summary(v->summary);
    printf(".Bd -ragged -offset indent\n.Nm\n.Cm %s", v->name);
    write_option_synopsis(v);
    printf(".Ed\n.Pp\n");
    write_text(v->text);
    write_options(v);
    for (const struct cli_verb *const *sub = v->subs; sub && *sub; sub++)
        write_verb(*sub);
}

static void write_exit_codes(void)
{
    static const struct {
        int number;
        const char *what;
    } codes[] = {
#define X(sym, code, name, meaning) {code, meaning},
        EXIT_CODES(X)
#undef X
    };

    printf(".Sh EXIT STATUS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        printf(".It %d\n", codes[i].number);
        write_summary(codes[i].what);
    }
    printf(".El\n.Pp\n");
    write_text(
        "Codes 1, 2 and 20 to 27 do not go away by trying again: somebody has to change a "
        "file, here or at the other end. The unit mpquic@.service starts the tunnel again all "
        "the same, with growing pauses where systemd has them, so that it comes back once "
        "that is done.");
}

static void write_drops(void)
{
    printf(".Sh DROPPED PACKETS\n");
    write_text(
        "Every packet that a tunnel drops is counted under a reason, in mpquic status and in "
        "the log:");
    printf(".Bl -tag -width Ds\n");
    for (int i = 0; i < DROP_COUNT; i++) {
        printf(".It %s\n", drop_name(i));
        write_summary(drop_meaning(i));
    }
    printf(".El\n");
}

static void write_environment(void)
{
    printf(".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev MPQUIC_AEAD\n");
    write_text("The library with which a tunnel protects its packets: ipsec-mb or gnutls, for "
               "comparisons. Without it the fastest is taken that is built in and works on the "
               "processor; mpquic status tells which.");
    printf(".It Ev MPQUIC_CONF_DIR\n");
    write_text("The directory in which mpquic status looks for configurations of instances that do "
               "not run, in place of /etc/mpquic.");
    printf(".It Ev MPQUIC_PKI_DIR\n");
    write_text("The directory of the certificate authority, in place of /etc/mpquic/pki.");
    printf(".It Ev MPQUIC_RUN_DIR , MPQUIC_STATE_DIR\n");
    write_text(
        "The directories of the control sockets and of the saved time, in place of /run/mpquic "
        "and /var/lib/mpquic. The verbs that ask an instance need the same ones.");
    printf(".It Ev MPQUIC_TRACE\n");
    write_text("An id, at most 64 letters, digits, \"-\", \"_\" and \".\", for what mpquic gateway "
               "run does when it starts, and what apply does, in its log of events: so that a "
               "deployment finds what "
               "followed from it.");
    printf(".El\n");
}

static void write_files(void)
{
    write_text("Configurations, NAME.yaml for the instance NAME; see");
    printf(".Xr mpquic.yaml 5 .\n.It Pa /etc/mpquic/tls/\n");
    write_text("Keys and certificates that mpquic join has written.");
    printf(".It Pa /etc/mpquic/pki/\n");
    write_text("The certificate authority of a hub. Its ca.key is the secret of all.");
    printf(".It Pa /run/mpquic/NAME.sock\n");
    write_text("The control socket of a running instance, for root and the group mpquic.");
    printf(".It Pa /run/mpquic/NAME.last\n");
    write_text("Why an instance that does not run has ended, for mpquic status.");
    printf(".It Pa /var/lib/mpquic/NAME.time\n");
    write_text("The time that an instance knew last, for machines whose clock stops.");
    printf(".It Pa /var/lib/mpquic/NAME.reset\n");
    write_text("A secret of a hub, from which it tells edges that it was restarted.");
    printf(".It Pa /run/mpquic/gateway.lock\n");
    write_text("Held by whoever changes what the gateway has in the kernel.");
    printf(".It Pa /run/mpquic/gateway.health\n");
    write_text("What the gateway that runs knows of its links; counts for a minute.");
    printf(".It Pa /var/lib/mpquic/gateway.settings\n");
    write_text("Settings of the kernel that the gateway has changed, with their former values.");
    printf(".It Pa /var/lib/mpquic/gateway.confirmed , gateway.trial\n");
    write_text("The configuration that the gateway of this machine begins with, and the one that "
               "waits for mpquic gateway confirm.");
    printf(".It Pa /var/lib/mpquic/gateway.foreign\n");
    write_text("What mpquic gateway apply --take-over has taken away from others.");
    printf(".It Pa /var/lib/mpquic/gateway.disabled\n");
    write_text("Links that mpquic gateway disable has taken out of service, and since when.");
    printf(".It Pa /usr/share/doc/mpquic/\n");
    write_text("tutorial.md: from two fresh machines to the first packet. install.md: running "
               "tunnels as services. security.md: what is promised. Examples.");
    printf(".It Pa /dev/net/tun\n");
    write_text("Where TUN interfaces are made.");
}

static int write_page_mpquic(void)
{
    write_head("mpquic", "MPQUIC", "8", "IP tunnels over QUIC");
    printf(".Sh SYNOPSIS\n");
    for (const struct cli_verb *const *v = cli_verbs; *v; v++) {
        printf(".Nm\n.Cm %s", (*v)->name);
        write_option_synopsis(*v);
    }
    printf(".Nm\n.Fl -version\n.Sh DESCRIPTION\n.Nm\n");
    write_text("carries IP packets between an edge and a hub over QUIC, as CONNECT-IP describes. "
               "The first argument is a verb:");
    for (const struct cli_verb *const *v = cli_verbs; *v; v++)
        write_verb(*v);
    printf(".Sh SIGNALS\n.Bl -tag -width Ds\n.It Dv SIGTERM , SIGINT\n");
    write_text("A tunnel closes its connection and exits with status 0.");
    printf(".It Dv SIGHUP\n");
    write_text("A tunnel logs the state of its path and how many packets it dropped, and why, and "
               "reads its configuration anew, as mpquic reload has it do. A gateway reads its "
               "configuration anew.");
    printf(".El\n");
    write_environment();
    printf(".Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/mpquic/\n");
    write_files();
    printf(".El\n");
    write_exit_codes();
    write_drops();
    printf(".Sh EXAMPLES\nA new hub, and on it a bundle for an edge:\n"
           ".Bd -literal -offset indent\n"
           "mpquic init 203.0.113.10 --behind 192.168.77.0/24\n"
           "mpquic pki client edge1 --bundle\n"
           ".Ed\n.Pp\nThe edge, to which the file was brought:\n"
           ".Pp\n.Dl mpquic join edge1.mpquic\n"
           ".Pp\nCheck every configuration of a machine:\n"
           ".Pp\n.Dl mpquic check /etc/mpquic/*.yaml\n"
           ".Sh SEE ALSO\n.Xr mpquic-gateway.yaml 5 ,\n.Xr mpquic.yaml 5\n.Sh STANDARDS\n"
           "RFC 9484, Proxying IP in HTTP;\n"
           "RFC 9221, An Unreliable Datagram Extension to QUIC;\n"
           "RFC 9297, HTTP Datagrams and the Capsule Protocol.\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "mpquic.8"))
        return write_page_mpquic();
    if (argc == 4 && !strcmp(argv[1], "mpquic.yaml.5"))
        return write_page_yaml(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "mpquic-gateway.yaml.5"))
        return write_page_gateway(argv[2], argv[3]);
    fprintf(stderr, "usage: genman mpquic.8 | genman mpquic.yaml.5 CLIENT SERVER |"
                    " genman mpquic-gateway.yaml.5 EDGE HUB\n");
    return 2;
}
