// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd to libmfd-recv through the module, on sockets of the caller's.
 *
 * Usage: own tcp|unix|socketpair|vsock [threads|splice]
 *        own fork|hotplug
 *        own rate BYTES CHANNELS
 *        own cancel
 *
 * tcp, unix, socketpair, vsock: a guest that is written to moves in rounds, with device
 * state, over sockets of that kind that were connected here. "threads": each channel runs in
 * a thread of this program; "splice": by splice(2). fork: the same while children close
 * the session and try all that they may not. hotplug: wrong arguments and blocks that come and
 * go on the way. rate: how many bytes a second arrive, for five seconds, and for two more
 * when it was halved on the way; within 5 %. cancel: each wait ends within half a second.
 * Exit status 0: all is as it should be.
 */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mfd.h>
#include <mfd_recv.h>

#include "dial.h"

#define PAGE 4096ul
#define PAGES 8192ul
#define SIZE (PAGES * PAGE)
#define ROUNDS 6
#define MOST_CHANNELS 8

/* As libmfd frames it: type, id, name, instance, version; the state; its footer; the end. */
#define STATE "how devices are"
static const char devices[] = "\4\0\0\0\2\4test\0\0\0\1\0\0\0\3" STATE
			      "\x7e\0\0\0\2\0\6\0\0\0\2{}";

static struct {
	struct mfd_session *session;
	struct mfd_recv *recv;
	struct mfd_block *block;
	unsigned int channels;
	uint8_t *near, *far;		/* the guest's memory at both ends */
	int sockets[MOST_CHANNELS + 1];	/* the main connection is the last */
	pthread_t receiver, threads[MOST_CHANNELS];
	char devices[4096];
	size_t devices_size;
	int received;			/* what mfd_recv_run returned */
	struct mfd_error said;
	struct mfd_error err;
} it = {
	.channels = 3,
	.said.size = sizeof(it.said),
	.err.size = sizeof(it.err),
};

static void must(int ret)
{
	if (ret)
		errx(1, "%d %s", ret, it.err.text);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint8_t *guest(void)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "memory");
	return memory;
}

/* --- the destination */

static int keep_devices(const void *data, size_t size, void *unused)
{
	(void)unused;
	if (size > sizeof(it.devices) - it.devices_size)
		return -ENOSPC;
	memcpy(it.devices + it.devices_size, data, size);
	it.devices_size += size;
	return 0;
}

static void *receive(void *unused)
{
	it.received = mfd_recv_run(it.recv, &it.said);
	return unused;
}

static void start_receiver(const char *address)
{
	struct mfd_recv_params params = { .size = sizeof(params) };

	must(mfd_recv_params_init(&params));
	params.channels = it.channels;
	params.machine = "none";
	params.device_state = keep_devices;
	it.far = guest();
	must(mfd_recv_open(&it.recv, &params, &it.err));
	must(mfd_recv_block_add(it.recv, "ram0", it.far, SIZE, MFD_RECV_FRESH, &it.err));
	must(mfd_recv_listen(it.recv, address, &it.err));
	if (pthread_create(&it.receiver, NULL, receive, NULL))
		errx(1, "no thread");
}

/* --- sockets of the caller's: connected to where the destination listens */

/* A socket pair's other end has to get to the destination somehow. */
struct relay {
	int from, to;
};

static void *relay(void *data)
{
	struct relay *way = data;
	char bytes[65536];
	ssize_t n, done, put;

	while ((n = read(way->from, bytes, sizeof(bytes))) > 0)
		for (done = 0; done < n; done += put) {
			put = send(way->to, bytes + done, n - done, MSG_NOSIGNAL);
			if (put < 0)
				break;
		}
	shutdown(way->to, SHUT_WR);
	return NULL;
}

static void start_relay(int from, int to)
{
	struct relay *way = malloc(sizeof(*way));
	pthread_t thread;

	*way = (struct relay) { from, to };
	pthread_create(&thread, NULL, relay, way);
	pthread_detach(thread);
}

static int dial_pair(const char *address)
{
	int pair[2], far = dial(address);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	start_relay(pair[1], far);
	start_relay(far, pair[1]);
	return pair[0];
}

/* --- the source */

static void set_up(uint32_t flags, uint64_t rate)
{
	struct mfd_params params = { .size = sizeof(params) };

	must(mfd_params_init(&params));
	params.channels = it.channels;
	params.flags |= flags;
	params.rate = rate;
	params.stall_ms = 20000;
	must(mfd_open(&it.session, NULL, &it.err));
	must(mfd_setup(it.session, &params, &it.err));
	it.near = guest();
	must(mfd_block_add(it.session, "ram0", it.near, SIZE, &it.block, &it.err));
}

static void *run_channel(void *channel)
{
	struct mfd_error said = { .size = sizeof(said) };

	return (void *)(intptr_t)mfd_channel_run(it.session, (uintptr_t)channel, &said);
}

