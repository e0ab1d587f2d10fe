// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's stream. The first byte: bits 0 and 1 the method, bit 2 whether stale
 * sizes are refused, bits 3 to 5 how small the pieces are in which it comes, bit 7
 * whether it begins with the channel's first message.
 */
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "recv_channel.h"
#include "recv_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A source that sends SYNC for ever is stopped by who waits for it. */
static int sync_some(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	(void)err;
	return channel->syncs > 8 ? -1 : 0;
}

/* Return: the bytes of the first message, or 0 if it is refused. */
static size_t say_hello(const uint8_t *data, size_t size)
{
	struct mfd_recv_params params = { .size = sizeof(params), .channels = 2 };
	struct mfd_recv_hello hello = { .used = 0 };
	enum mfd_recv_kind kind;
	unsigned int id = 0;
	int need;

	while ((need = mfd_recv_hello_parse(&hello, &params, &kind, &id, NULL)) > 0) {
		if (hello.used + need > sizeof(hello.bytes))
			abort();
		if (size < hello.used + need)
			return 0;
		memcpy(hello.bytes + hello.used, data + hello.used, need);
		hello.used += need;
	}
	if (!need && kind == MFD_RECV_CHANNEL && id >= params.channels)
		abort();
	return need || kind == MFD_RECV_MAIN ? 0 : hello.used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 3, 64, 1343, 1345, 4096, 5000 };
	struct mfd_recv_channel channel = { .sync = sync_some };
	struct mfd_recv_blocks blocks;
	struct mfd_recv_rules rules = { .blocks = &blocks };
	struct mfd_error err = { .size = sizeof(err) };
	struct feed feed;
	size_t hello = 0;
	int ret;

	if (!size || (*data & 3) == 3)
		return -1;
	rules.method = *data & 3;
	rules.no_stale_size = *data & 4;
	if (*data & 0x80) {
		hello = say_hello(data + 1, size - 1);
		if (!hello)
			return 0;
	}
	feed_blocks(&blocks, true);
	feed_init(&feed, data + 1 + hello, size - 1 - hello, pieces[*data >> 3 & 7]);
	channel.input = &feed.input;
	channel.rules = &rules;
	if (mfd_recv_channel_open(&channel, NULL))
		abort();
	ret = mfd_recv_channel_run(&channel, &err);
	/* it ends at the end of the input or with a reason */
	if (ret ? !err.text[0] && channel.syncs <= 8 : feed.left)
		abort();
	mfd_recv_channel_close(&channel);
	feed_done(&blocks);
	return 0;
}
