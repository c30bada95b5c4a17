/* Intel's multi-buffer library, by its direct calls: its AES-GCM fills the vector registers with
 * the blocks of one packet, so collecting packets would bring nothing.
 *
 * The mask is one block of AES, for which not every release has a call: it is done here with the
 * processor's instructions and the library's key schedule. Masks of ChaCha20 are left to GnuTLS. */
#include "quic/aead.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wmmintrin.h>

#include <intel-ipsec-mb.h>

#include "base/util.h"

enum { ROUND_KEYS_MAX = 15 };

/* What every key begins with. Thousands of idle connections have some keys each, so there is a type
 * for each kind. */
struct mb_key {
    struct aead_key head;
    enum aead_alg alg;
    size_t size; /* of the whole */
};

struct mb_gcm {
    struct mb_key base;
    _Alignas(64) struct gcm_key_data key; /* the type itself is aligned on some systems only */
    struct gcm_context_data work;
};

struct mb_chacha {
    struct mb_key base;
    uint8_t key[AEAD_KEY_BYTES_MAX];
    struct chacha20_poly1305_context_data work;
};

struct mb_mask {
    struct mb_key base;
    __m128i round_keys[ROUND_KEYS_MAX];
};

/* The library's table of functions for this processor: made once, kept as long as the process. */
static IMB_MGR *mgr;

static IMB_MGR *mgr_new(void)
{
    IMB_MGR *m = alloc_mb_mgr(0);

    if (!m)
        return NULL;
    init_mb_mgr_auto(m, NULL);
    if (imb_get_errno(m)) {
        free_mb_mgr(m);
        return NULL;
    }
    return m;
}

static bool has(uint64_t features)
{
    return (mgr->features & features) == features;
}

/* The sets of features by which the library itself chooses its fast AES-GCM. Both hold VAES,
 * VPCLMULQDQ, GFNI and SHA; the one for registers of 512 bits AVX-512 F, DQ, CD, BW, VL and IFMA
 * too. For registers of 256 bits there is one since release 1.5. */
static const char *mb_unusable(void)
{
    if (!mgr)
        mgr = mgr_new();
    if (!mgr)
        return "the library does not start";
    if (has(IMB_CPUFLAGS_AVX512_T2))
        return NULL;
    if (!has(IMB_CPUFLAGS_AVX2_T2))
        return "the processor lacks VAES";
    if (imb_get_version() < IMB_VERSION(1, 5, 0))
        return "the processor lacks AVX-512, without which only newer releases of the library "
               "are fast";
    return NULL;
}

static void mb_free(struct aead_key *key)
{
    struct mb_key *k = container_of(key, struct mb_key, head);

    explicit_bzero(k, k->size);
    free(k);
}

static void *mb_alloc(enum aead_alg alg, size_t size)
{
    void *p;
    struct mb_key *k;

    if (posix_memalign(&p, _Alignof(struct mb_gcm), size))
        return NULL;
    memset(p, 0, size);
    k = p;
    *k = (struct mb_key){.head.backend = &aead_ipsecmb, .alg = alg, .size = size};
    return p;
}

static struct aead_key *mb_key_new(enum aead_alg alg, const uint8_t *key)
{
    struct mb_chacha *chacha;
    struct mb_gcm *gcm;

    if (alg == AEAD_CHACHA20_POLY1305) {
        chacha = mb_alloc(alg, sizeof(*chacha));
        if (!chacha)
            return NULL;
        memcpy(chacha->key, key, sizeof(chacha->key));
        return &chacha->base.head;
    }
    gcm = mb_alloc(alg, sizeof(*gcm));
    if (!gcm)
        return NULL;
    if (alg == AEAD_AES_128_GCM)
        IMB_AES128_GCM_PRE(mgr, key, &gcm->key);
    else
        IMB_AES256_GCM_PRE(mgr, key, &gcm->key);
    return &gcm->base.head;
}

static struct aead_key *mb_mask_new(enum aead_alg alg, const uint8_t *key)
{
    __m128i decrypt[ROUND_KEYS_MAX];
    struct mb_mask *m;

