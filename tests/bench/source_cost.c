// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs the source's CPUs to bring memory to sockets: the module, driven by its
 * ioctls, or this program without it, sends pages that all have data over TCP to a receiver
 * in the same machine that throws everything away.
 *
 * Usage: source_cost [--memory KIND,…] [--ways WAY,…] [--channels N,…] [--mib N]
 *		[--rounds N] [--known] [--late]
 *
 * A WAY is how packets get out of a channel, in a thread for each:
 *   splice      splice(2) to a pipe, and from there to the socket
 *   pump        one PUMP until the stream ends
 *   no-workers  the same in a session of which workers do nothing
 *   produce     splice(2) to a pipe, and from there to nowhere: the packets are made, no more
 *   ktls        as pump, and the kernel encrypts
 *   records     read(2) to a buffer, which GnuTLS encrypts, as libmfd does it
 * or how pages get there without the module, packets of them by turns from each thread:
 *   vmsplice    vmsplice(2) to a pipe, and from there to the socket: as little as can be done
 *   send        writev(2) of a header and its pages: what QEMU does, but for the search for zeros
 *   gnutls      each page a record of GnuTLS's, and so each packet's header, as QEMU does it
 *   gnutls-16k  full records
 * or what of it is encryption, once and not for each number of channels, with nothing sent:
 *   gnutls-cipher, gnutls-cipher-16k, kernel-cipher
 *
 * A KIND of memory, of which all pages have data:
 *   anonymous   in small pages (the default)
 *   huge        the same in transparent huge pages
 *   memfd       a memfd, which the module is given by its address
 *   file        a memfd, which the module is given as a file
 *   hugetlb     a memfd in huge pages of 2 MiB, by address
 *
 * Prints a line of JSON for each kind, number of
 * channels and way: the CPU time of this process's threads and of the module's, of
 * the receiver and of ksoftirqd, and how long it took, ns; in all of the machine, how
 * often tasks were switched and how many TCP segments were sent; and how many packets
 * there were, and how many of them readers made. A round comes before each and is
 * not counted. With --known, ways that the module does not know are left out. With --late, how
 * late timers were meanwhile, as tests/bench/latency.c has it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "call.h"
#include "receiver.h"
#include "source_cost_amounts.h"
#include "source_cost_late.h"
#include "source_cost_memory.h"
#include "source_cost_tls.h"
#include "source_cost_ways.h"

#define PAGE 4096ul
#define PACKET_SIZE (128 * PAGE)
#define MAX_CHANNELS 64

static struct memory memory;
static bool watch_timers;
/* that the receiver takes in one call, at most */
static size_t at_once = 1 << 22;

static void print(const struct way *way, int channels, uint64_t bytes, const struct amounts *a,
		  const struct amounts *b, const char *late)
{
	printf("{\"kind\": \"source\", \"memory\": \"%s\", \"way\": \"%s\", \"channels\": %d"
	       ", \"bytes\": %" PRIu64, memory.kind->name, way->name, channels, bytes);
#define FIGURE(name) printf(", \"" #name "\": %" PRIu64, b->name - a->name)
	FIGURE(threads);
	FIGURE(workers);
	FIGURE(softirq);
	FIGURE(receiver);
	FIGURE(wall);
	FIGURE(switches);
	FIGURE(segments);
	FIGURE(packets);
	FIGURE(reader_packets);
	FIGURE(records);
#undef FIGURE
	if (late)
		printf(", \"late\": %s", late);
	printf("}\n");
	fflush(stdout);
}

/* --- a channel and its thread */

static void *send_all(void *arg)
{
	struct channel *channel = arg;
	const struct way *way = channel->way;

	(way->from_channel ?: way->from_memory)(channel);
	return NULL;
}

static int channel_get(int dev, int id, const struct way *way)
{
	struct mzp_channel_get get = {
		.size = sizeof(get),
		.flags = way->nonblock ? MZP_CHANNEL_NONBLOCK : 0,
		.channel = id,
	};

	call(dev, MZP_IOC_CHANNEL, &get, "CHANNEL");
	return get.fd;
}

