#include "wan/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* RFC 9110 7.2: a port of its own belongs to it, and an IPv6 address is in brackets. */
static void write_host(const struct gateway_probe *conf, const struct ip_addr *target, char *buf,
                       size_t size)
{
    bool usual = conf->port == (conf->type == GATEWAY_PROBE_HTTPS ? 443 : 80);
    char text[IP_ADDR_STR_MAX], port[8] = "";
    const char *host = *conf->host ? conf->host : ip_addr_str(target, text);
    bool six = strchr(host, ':') != NULL;

    if (!usual)
        snprintf(port, sizeof(port), ":%u", conf->port);
    snprintf(buf, size, "%s%s%s%s", six ? "[" : "", host, six ? "]" : "", port);
}

size_t http_request_write(const struct gateway_probe *conf, const struct ip_addr *target,
                          char buf[static HTTP_REQUEST_MAX])
{
    char host[CONFIG_HOST_MAX + 16];
    int n;

    write_host(conf, target, host, sizeof(host));
    n = snprintf(buf, HTTP_REQUEST_MAX,
                 "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mpquic\r\nAccept: */*\r\n"
                 "Connection: close\r\n\r\n",
                 conf->method == GATEWAY_METHOD_GET ? "GET" : "HEAD", conf->path, host);
    return (size_t)MIN(n, HTTP_REQUEST_MAX - 1);
}

int http_status_read(const char *data, size_t len)
{
    /* HTTP/1.1 200, where d is a digit */
    static const char form[] = "HTTP/1.d ddd";
    int status = 0;

    for (size_t i = 0; i < MIN(len, (size_t)HTTP_STATUS_LEN); i++) {
        bool digit = data[i] >= '0' && data[i] <= '9';

        if (form[i] == 'd' ? !digit : data[i] != form[i])
            return -EINVAL;
        if (i > 8)
            status = status * 10 + (data[i] - '0');
    }
    if (len < HTTP_STATUS_LEN)
        return 0;
    return status >= 100 && status <= 599 ? status : -EINVAL;
}