    if (alg == AEAD_CHACHA20_POLY1305)
        return aead_gnutls.mask_new(alg, key);
    m = mb_alloc(alg, sizeof(*m));
    if (!m)
        return NULL;
    if (alg == AEAD_AES_128_GCM)
        IMB_AES_KEYEXP_128(mgr, key, m->round_keys, decrypt);
    else
        IMB_AES_KEYEXP_256(mgr, key, m->round_keys, decrypt);
    explicit_bzero(decrypt, sizeof(decrypt));
    return &m->base.head;
}

static void chacha_seal(struct mb_chacha *k, const uint8_t *nonce, const uint8_t *aad,
                        size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst)
{
    IMB_CHACHA20_POLY1305_INIT(mgr, k->key, &k->work, nonce, aad, aad_len);
    IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, k->key, &k->work, dst, src, len);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &k->work, dst + len, AEAD_TAG_BYTES);
}

static void chacha_open(struct mb_chacha *k, const uint8_t *nonce, const uint8_t *aad,
                        size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t *tag)
{
    IMB_CHACHA20_POLY1305_INIT(mgr, k->key, &k->work, nonce, aad, aad_len);
    IMB_CHACHA20_POLY1305_DEC_UPDATE(mgr, k->key, &k->work, dst, src, len);
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(mgr, &k->work, tag, AEAD_TAG_BYTES);
}

static int mb_seal(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    struct mb_key *k = container_of(key, struct mb_key, head);
    struct mb_gcm *gcm = container_of(k, struct mb_gcm, base);

    if (k->alg == AEAD_AES_128_GCM)
        IMB_AES128_GCM_ENC(mgr, &gcm->key, &gcm->work, dst, src, len, nonce, aad, aad_len,
                           dst + len, AEAD_TAG_BYTES);
    else if (k->alg == AEAD_AES_256_GCM)
        IMB_AES256_GCM_ENC(mgr, &gcm->key, &gcm->work, dst, src, len, nonce, aad, aad_len,
                           dst + len, AEAD_TAG_BYTES);
    else
        chacha_seal(container_of(k, struct mb_chacha, base), nonce, aad, aad_len, src, len, dst);
    return 0;
}

static int mb_open(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    struct mb_key *k = container_of(key, struct mb_key, head);
    struct mb_gcm *gcm = container_of(k, struct mb_gcm, base);
    uint8_t tag[AEAD_TAG_BYTES], diff = 0;

    if (len < AEAD_TAG_BYTES)
        return -EBADMSG;
    len -= AEAD_TAG_BYTES;
    if (k->alg == AEAD_AES_128_GCM)
        IMB_AES128_GCM_DEC(mgr, &gcm->key, &gcm->work, dst, src, len, nonce, aad, aad_len, tag,
                           AEAD_TAG_BYTES);
    else if (k->alg == AEAD_AES_256_GCM)
        IMB_AES256_GCM_DEC(mgr, &gcm->key, &gcm->work, dst, src, len, nonce, aad, aad_len, tag,
                           AEAD_TAG_BYTES);
    else
        chacha_open(container_of(k, struct mb_chacha, base), nonce, aad, aad_len, src, len, dst,
                    tag);
    for (size_t i = 0; i < AEAD_TAG_BYTES; i++) /* all of them: the time must tell nothing */
        diff |= tag[i] ^ src[len + i];
    return diff ? -EBADMSG : 0;
}

__attribute__((target("aes"))) static int mb_mask(struct aead_key *key, const uint8_t *sample,
                                                  uint8_t *ret)
{
    const struct mb_key *k = container_of(key, struct mb_key, head);
    const struct mb_mask *m = container_of(k, struct mb_mask, base);
    unsigned rounds = k->alg == AEAD_AES_128_GCM ? 10 : 14;
    __m128i block = _mm_loadu_si128((const __m128i_u *)sample);

    block = _mm_xor_si128(block, m->round_keys[0]);
    for (unsigned i = 1; i < rounds; i++)
        block = _mm_aesenc_si128(block, m->round_keys[i]);
    block = _mm_aesenclast_si128(block, m->round_keys[rounds]);
    _mm_storeu_si128((__m128i_u *)ret, block);
    return 0;
}

const struct aead_backend aead_ipsecmb = {
    .name = "ipsec-mb",
    .code = (const void *)init_mb_mgr_auto,
    .unusable = mb_unusable,
    .key_new = mb_key_new,
    .mask_new = mb_mask_new,
    .free = mb_free,
    .seal = mb_seal,
    .open = mb_open,
    .mask = mb_mask,
};
