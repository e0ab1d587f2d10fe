// SPDX-License-Identifier: GPL-2.0-only
/* The ways that bytes get to a socket. */
#define _GNU_SOURCE
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "call.h"
#include "source_cost_tls.h"
#include "source_cost_ways.h"

#define PAGE 4096ul
#define PACKET_PAGES 128ul
#define HEADER_SIZE 1344
#define BUFFER_SIZE (8 * TLS_RECORD_MAX)

static void wait_for(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	if (poll(&poll_fd, 1, -1) < 0)
		err(1, "poll");
}

/* Does more follow at once? As libmfd asks, which looks after the socket as well. */
static bool more_follows(const struct channel *channel)
{
	struct pollfd fds[] = {
		{ .fd = channel->fd, .events = POLLIN },
		{ .fd = channel->socket, .events = POLLRDHUP },
	};

	if (poll(fds, 2, 0) < 0)
		err(1, "poll");
	return (fds[0].revents & (POLLIN | POLLHUP)) == POLLIN;
}

static void empty_pipe(struct channel *channel, size_t left, unsigned int flags)
{
	ssize_t n;

	while (left) {
		n = splice(channel->pipe[0], NULL, channel->socket, NULL, left, flags);
		if (n > 0) {
			left -= n;
			channel->bytes += n;
		} else if (errno == EAGAIN) {
			wait_for(channel->socket, POLLOUT);
		} else {
			err(1, "splice to the socket");
		}
	}
}

static void by_splice(struct channel *channel)
{
	const unsigned int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
	ssize_t n;

	while ((n = splice(channel->fd, NULL, channel->pipe[1], NULL, PIPE_SIZE, flags))) {
		if (n > 0)
			empty_pipe(channel, n, SPLICE_F_MOVE |
				   (more_follows(channel) ? SPLICE_F_MORE : 0));
		else if (errno == EAGAIN)
			wait_for(channel->fd, POLLIN);
		else
			err(1, "splice from the channel");
	}
}

static void by_nothing(struct channel *channel)
{
	const unsigned int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ssize_t n;

	while ((n = splice(channel->fd, NULL, channel->pipe[1], NULL, PIPE_SIZE, flags))) {
		if (n > 0 && splice(channel->pipe[0], NULL, nowhere, NULL, n, SPLICE_F_MOVE) == n)
			channel->bytes += n;
		else if (n < 0 && errno == EAGAIN)
			wait_for(channel->fd, POLLIN);
		else
			err(1, "splice to nowhere");
	}
	close(nowhere);
}

static void by_pump(struct channel *channel)
{
	struct mzp_pump pump = { .size = sizeof(pump), .socket = channel->socket };

	call(channel->fd, MZP_IOC_PUMP, &pump, "PUMP");
	channel->bytes = pump.bytes;
}

/* In records of at most @record. */
static void encrypt(struct channel *channel, const void *data, size_t size, size_t record)
{
	const unsigned char *at = data;
	size_t n;

	for (; size; at += n, size -= n) {
		n = tls_send(channel->tls, at, size < record ? size : record);
		channel->bytes += n;
		channel->records++;
	}
}

static void by_records(struct channel *channel)
{
	unsigned char *buffer = malloc(BUFFER_SIZE);
	ssize_t n;

	if (!buffer)
		err(1, "memory");
	while ((n = read(channel->fd, buffer, BUFFER_SIZE))) {
		if (n > 0)
			encrypt(channel, buffer, n, TLS_RECORD_MAX);
		else if (errno == EAGAIN)
			wait_for(channel->fd, POLLIN);
		else
			err(1, "read from the channel");
	}
	free(buffer);
}

static void packet_from_memory(struct channel *channel, size_t packet)
{
	uint64_t header[HEADER_SIZE / 8] = { 0 }, at = packet * PACKET_PAGES * PAGE;
	size_t pages = (channel->memory->size - at) / PAGE, i;

	if (pages > PACKET_PAGES)
		pages = PACKET_PAGES;
	for (i = 0; i < pages; i++)
		header[HEADER_SIZE / 8 - PACKET_PAGES + i] = htobe64(at + i * PAGE);
	encrypt(channel, header, sizeof(header), sizeof(header));
	encrypt(channel, channel->memory->base + at, pages * PAGE, channel->way->record);
}

static void vmsplice_packet(struct channel *channel, size_t packet)
{
	size_t at = packet * PACKET_PAGES * PAGE, size = channel->memory->size - at;
	char header[HEADER_SIZE] = { 0 };
	struct iovec pages = { .iov_base = channel->memory->base + at };

	if (size > PACKET_PAGES * PAGE)
		size = PACKET_PAGES * PAGE;
	pages.iov_len = size;
	if (write(channel->pipe[1], header, sizeof(header)) != sizeof(header) ||
	    vmsplice(channel->pipe[1], &pages, 1, 0) != (ssize_t)size)
		err(1, "vmsplice");
	empty_pipe(channel, sizeof(header) + size, SPLICE_F_MOVE | SPLICE_F_MORE);
}

static void send_packet(struct channel *channel, size_t packet)
{
	size_t at = packet * PACKET_PAGES * PAGE, size = channel->memory->size - at;
	char header[HEADER_SIZE] = { 0 };
	struct iovec parts[] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = channel->memory->base + at, .iov_len = PACKET_PAGES * PAGE },
	};

	if (size < PACKET_PAGES * PAGE)
		parts[1].iov_len = size;
	size = parts[0].iov_len + parts[1].iov_len;
	/* the socket waits, so it takes all */
	if (writev(channel->socket, parts, 2) != (ssize_t)size)
		err(1, "writev");
	channel->bytes += size;
}

static void each_packet(struct channel *channel,
			void (*send)(struct channel *channel, size_t packet))
{
	size_t packets = (channel->memory->size / PAGE + PACKET_PAGES - 1) / PACKET_PAGES, packet;
	int round;

	for (round = 0; round < channel->rounds; round++)
		for (packet = channel->id; packet < packets; packet += channel->channels)
			send(channel, packet);
}

static void by_memory(struct channel *channel)
{
	each_packet(channel, packet_from_memory);
}

static void by_vmsplice(struct channel *channel)
{
	each_packet(channel, vmsplice_packet);
}

static void by_send(struct channel *channel)
{
	each_packet(channel, send_packet);
}

const struct way ways[WAYS] = {
	{ "splice", .from_channel = by_splice, .nonblock = true },
	{ "pump", .from_channel = by_pump },
	{ "no-workers", .from_channel = by_pump, .setup_flags = MZP_SETUP_NO_WORKERS },
	{ "produce", .from_channel = by_nothing, .nonblock = true, .to_nowhere = true },
	{ "vmsplice", .from_memory = by_vmsplice },
	{ "send", .from_memory = by_send },
	{ "ktls", .from_channel = by_pump, .ktls = true },
	{ "records", .from_channel = by_records, .nonblock = true, .gnutls = true },
	{ "gnutls", .from_memory = by_memory, .record = PAGE, .gnutls = true },
	{ "gnutls-16k", .from_memory = by_memory, .record = TLS_RECORD_MAX, .gnutls = true },
	{ "gnutls-cipher", .encrypt = encrypt_by_gnutls, .record = PAGE },
	{ "gnutls-cipher-16k", .encrypt = encrypt_by_gnutls, .record = TLS_RECORD_MAX },
	{ "kernel-cipher", .encrypt = encrypt_by_kernel, .record = TLS_RECORD_MAX },
};
