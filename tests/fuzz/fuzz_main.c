// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main connection's stream. The first byte: bits 0 and 1 what is known of the
 * source's generation, bit 2 whether its machine type is, bits 3 to 5 how small the
 * pieces are in which it comes, bit 6 whether the VMM takes the state of devices, bit 7
 * whether it has the block b too. Then comes the magic, which is not looked at here but for
 * its first byte: bit 0 whether the source leaves its connection open, bit 1 whether it is
 * said to wait for an acknowledgement.
 */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "feed.h"
#include "recv_main.h"

/* The settings, and the magic. */
#define PREFIX 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Between two of these there is a packet on each channel, so they are not for free. */
static int flush_some(struct mfd_recv_main *in, struct mfd_error *err)
{
	(void)err;
	return in->syncs > 8 ? -ECANCELED : 0;
}

/* A source that asks for ever does not listen for ever. */
static int reply(struct mfd_recv_main *in, const void *data, size_t size, struct mfd_error *err)
{
	static const uint16_t sizes[] = { [2] = 8, [7] = 4 };
	const uint8_t *bytes = data;

	if (!in->return_path || size < 4 || bytes[0] || bytes[1] > 7 || sizes[bytes[1]] != size ||
	    bytes[2] || bytes[3] != size - 4)
		abort();
	return in->position > 4096 ? mfd_error_set(err, EPROTO, "deaf") : 0;
}

static int take(const void *data, size_t size, void *opaque)
{
	const uint8_t *byte = data;
	unsigned int *sum = opaque;

	for (; size; size--)
		*sum += *byte++;
	return *sum > 100000 ? -ENOSPC : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 2, 3, 5, 64, 4095, 4097 };
	static const uint8_t uuid[16];
	struct mfd_recv_main *in;
	struct mfd_recv_blocks blocks;
	struct mfd_compat compat = { .size = sizeof(compat) };
	struct mfd_error err = { .size = sizeof(err) };
	struct feed feed;
	unsigned int sum = 0;
	int ret;

	if (size < PREFIX)
		return -1;
	mfd_compat_version(&compat, (*data & 3) == 1 ? 7 : 10, 0);
	feed_blocks(&blocks, *data & 0x80);
	feed_init(&feed, data + PREFIX, size - PREFIX, pieces[*data >> 3 & 7]);
	in = calloc(1, sizeof(*in));
	if (!in)
		abort();
	in->input = &feed.input;
	in->blocks = &blocks;
	in->machine = *data & 4 ? "none" : NULL;
	in->uuid = uuid;
	in->compat = *data & 3 ? &compat : NULL;
	in->flush = flush_some;
	in->device_state = *data & 0x40 ? take : NULL;
	in->reply = reply;
	feed.open = data[1] & 1;
	in->switchover_ack = data[1] & 2;
	in->opaque = &sum;
	ret = mfd_recv_main_run(in, &err);
	/* it ends at the end of the input, or with a reason */
	if (ret ? !err.text[0] : feed.left || in->begin != in->end || !in->listed ||
	    (in->return_path && feed.stuck))
		abort();
	free(in);
	feed_done(&blocks);
	return 0;
}