/* @channel: with what it is to know of itself */
static void channel_open(struct channel *channel, int dev, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct way *way = channel->way;
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	channel->fd = way->from_channel ? channel_get(dev, channel->id, way) : -1;
	channel->socket = socket(AF_INET, SOCK_STREAM, 0);
	if (channel->socket < 0 ||
	    setsockopt(channel->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(channel->socket, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) ||
	    connect(channel->socket, (const struct sockaddr *)&to, sizeof(to)) ||
	    /* QEMU's channels wait in the socket */
	    (way->from_channel && fcntl(channel->socket, F_SETFL, O_NONBLOCK)) ||
	    pipe(channel->pipe) || fcntl(channel->pipe[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
		err(1, "a channel's socket or pipe");
	if (way->ktls)
		ktls_start(channel->socket);
	if (way->gnutls)
		channel->tls = tls_open(channel->socket);
}

static void channel_start(struct channel *channel)
{
	errno = pthread_create(&channel->thread, NULL, send_all, channel);
	if (errno)
		err(1, "thread");
}

/* A counter of the module's. One that it does not have counts as 0. */
static uint64_t channel_counter(const struct channel *channel, const char *name)
{
	char path[64], line[128];
	uint64_t value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", channel->fd);
	file = fopen(path, "r");
	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			value = strtoull(line + strlen(name) + 1, NULL, 10);
	fclose(file);
	return value;
}

static void channel_end(struct channel *channel)
{
	pthread_join(channel->thread, NULL);
	if (channel->way->ktls)
		channel->records = ktls_records(channel->socket);
	shutdown(channel->socket, SHUT_WR);
}

static void channel_close(struct channel *channel)
{
	if (channel->tls)
		tls_close(channel->tls);
	if (channel->fd >= 0)
		close(channel->fd);
	close(channel->socket);
	close(channel->pipe[0]);
	close(channel->pipe[1]);
}

/* --- a session */

/* Return: the device, or -1 if the module has no such sessions. */
static int session_open(const struct way *way, int channels)
{
	struct mzp_setup setup = {
		.size = sizeof(setup),
		.flags = way->setup_flags,
		.channels = channels,
		.detection = MZP_DETECTION_MULTIFD,
	};
	int dev = open("/dev/multifd_zp", O_RDWR | O_CLOEXEC);

	if (dev < 0)
		err(1, "/dev/multifd_zp");
	if (!ioctl(dev, MZP_IOC_SETUP, &setup))
		return dev;
	/* an older module has other words for it */
	if (errno != EINVAL && errno != EOPNOTSUPP)
		err(1, "SETUP");
	close(dev);
	return -1;
}

static bool knows(const struct way *way)
{
	struct mzp_pump pump = { .size = sizeof(pump), .socket = -1 };
	int dev, fd;
	bool known;

	if (!way->from_channel)
		return true;
	dev = session_open(way, 1);
	if (dev < 0)
		return false;
	fd = channel_get(dev, 0, way);
	/* ways that do not wait themselves are PUMP's */
	known = way->nonblock || !ioctl(fd, MZP_IOC_PUMP, &pump) || errno == EBADF;
	close(fd);
	close(dev);
	return known;
}

static uint32_t block_add(int dev)
{
	struct mzp_block_add add = {
		.size = sizeof(add),
		.idstr = (uintptr_t)"ram0",
		.idstr_len = 4,
		.length = memory.size,
		.addr = (uintptr_t)memory.base,
	};

	if (memory.kind->by_fd) {
		add.flags = MZP_BLOCK_FD;
		add.addr = 0;
		add.fd = memory.fd;
	}
	call(dev, MZP_IOC_BLOCK_ADD, &add, "BLOCK_ADD");
	return add.block_id;
}

static void send_round(int dev, uint32_t block)
{
	struct mzp_send send = {
		.size = sizeof(send),
		.block_id = block,
		.format = MZP_SEND_ALL,
		.page_count = memory.size / PAGE,
	};
	struct mzp_sync sync = { .size = sizeof(sync) };
	struct mzp_wait wait = { .size = sizeof(wait), .timeout_ns = -1 };

	call(dev, MZP_IOC_SEND, &send, "SEND");
	call(dev, MZP_IOC_SYNC, &sync, "SYNC");
	call(dev, MZP_IOC_WAIT, &wait, "WAIT");
	if (wait.error)
		errx(1, "a job failed: %s", strerror(wait.error));
	if (wait.normal != memory.size / PAGE)
		errx(1, "of %lu pages %" PRIu64 " were normal", memory.size / PAGE,
		     (uint64_t)wait.normal);
}

static void stream_end(int dev)
{
	struct mzp_end end = { .size = sizeof(end) };

	/* an older module takes the device's close for it */
	if (ioctl(dev, MZP_IOC_END, &end) && errno != ENOTTY)
		err(1, "END");
}

static void send_rounds(int dev, uint32_t block, int rounds)
{
	while (rounds--)
		send_round(dev, block);
	stream_end(dev);
	close(dev);
}

/* All of the @rounds were sent, and all that was sent has arrived. */
static void check_bytes(const struct way *way, const struct channel *channel, int channels,
			int rounds, uint64_t received)
{
	uint64_t data = 0, sent = 0;
	int i;

	for (i = 0; i < channels; i++) {
		data += channel[i].bytes;
		sent += channel[i].bytes + channel[i].records * TLS_RECORD_EXTRA;
		if (channel[i].tls && tls_bytes(channel[i].tls) !=
		    channel[i].bytes + channel[i].records * TLS_RECORD_EXTRA)
			errx(1, "%s: GnuTLS's records are not as they should be", way->name);
	}
	if (way->to_nowhere)
		sent = 0;
	if (received != sent || data < (uint64_t)rounds * memory.size)
		errx(1, "%s, %d channels: %" PRIu64 " bytes of %" PRIu64 " arrived", way->name,
		     channels, received, sent);
}

static void measure_sending(const struct way *way, int channels, int rounds, bool count)
{
	struct channel channel[MAX_CHANNELS];
	struct amounts before, after;
	const char *late = NULL;
	struct receiver receiver;
	uint32_t block = 0;
	uint64_t received;
	int dev = -1, i;

	receiver_start(&receiver, channels, at_once);
	if (way->from_channel) {
		dev = session_open(way, channels);
		block = block_add(dev);
	}
	for (i = 0; i < channels; i++) {
		channel[i] = (struct channel) {
			.way = way, .memory = &memory,
			.id = i, .channels = channels, .rounds = rounds,
		};
		channel_open(&channel[i], dev, receiver.port);
	}
	if (watch_timers)
		late_begin();
	before = amounts_now(receiver.sink.pid);
	for (i = 0; i < channels; i++)
		channel_start(&channel[i]);
	if (way->from_channel)
		send_rounds(dev, block, rounds);
	for (i = 0; i < channels; i++)
		channel_end(&channel[i]);
	received = receiver_bytes(&receiver);
	after = amounts_now(receiver.sink.pid);
	if (watch_timers)
		late = late_end();
	check_bytes(way, channel, channels, rounds, received);
	for (i = 0; i < channels; i++) {
		after.records += channel[i].records;
		if (way->from_channel) {
			after.packets += channel_counter(&channel[i], "mzp-packets");
			after.reader_packets += channel_counter(&channel[i],
								"mzp-reader-packets");
		}
		channel_close(&channel[i]);
	}
	receiver_end(&receiver);
	if (count)
		print(way, channels, (uint64_t)rounds * memory.size, &before, &after, late);
}

static void measure(const struct way *way, int channels, int rounds, bool count)
{
	const uint64_t bytes = (uint64_t)rounds * memory.size;
	struct amounts before, after;

	if (!way->encrypt) {
		measure_sending(way, channels, rounds, count);
		return;
	}
	before = amounts_now(0);
	way->encrypt(bytes, way->record);
	after = amounts_now(0);
	after.records = bytes / way->record;
	if (count)
		print(way, channels, bytes, &before, &after, NULL);
}

/* Encryption by itself is the same for each number of channels. */
static void measure_once(const struct way *way, int channels, int rounds, bool first)
{
	if (way->encrypt && !first)
		return;
	measure(way, channels, 1, false);
	measure(way, channels, rounds, true);
}

/* --- */

/* The @ways named in @list, all or those that the module knows. Return: how many. */
static int choose_ways(char *list, bool known, const struct way **chosen)
{
	char *name, *rest = list;
	int nr = 0;
	size_t i;

	while ((name = strsep(&rest, ","))) {
		for (i = 0; i < WAYS && strcmp(name, ways[i].name); i++)
			;
		if (i == WAYS || nr == WAYS)
			errx(2, "unknown way %s", name);
		if (!known || knows(&ways[i]))
			chosen[nr++] = &ways[i];
	}
	return nr;
}

/* The @chosen kinds of memory in @list. Return: how many. */
static int choose_kinds(char *list, const struct memory_kind **chosen)
{
	char *name, *rest = list;
	int nr = 0;

	while ((name = strsep(&rest, ","))) {
		if (nr == MEMORY_KINDS)
			errx(2, "so many kinds of memory there are not");
		chosen[nr++] = memory_kind(name);
	}
	return nr;
}

/* The @numbers in @list. Return: how many. */
static int choose_numbers(char *list, int *numbers)
{
	char *number, *rest = list;
	int nr = 0;

	while ((number = strsep(&rest, ","))) {
		if (nr == MAX_CHANNELS || atoi(number) < 1 || atoi(number) > MAX_CHANNELS)
			errx(2, "channels: 1 to %d", MAX_CHANNELS);
		numbers[nr++] = atoi(number);
	}
	return nr;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "memory", required_argument, NULL, 'M' },
		{ "ways", required_argument, NULL, 'w' },
		{ "channels", required_argument, NULL, 'c' },
		{ "mib", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "known", no_argument, NULL, 'k' },
		{ "late", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 }
	};
	char default_ways[] = "splice,pump,no-workers", default_channels[] = "1,2";
	char default_kinds[] = "anonymous";
	char *way_list = default_ways, *channel_list = default_channels, *kind_list = default_kinds;
	const struct memory_kind *chosen_kinds[MEMORY_KINDS];
	const struct way *chosen[WAYS];
	int numbers[MAX_CHANNELS];
	int rounds = 8, nr_kinds, nr_ways, nr_numbers, option;
	size_t size = 128 << 20;
	bool known = false;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'M':
			kind_list = optarg;
			break;
		case 'w':
			way_list = optarg;
			break;
		case 'c':
			channel_list = optarg;
			break;
		case 'm':
			size = strtoul(optarg, NULL, 10) << 20;
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		case 'k':
			known = true;
			break;
		case 'l':
			watch_timers = true;
			/* at most a packet, as QEMU reads: else it is the receiver that keeps the CPU */
			at_once = PACKET_SIZE;
			break;
		default:
			return 2;
		}
	}
	if (optind != argc || !size || rounds < 1)
		errx(2, "see the usage in the source");
	signal(SIGPIPE, SIG_IGN);
	nr_kinds = choose_kinds(kind_list, chosen_kinds);
	nr_ways = choose_ways(way_list, known, chosen);
	nr_numbers = choose_numbers(channel_list, numbers);
	amounts_find_tasks();
	for (int k = 0; k < nr_kinds; k++) {
		memory_make(&memory, chosen_kinds[k], size);
		for (int c = 0; c < nr_numbers; c++)
			for (int w = 0; w < nr_ways; w++)
				measure_once(chosen[w], numbers[c], rounds, !c);
		memory_drop(&memory);
	}
	return 0;
}
