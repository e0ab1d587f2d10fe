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
#include <sys/mman.h>

#include "recv_channel.h"
#include "recv_check.h"

/* Some C libraries do not have it yet. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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

/* Kernels before 5.14 cannot, nor can memory that is not the kernel's to give. */
static int populate(const struct iovec *run, struct mfd_error *err)
{
	if (run->iov_len && madvise(run->iov_base, run->iov_len, MADV_POPULATE_WRITE) &&
	    errno != EINVAL)
		return mfd_error_set(err, errno, "guest memory cannot be written");
	return 0;
}

/* Make @run longer by @page at either end; a source that swaps zero pages away counts down. */
static bool extend(struct iovec *run, uint8_t *page)
{
	uint8_t *start = run->iov_base;

	if (!run->iov_len || (page != start + run->iov_len && page + MFD_RECV_PAGE != start))
		return false;
	run->iov_base = page < start ? page : start;
	run->iov_len += MFD_RECV_PAGE;
	return true;
}

/*
 * Have memory for normal pages that held nothing so far. If a file system has no
 * room for them, this is told; a decompressor that writes to them gets SIGBUS.
 */
static int populate_normal(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct mfd_recv_header *header = &channel->header;
	struct iovec run = { .iov_len = 0 };
	uint8_t *page;
	int ret = 0;
	uint32_t i;

	for (i = 0; i < header->packet.normal_pages && !ret; i++) {
		page = header->block->memory + header->offset[i];
		if (!mfd_recv_block_touch(header->block, header->offset[i]) ||
		    extend(&run, page))
			continue;
		ret = populate(&run, err);
		run = (struct iovec) { .iov_base = page, .iov_len = MFD_RECV_PAGE };
	}
	return ret ? ret : populate(&run, err);
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

	if (!channel->header.packet.normal_pages)
		return 0;
	if (channel->method)
		return receive_compressed(channel, size, err);
	return read_payload(channel, pages, normal_pages(channel, pages), size, err);
}

static void receive_zero(struct mfd_recv_channel *channel)
{
	struct mfd_recv_header *header = &channel->header;
	uint64_t *offset = header->offset + header->packet.normal_pages;
	uint32_t i, cleared = 0;

	for (i = 0; i < header->packet.zero_pages; i++)
		cleared += mfd_recv_block_clear(header->block, offset[i]);
	channel->cleared += cleared;
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
	if (ret)
		return ret;
	receive_zero(channel);
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
