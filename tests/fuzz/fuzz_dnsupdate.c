/* What a name server, or the file of a key, may hold: any bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wan/dnsupdate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t mac[DNSUPDATE_MAC_LEN];
    static struct dnsupdate_key key;
    char *text = malloc(size + 1);
    struct dnsupdate_key got;
    int rv;

    if (!text)
        return 0;
    if (!key.secret_len)
        check(!dnsupdate_key_parse("key a { algorithm hmac-sha256; secret c2VjcmV0; };", &key));
    memcpy(text, data, size);
    text[size] = 0;
    if (!dnsupdate_key_parse(text, &got))
        check(got.secret_len && got.secret_len <= sizeof(got.secret) && got.name.len > 1);
    free(text);
    if (size < 2)
        return 0;
    rv = dnsupdate_read(data, size, (uint16_t)(data[0] << 8 | data[1]), &key, mac, 1700000000);
    check(rv == -EBADMSG || rv == -EKEYREJECTED || (rv > 0 && rv < 16));
    return 0;
}
