// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Receiving a channel's packets.
 *
 * Behind a payload comes the next header, or nothing. So one read asks for the
 * payload, straight into guest memory if it is not compressed, and at the same
 * time for the next header: with enough data in the socket a packet is one
 * system call.
 *
 * Sources before 9.0 may put SYNC on a packet with pages, so pages come first and
 * waiting second. (They then send an empty packet for the SYNC.)
 */
#include <errno.h>
#include <stdlib.h>

#include "recv_channel.h"
#include "recv_check.h"

/* The pages, and the next header behind them. */
#define IOV_MAX_PACKET (MZP_WIRE_PAGES + 1)

int mfd_recv_channel_open(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	channel->method = mfd_recv_method_find(channel->rules->method);
	if (!channel->method)
		return 0;
	if (channel->method->open(&channel->stream))
		return mfd_error_errno(err, ENOMEM, "channel %u", channel->id);
	return 0;
}

void mfd_recv_channel_close(struct mfd_recv_channel *channel)
{
	if (channel->stream)
		channel->method->close(channel->stream);
	free(channel->payload);
}

/* Normal pages as pieces of memory; neighbours are one piece. Return: how many. */
static int normal_pages(struct mfd_recv_channel *channel, struct iovec *iov)
{
	struct mfd_recv_header *header = &channel->header;
	uint8_t *page, *end = NULL;
	int count = 0;
	uint32_t i;

	for (i = 0; i < header->packet.normal_pages; i++) {
		mfd_recv_block_touch(header->block, header->offset[i]);
		page = header->block->memory + header->offset[i];
		if (page != end)
			iov[count++] = (struct iovec) { .iov_base = page };
		iov[count - 1].iov_len += MFD_RECV_PAGE;
		end = page + MFD_RECV_PAGE;
	}
	return count;
}

/* A stretch of pages in a block. */
struct run {
	uint64_t offset, size;
};

/* Make @run longer by a page at either end; a source that swaps zero pages away counts down. */
static bool extend(struct run *run, uint64_t offset)
{
	if (!run->size || (offset != run->offset + run->size &&
			   offset + MFD_RECV_PAGE != run->offset))
		return false;
	if (offset < run->offset)
		run->offset = offset;
	run->size += MFD_RECV_PAGE;
	return true;
}

static int populate(struct mfd_recv_channel *channel, const struct run *run,
		    struct mfd_error *err)
{
	return run->size ? mfd_recv_block_populate(channel->header.block, run->offset, run->size,
						   true, err) : 0;
}

/*
 * Have memory for normal pages that were not written so far. Somebody will write to them who
 * does not notice that there is none: a decompressor, or an input by hand.
 */
static int populate_normal(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct mfd_recv_header *header = &channel->header;
	struct run run = { .size = 0 };
	int ret = 0;
	uint32_t i;

	for (i = 0; i < header->packet.normal_pages && !ret; i++) {
		if (!mfd_recv_block_touch(header->block, header->offset[i]) ||
		    extend(&run, header->offset[i]))
			continue;
		ret = populate(channel, &run, err);
		run = (struct run) { .offset = header->offset[i], .size = MFD_RECV_PAGE };
	}
	return ret ? ret : populate(channel, &run, err);
}

/* A read into normal pages has failed: into which? Return: the error. */
static int blame(struct mfd_recv_channel *channel, int error, struct mfd_error *err)
{
	struct mfd_recv_header *header = &channel->header;
	int ret = 0;
	uint32_t i;

	for (i = 0; i < header->packet.normal_pages && !ret; i++)
		ret = mfd_recv_block_populate(header->block, header->offset[i], MFD_RECV_PAGE, true,
					      err);
	return ret ? ret : error;
}

static int truncated(struct mfd_error *err, size_t got, size_t size)
{
	return mfd_recv_reject(err, RECV_PACKET_EOF, "%zu of %zu bytes", got, size);
}

/* Read @need bytes, those of @iov, and as much of the next header as is there. */
static int read_payload(struct mfd_recv_channel *channel, struct iovec *iov, int count,
			size_t need, struct mfd_error *err)
{
	ssize_t n;

	iov[count] = (struct iovec) {
		.iov_base = &channel->wire, .iov_len = sizeof(channel->wire),
	};
	n = mfd_recv_input_fill(channel->input, iov, count + 1, need, err);
	if (n < 0)
		return n;
	if ((size_t)n < need)
		return truncated(err, n, need);
	channel->wire_used = n - need;
	return 0;
}

