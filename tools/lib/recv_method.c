// SPDX-License-Identifier: LGPL-2.1-or-later
/* Decompressing a packet's payload, whatever the library. */
#include "recv_check.h"
#include "recv_method.h"

const struct mfd_recv_method *mfd_recv_method_find(enum mfd_method method)
{
	switch (method) {
	case MFD_METHOD_ZLIB:
		return &mfd_recv_zlib;
	case MFD_METHOD_ZSTD:
		return &mfd_recv_zstd;
	default:
		return NULL;
	}
}

/* Return: 1: something happened, 0: there is no more to come from @in; -EPROTO. */
static int step(const struct mfd_recv_method *method, void *stream, struct iovec *in,
		struct iovec *out, struct mfd_error *err)
{
	size_t in_left = in->iov_len, out_left = out->iov_len;
	bool ended = false;
	const char *why = method->step(stream, in, out, &ended);

	if (why)
		return mfd_recv_reject(err, RECV_DECODE, "%.100s", why);
	if (ended)
		return mfd_recv_reject(err, RECV_DECODE_END, "%zu bytes are left", in->iov_len);
	return in->iov_len != in_left || out->iov_len != out_left;
}

static int fill(const struct mfd_recv_method *method, void *stream, struct iovec *in,
		struct iovec out, struct mfd_error *err)
{
	int ret;

	while (out.iov_len) {
		ret = step(method, stream, in, &out, err);
		if (ret < 0)
			return ret;
		if (!ret)
			return mfd_recv_reject(err, RECV_DECODE_SHORT, "%s", "");
	}
	return 0;
}

/* The marks of a flush may follow the pages, but nothing that becomes a byte. */
static int drain(const struct mfd_recv_method *method, void *stream, struct iovec *in,
		 struct mfd_error *err)
{
	char spare;
	struct iovec out = { .iov_base = &spare, .iov_len = sizeof(spare) };
	int ret;

	do {
		ret = step(method, stream, in, &out, err);
		if (!out.iov_len || (!ret && in->iov_len))
			return mfd_recv_reject(err, RECV_DECODE_LONG, "%s", "");
	} while (ret > 0);
	return ret;
}

int mfd_recv_method_decode(const struct mfd_recv_method *method, void *stream, struct iovec in,
			   const struct iovec *out, int count, struct mfd_error *err)
{
	int i, ret = 0;

	for (i = 0; i < count && !ret; i++)
		ret = fill(method, stream, &in, out[i], err);
	return ret ? ret : drain(method, stream, &in, err);
}
