// SPDX-License-Identifier: GPL-2.0-only
/*
 * What encryption costs in the kernel, by itself: full TLS 1.3 records of AES-128-GCM, given to
 * the kernel's cipher as its TLS gives them, and forgotten.
 *
 * Whoever writes a number to /sys/module/source_cost_cipher/parameters/records encrypts so many,
 * in his own time. A record is made of pieces as the stream of a channel has them: the end of a
 * page, whole ones, and a part of one. It goes to pages of its own, behind a record's head.
 */
#include <crypto/aead.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#define HEAD 5
#define DATA 16384
#define TAG 16
#define FIRST 1344
#define PAGES 5
#define OUT_ORDER 3

/* Scatterlists cannot have a module's variables in them. */
struct record {
	u8 head[HEAD], type, nonce[12];
	struct scatterlist from[PAGES + 2], to[2];
};

static struct crypto_aead *cipher;
static struct aead_request *request;
static struct page *in[PAGES], *out;
static struct record *record;

static void record_set(void)
{
	unsigned int i, size, left = DATA;

	record->type = 23;
	sg_init_table(record->from, ARRAY_SIZE(record->from));
	sg_set_buf(&record->from[0], record->head, HEAD);
	for (i = 0; i < PAGES; i++) {
		size = i ? min_t(unsigned int, left, PAGE_SIZE) : FIRST;
		sg_set_page(&record->from[i + 1], in[i], size, i ? 0 : PAGE_SIZE - FIRST);
		left -= size;
	}
	sg_set_buf(&record->from[PAGES + 1], &record->type, 1);
	sg_init_table(record->to, ARRAY_SIZE(record->to));
	sg_set_buf(&record->to[0], record->head, HEAD);
	sg_set_page(&record->to[1], out, DATA + 1 + TAG, HEAD);
}

static int records_encrypt(const char *val, const struct kernel_param *param)
{
	DECLARE_CRYPTO_WAIT(wait);
	u64 i, nr;
	int ret = kstrtou64(val, 0, &nr);

	for (i = 0; !ret && i < nr; i++) {
		memcpy(record->nonce, &i, sizeof(i));
		aead_request_set_tfm(request, cipher);
		aead_request_set_callback(request, CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done,
					  &wait);
		aead_request_set_ad(request, HEAD);
		aead_request_set_crypt(request, record->from, record->to, DATA + 1,
				       record->nonce);
		ret = crypto_wait_req(crypto_aead_encrypt(request), &wait);
		cond_resched();
	}
	return ret;
}

static const struct kernel_param_ops records_ops = { .set = records_encrypt };

module_param_cb(records, &records_ops, NULL, 0200);

static void cipher_free(void)
{
	unsigned int i;

	if (out)
		__free_pages(out, OUT_ORDER);
	for (i = 0; i < PAGES; i++)
		if (in[i])
			__free_page(in[i]);
	kfree(record);
	aead_request_free(request);
	crypto_free_aead(cipher);
}

static int cipher_init(void)
{
	static const u8 key[16] = "0123456789abcde";
	unsigned int i;
	int ret;

	cipher = crypto_alloc_aead("gcm(aes)", 0, 0);
	if (IS_ERR(cipher))
		return PTR_ERR(cipher);
	pr_info("%s\n", crypto_tfm_alg_driver_name(crypto_aead_tfm(cipher)));
	ret = crypto_aead_setkey(cipher, key, sizeof(key)) ?:
	      crypto_aead_setauthsize(cipher, TAG);
	if (ret)
		goto free;
	ret = -ENOMEM;
	request = aead_request_alloc(cipher, GFP_KERNEL);
	record = kzalloc(sizeof(*record), GFP_KERNEL);
	out = alloc_pages(GFP_KERNEL | __GFP_COMP, OUT_ORDER);
	if (!request || !record || !out)
		goto free;
	for (i = 0; i < PAGES; i++) {
		in[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!in[i])
			goto free;
	}
	record_set();
	return 0;
free:
	cipher_free();
	return ret;
}

module_init(cipher_init);
module_exit(cipher_free);
MODULE_DESCRIPTION("What encryption costs in the kernel");
MODULE_LICENSE("GPL");