static void attach(int (*connect_one)(const char *address), bool threads)
{
	const char *address = mfd_recv_address(it.recv);
	uintptr_t i;

	must(mfd_attach_main(it.session, connect_one(address), &it.err));
	for (i = 0; i < it.channels; i++)
		must(mfd_attach_channel(it.session, i, connect_one(address), &it.err));
	for (i = 0; threads && i < it.channels; i++)
		pthread_create(&it.threads[i], NULL, run_channel, (void *)i);
	must(mfd_start(it.session, &it.err));
}

/* Other contents for some pages, which are marked as a dirty log would. */
static void write_some(unsigned int round)
{
	unsigned int i;
	uint64_t page;

	for (i = 0; i < PAGES / (round ? 10 : 2); i++) {
		page = rand() % PAGES;
		if (rand() % 8)
			memset(it.near + page * PAGE, rand(), PAGE);
		else
			memset(it.near + page * PAGE, 0, PAGE);
		if (round)
			must(mfd_dirty_pages(it.block, page, 1, &it.err));
	}
}

static void migrate(void (*meanwhile)(unsigned int round))
{
	unsigned int round;

	write_some(0);
	must(mfd_send_all(it.block, MFD_SEND_FRESH, &it.err));
	for (round = 1; round < ROUNDS; round++) {
		must(mfd_round_finish(it.session, NULL, &it.err));
		write_some(round);
		if (meanwhile)
			meanwhile(round);
		must(mfd_send_dirty(it.session, 0, &it.err));
	}
	must(mfd_device_section(it.session, "test", 1, 3, STATE, strlen(STATE), &it.err));
	if (mfd_finish(it.session, &it.err)) {
		mfd_close(it.session);
		pthread_join(it.receiver, NULL);
		errx(1, "%s; the destination: %s", it.err.text, it.said.text);
	}
}

static void compare(void)
{
	pthread_join(it.receiver, NULL);
	if (it.received)
		errx(1, "the destination says: %s", it.said.text);
	if (memcmp(it.near, it.far, SIZE))
		errx(1, "memory differs");
	if (it.devices_size != sizeof(devices) - 1 ||
	    memcmp(it.devices, devices, sizeof(devices) - 1))
		errx(1, "the state of devices differs");
}

static void over(bool threads)
{
	unsigned int i;
	void *ret;

	for (i = 0; threads && i < it.channels; i++) {
		pthread_join(it.threads[i], &ret);
		if (ret)
			errx(1, "channel %u: %d", i, (int)(intptr_t)ret);
	}
	mfd_close(it.session);
	mfd_recv_close(it.recv);
}

static int sockets(const char *kind, const char *how)
{
	bool threads = !strcmp(how, "threads");
	uint32_t flags = threads ? MFD_PARAMS_OWN_THREADS :
			 !strcmp(how, "splice") ? MFD_PARAMS_SPLICE : 0;
	bool tcp = !strcmp(kind, "tcp"), vsock = !strcmp(kind, "vsock");

	start_receiver(tcp ? "tcp:127.0.0.1:0" : vsock ? "vsock:1:7777" : "unix:@own");
	set_up(flags, 0);
	attach(strcmp(kind, "socketpair") ? dial : dial_pair, threads);
	migrate(NULL);
	compare();
	over(threads);
	return 0;
}

/* --- children */

static void have_children(unsigned int round)
{
	struct mfd_error said = { .size = sizeof(said) };
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (round % 2)
			_exit(mfd_send_all(it.block, 0, &said) != -ECHILD ||
			      mfd_finish(it.session, &said) != -ECHILD);
		mfd_cancel(it.session);
		mfd_close(it.session);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "a child ends with 0x%x", status);
}

/* --- arguments that are wrong, as from a bug in a hotplug path */

static void argue(unsigned int round)
{
	const struct mfd_range backwards = { 2 * PAGE, PAGE, 0 };
	const uint64_t bits = UINT64_MAX;
	struct mfd_error said = { .size = sizeof(said) };
	struct mfd_block *block;

	if (mfd_send_bitmap(it.block, PAGES - 1, 2, &bits, 0, &said) != -ERANGE ||
	    mfd_send_ranges(it.block, &backwards, 1, 0, 0, &said) != -EINVAL ||
	    mfd_send_bitmap(it.block, 0, 64, NULL, 0, &said) != -EFAULT ||
	    mfd_send_all(it.block, 1u << 30, &said) != -EINVAL ||
	    mfd_dirty_pages(it.block, PAGES, 1, &said) != -ERANGE ||
	    mfd_block_add(it.session, "late", it.near, PAGE, &block, &said) != -EINVAL ||
	    mfd_connect(it.session, "tcp:nowhere:1", &said) != -EINVAL)
		errx(1, "round %u: %s", round, said.text);
}

static int with(void (*meanwhile)(unsigned int round))
{
	start_receiver("tcp:127.0.0.1:0");
	set_up(0, 0);
	attach(dial, false);
	migrate(meanwhile);
	compare();
	over(false);
	return 0;
}

/* --- bandwidth */

