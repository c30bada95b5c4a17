/* AES-128-GCM by Intel's multi-buffer library. Its GCM is a single-buffer routine in every
 * interface (job, burst or direct): it fills the vector registers with blocks of one record. So
 * the direct call is used, which has the least around it. */
#include "aead.h"

#include <errno.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>

struct mb_ctx {
    struct gcm_key_data key; /* wants 64-byte alignment */
    struct gcm_context_data work;
    IMB_MGR *mgr;
};

static void mb_free(void *arg)
{
    struct mb_ctx *ctx = arg;

    if (ctx->mgr != NULL)
        free_mb_mgr(ctx->mgr);
    free(ctx);
}

static void *mb_new(const uint8_t key[static AEAD_KEY_LEN])
{
    struct mb_ctx *ctx = aligned_alloc(64, (sizeof(*ctx) + 63) / 64 * 64);
    IMB_ARCH arch = IMB_ARCH_NONE;

    if (ctx == NULL)
        return NULL;
    ctx->mgr = alloc_mb_mgr(0);
    if (ctx->mgr != NULL)
        init_mb_mgr_auto(ctx->mgr, &arch);
    if (ctx->mgr == NULL || arch == IMB_ARCH_NONE || imb_get_errno(ctx->mgr) != 0) {
        mb_free(ctx);
        return NULL;
    }
    IMB_AES128_GCM_PRE(ctx->mgr, key, &ctx->key);
    return ctx;
}

static int mb_seal(void *arg, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    struct mb_ctx *ctx = arg;

    IMB_AES128_GCM_ENC(ctx->mgr, &ctx->key, &ctx->work, dst, src, len, nonce, aad, aad_len,
                       dst + len, AEAD_TAG_LEN);
    return 0;
}

static int mb_open(void *arg, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    struct mb_ctx *ctx = arg;
    uint8_t tag[AEAD_TAG_LEN];
    uint8_t diff = 0;

    IMB_AES128_GCM_DEC(ctx->mgr, &ctx->key, &ctx->work, dst, src, len, nonce, aad, aad_len, tag,
                       AEAD_TAG_LEN);
    for (size_t i = 0; i < AEAD_TAG_LEN; i++)
        diff |= tag[i] ^ src[len + i];
    return diff == 0 ? 0 : -EBADMSG;
}

const struct aead_backend aead_backend_ipsecmb = {"ipsecmb", mb_new, mb_free, mb_seal, mb_open};
