// SPDX-License-Identifier: GPL-2.0-only
/* What both fuzz targets need: an input, and blocks. */
#include <stdlib.h>
#include <string.h>

#include "feed.h"

static ssize_t read_feed(struct mfd_recv_input *input, const struct iovec *iov, int count,
			 struct mfd_error *err)
{
	struct feed *feed = (struct feed *)input;
	size_t allowed = feed->piece, part, got = 0;
	int i;

	(void)err;
	feed->stuck |= feed->open && !feed->left;
	for (i = 0; i < count && allowed && feed->left; i++) {
		part = iov[i].iov_len;
		if (part > allowed)
			part = allowed;
		if (part > feed->left)
			part = feed->left;
		memcpy(iov[i].iov_base, feed->data, part);
		feed->data += part;
		feed->left -= part;
		allowed -= part;
		got += part;
	}
	return got;
}

static bool ready(struct mfd_recv_input *input)
{
	const struct feed *feed = (struct feed *)input;

	return feed->left || !feed->open;
}

void feed_init(struct feed *feed, const uint8_t *data, size_t size, size_t piece)
{
	*feed = (struct feed) {
		.input = { .read = read_feed, .ready = ready },
		.data = data, .left = size, .piece = piece,
	};
}

static void *pages(unsigned int nr)
{
	void *memory = aligned_alloc(MFD_RECV_PAGE, nr * MFD_RECV_PAGE);

	if (!memory)
		abort();
	return memory;
}

void feed_blocks(struct mfd_recv_blocks *blocks, bool two)
{
	static void *ram0, *b;

	if (!ram0) {
		ram0 = pages(4);
		b = pages(1);
	}
	memset(ram0, 0, 4 * MFD_RECV_PAGE);
	memset(b, 0xda, MFD_RECV_PAGE);
	*blocks = (struct mfd_recv_blocks) { 0 };
	if (mfd_recv_blocks_add(blocks, "ram0", ram0, 4 * MFD_RECV_PAGE, true, NULL))
		abort();
	if (two && mfd_recv_blocks_add(blocks, "b", b, MFD_RECV_PAGE, false, NULL))
		abort();
}

void feed_done(struct mfd_recv_blocks *blocks)
{
	mfd_recv_blocks_free(blocks);
}