/* Room for a payload, which mostly is much smaller than it may be. */
static int make_room(struct mfd_recv_channel *channel, size_t size, struct mfd_error *err)
{
	if (size <= channel->payload_room)
		return 0;
	free(channel->payload);
	channel->payload = malloc(size);
	channel->payload_room = channel->payload ? size : 0;
	return channel->payload ? 0 : mfd_error_errno(err, ENOMEM, "a payload");
}

static int receive_compressed(struct mfd_recv_channel *channel, size_t size,
			      struct mfd_error *err)
{
	struct iovec pages[MZP_WIRE_PAGES], payload[2];
	int ret = make_room(channel, size, err);

	if (ret)
		return ret;
	payload[0] = (struct iovec) { .iov_base = channel->payload, .iov_len = size };
	ret = read_payload(channel, payload, 1, size, err);
	/* not sooner: the kernel's zeros had better be in a cache still */
	if (!ret)
		ret = populate_normal(channel, err);
	if (ret)
		return ret;
	payload[0] = (struct iovec) { .iov_base = channel->payload, .iov_len = size };
	return mfd_recv_method_decode(channel->method, channel->stream, payload[0], pages,
				      normal_pages(channel, pages), err);
}

static int receive_normal(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct iovec pages[IOV_MAX_PACKET];
	size_t size = channel->header.packet.payload_size;
	int ret = 0;

	if (!channel->header.packet.normal_pages)
		return 0;
	if (channel->method)
		return receive_compressed(channel, size, err);
	if (channel->input->by_hand)
		ret = populate_normal(channel, err);
	if (!ret)
		ret = read_payload(channel, pages, normal_pages(channel, pages), size, err);
	return ret == -EFAULT ? blame(channel, ret, err) : ret;
}

static int receive_zero(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct mfd_recv_header *header = &channel->header;
	uint64_t *offset = header->offset + header->packet.normal_pages;
	uint32_t i, cleared = 0;
	int ret;

	for (i = 0; i < header->packet.zero_pages; i++) {
		ret = mfd_recv_block_clear(header->block, offset[i], err);
		if (ret < 0)
			return ret;
		cleared += ret;
	}
	channel->cleared += cleared;
	return 0;
}

/* Return: whether there is one; 0: the stream ended, as it may there; an error. */
static int read_header(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	size_t used = channel->wire_used, need = sizeof(channel->wire) - used;
	struct iovec iov = { .iov_base = (char *)&channel->wire + used, .iov_len = need };
	ssize_t n = mfd_recv_input_fill(channel->input, &iov, 1, need, err);

	channel->wire_used = 0;
	if (n < 0)
		return n;
	if (!n && !used)
		return 0;
	if ((size_t)n < need)
		return truncated(err, used + n, sizeof(channel->wire));
	return 1;
}

static int receive_packet(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct mfd_recv_packet *packet = &channel->header.packet;
	int ret = mfd_recv_header_parse(&channel->header, &channel->wire, channel->rules, err);

	if (!ret) {
		if (packet->normal_pages || packet->zero_pages)
			channel->unsynced = true;
		ret = receive_normal(channel, err);
	}
	if (!ret)
		ret = receive_zero(channel, err);
	if (ret)
		return ret;
	channel->parsed = channel->input->bytes - channel->wire_used;
	channel->normal += packet->normal_pages;
	channel->zero += packet->zero_pages;
	packet->channel = channel->id;
	if (channel->packet)
		channel->packet(packet, channel->opaque);
	if (!(packet->flags & MZP_WIRE_SYNC))
		return 0;
	channel->syncs++;
	channel->unsynced = false;
	return channel->sync(channel, err);
}

bool mfd_recv_channel_settled(const struct mfd_recv_channel *channel)
{
	return channel->parsed == channel->input->bytes && !channel->unsynced;
}

int mfd_recv_channel_run(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	int ret;

	while ((ret = read_header(channel, err)) > 0) {
		ret = receive_packet(channel, err);
		if (ret)
			break;
		channel->packets++;
	}
	if (!ret)
		return 0;
	mfd_error_prefix(err, "channel %u, packet %llu", channel->id,
			 (unsigned long long)channel->packets + 1);
	mfd_error_channel(err, channel->id);
	return ret;
}