static _Atomic uint64_t arrived;

static void *discard(void *socket)
{
	static char bytes[1 << 18];
	ssize_t n;

	while ((n = recv((intptr_t)socket, bytes, sizeof(bytes), MSG_TRUNC)) > 0)
		arrived += n;
	return NULL;
}

static void listen_for_rate(struct sockaddr_in *at, int *listener)
{
	socklen_t size = sizeof(*at);

	*at = (struct sockaddr_in) { AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } };
	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(*listener, (struct sockaddr *)at, size) || listen(*listener, MOST_CHANNELS) ||
	    getsockname(*listener, (struct sockaddr *)at, &size))
		err(1, "listen");
}

/* Does that arrive, over so many seconds? Beginning when it has begun to flow. */
static void measure(uint64_t rate, double seconds)
{
	double began, ratio;
	uint64_t before;

	usleep(500000);
	began = now();
	before = arrived;
	usleep(seconds * 1e6);
	ratio = (arrived - before) / (now() - began) / rate;
	printf("%.1f MB/s wanted, %.1f %% of it over %.0f s\n", rate / 1e6, 100 * ratio, seconds);
	if (ratio < 0.95 || ratio > 1.05)
		errx(1, "that is more than 5 %% off");
}

/* For ever, since there is no reason to stop: all pages, round after round. */
static void *send_rounds(void *unused)
{
	struct mfd_error said = { .size = sizeof(said) };

	while (!mfd_send_all(it.block, 0, &said) && !mfd_round_finish(it.session, NULL, &said))
		;
	return unused;
}

static int rate(uint64_t bytes, unsigned int channels)
{
	struct sockaddr_in at;
	pthread_t sender, thread;
	uintptr_t i;
	int listener, fd;

	it.channels = channels;
	listen_for_rate(&at, &listener);
	set_up(MFD_PARAMS_NO_MAIN, bytes);
	memset(it.near, 7, SIZE);
	for (i = 0; i < channels; i++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&at, sizeof(at)))
			err(1, "connect");
		must(mfd_attach_channel(it.session, i, fd, &it.err));
		pthread_create(&thread, NULL, discard,
			       (void *)(intptr_t)accept(listener, NULL, NULL));
	}
	must(mfd_start(it.session, &it.err));
	pthread_create(&sender, NULL, send_rounds, NULL);
	measure(bytes, 5);
	must(mfd_rate(it.session, bytes / 2, &it.err));
	measure(bytes / 2, 2);
	mfd_cancel(it.session);
	pthread_join(sender, NULL);
	mfd_close(it.session);
	return 0;
}

/* --- cancel */

static double cancelled;

static void *cancel_soon(void *unused)
{
	usleep(300000);
	cancelled = now();
	mfd_cancel(it.session);
	return unused;
}

static void ends_soon(const char *what, int ret)
{
	double late = now() - cancelled;

	printf("%s: %.3f s after the cancel\n", what, late);
	if (ret != -ECANCELED || late > 0.5)
		errx(1, "%s: %d %s, after %.3f s", what, ret, it.err.text, late);
}

/* A destination that takes connections, and nothing else. */
static int cancel(void)
{
	struct sockaddr_in at;
	char address[64];
	pthread_t thread;
	int listener;

	listen_for_rate(&at, &listener);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", ntohs(at.sin_port));
	set_up(0, 0);
	memset(it.near, 7, SIZE);
	pthread_create(&thread, NULL, cancel_soon, NULL);
	must(mfd_connect(it.session, address, &it.err));
	must(mfd_send_all(it.block, 0, &it.err));
	ends_soon("mfd_round_finish", mfd_round_finish(it.session, NULL, &it.err));
	pthread_join(thread, NULL);
	mfd_close(it.session);

	it.channels = 1;
	set_up(0, 0);
	pthread_create(&thread, NULL, cancel_soon, NULL);
	must(mfd_connect(it.session, address, &it.err));
	ends_soon("mfd_finish", mfd_finish(it.session, &it.err));
	pthread_join(thread, NULL);
	mfd_close(it.session);

	set_up(0, 0);
	pthread_create(&thread, NULL, cancel_soon, NULL);
	/* an address that routers drop, or refuse at once where there is no route */
	if (mfd_connect(it.session, "tcp:192.0.2.1:4444", &it.err) == -ECANCELED)
		ends_soon("mfd_connect", -ECANCELED);
	pthread_join(thread, NULL);
	mfd_close(it.session);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "fork"))
		return with(have_children);
	if (!strcmp(what, "hotplug"))
		return with(argue);
	if (!strcmp(what, "cancel"))
		return cancel();
	if (!strcmp(what, "rate") && argc == 4)
		return rate(strtoull(argv[2], NULL, 10), atoi(argv[3]));
	if (strcmp(what, "tcp") && strcmp(what, "unix") && strcmp(what, "socketpair") &&
	    strcmp(what, "vsock"))
		errx(2, "see the head of own.c");
	return sockets(what, argc > 2 ? argv[2] : "");
}
