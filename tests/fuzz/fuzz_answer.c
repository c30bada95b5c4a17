/* Any bytes as what a target answers to a probe: by DNS, and by HTTP in two pieces. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/dns.h"
#include "wan/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"", "example.com"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct dns_answer answer;
        uint8_t query[DNS_QUERY_MAX];
        size_t query_len;
        uint16_t id;

        if (dns_query_write(names[i], GATEWAY_RECORD_A, 0, query, &query_len))
            abort();
        if (dns_answer_read(data, size, query, query_len, &id, &answer))
            continue;
        if (answer.rcode > 15 || answer.n_addresses * 10 > size || size < query_len)
            abort();
        for (enum gateway_expect e = GATEWAY_EXPECT_ANSWER; e <= GATEWAY_EXPECT_NXDOMAIN; e++)
            if (dns_answer_counts(&answer, e) && e == GATEWAY_EXPECT_ADDRESS && !answer.n_addresses)
                abort();
    }
    for (size_t n = 0; n <= size && n <= HTTP_STATUS_LEN + 1; n++) {
        int status = http_status_read((const char *)data, n);

        if (n < HTTP_STATUS_LEN ? status > 0 : !status || status > 599)
            abort();
    }
    return 0;
}
