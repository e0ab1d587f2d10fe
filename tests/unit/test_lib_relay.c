// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination that fails anywhere, behind a relay that turns a reset into an end, as
 * proxies and tunnels do. The source has a return path, and must not take any of it for
 * success.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "lib_rig.h"

#define BYTES 30000
#define TRIES 100

static void *memory;

/* --- the relay: two ways for each connection */

struct way {
	int from, to;
	pthread_t thread;
};

static struct {
	int listener;			/* where the source connects */
	char text[128];			/* that, in libmfd's words */
	struct sockaddr_storage far;	/* where the destination listens */
	socklen_t far_size;
	pthread_t thread;
	struct way ways[2 * (CHANNELS + 1)];
	unsigned int nr;
} relay;

/* Whatever ends one side, the other one sees a proper end. */
static void *carry(void *data)
{
	struct way *way = data;
	char bytes[8192];
	ssize_t n, done, put;

	while ((n = read(way->from, bytes, sizeof(bytes))) > 0)
		for (done = 0; done < n; done += put) {
			put = send(way->to, bytes + done, n - done, MSG_NOSIGNAL);
			if (put <= 0)
				break;
		}
	shutdown(way->to, SHUT_WR);
	return NULL;
}

static void start_way(int from, int to)
{
	struct way *way = &relay.ways[relay.nr++];

	way->from = from;
	way->to = to;
	assert_int_equal(pthread_create(&way->thread, NULL, carry, way), 0);
}

static void *relays(void *unused)
{
	int near, far;

	while (relay.nr < 2 * (CHANNELS + 1)) {
		near = accept(relay.listener, NULL, NULL);
		if (near < 0)
			break;
		far = socket(relay.far.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(far, (struct sockaddr *)&relay.far, relay.far_size))
			shutdown(near, SHUT_RDWR);
		start_way(near, far);
		start_way(far, near);
	}
	return unused;
}

static void open_relay(sa_family_t family)
{
	const char *text;

	memset(&relay, 0, sizeof(relay));
	/* the rig has one place to listen at: the relay takes that of the destination over */
	text = listen_at(family);
	snprintf(relay.text, sizeof(relay.text), "%s", text);
	relay.listener = peer.listener;
	strcat(socket_path, "2");
	listen_at(family);
	socket_path[strlen(socket_path) - 1] = '\0';
	relay.far_size = sizeof(relay.far);
	getsockname(peer.listener, (struct sockaddr *)&relay.far, &relay.far_size);
	assert_int_equal(pthread_create(&relay.thread, NULL, relays, NULL), 0);
}

static void close_relay(void)
{
	unsigned int i;

	shutdown(relay.listener, SHUT_RDWR);
	pthread_join(relay.thread, NULL);
	for (i = 0; i < relay.nr; i++) {
		shutdown(relay.ways[i].from, SHUT_RDWR);
		shutdown(relay.ways[i].to, SHUT_RDWR);
	}
	for (i = 0; i < relay.nr; i++)
		pthread_join(relay.ways[i].thread, NULL);
	for (i = 0; i < relay.nr; i += 2) {
		close(relay.ways[i].from);
		close(relay.ways[i].to);
	}
	close(relay.listener);
}

/* --- the destination: where it fails */

static const char ok[] = "\0\1\0\4\0\0\0\0", no[] = "\0\1\0\4\0\0\0\1";
/* magic, version, configuration, the return path, the set-up section, and then some */
#define SETUP_BYTES 100

static unsigned int point;
static size_t so_far;

static void *channel_part(void *channel)
{
	read_bytes(*(int *)channel, so_far);
	return NULL;
}

/* Some of each channel, at the same time. */
static void read_part(size_t bytes)
{
	pthread_t threads[CHANNELS];
	unsigned int i;

	so_far = bytes;
	for (i = 0; i < CHANNELS; i++)
		pthread_create(&threads[i], NULL, channel_part, &peer.channel[i]);
	for (i = 0; i < CHANNELS; i++)
		pthread_join(threads[i], NULL);
}

static void leave(void)
{
	leave_channels();
	hang_up(&peer.main);
}

static void say(const char *bytes, size_t size)
{
	send(peer.main, bytes, size, MSG_NOSIGNAL);
}

static void fail_somewhere(void)
{
	switch (point) {
	case 0:	/* at once */
		break;
	case 1:	/* at the set-up */
		read_bytes(peer.main, SETUP_BYTES);
		break;
	case 2:	/* amid the pages of all channels */
		read_bytes(peer.main, SETUP_BYTES);
		read_part(BYTES / 2);
		break;
	case 3:	/* all pages are there, the end of the main connection is not read */
		read_part(BYTES);
		break;
	case 4:	/* everything is read, and then its devices fail */
		read_part(BYTES);
		read_all(peer.main);
		break;
	case 5:	/* likewise, and it says so */
		read_part(BYTES);
		read_all(peer.main);
		say(no, 8);
		break;
	case 6:	/* it dies while it says that all is well */
		read_part(BYTES);
		read_all(peer.main);
		say(ok, 7);
		break;
	case 7:	/* one channel stays unread, the rest ends well */
		read_bytes(peer.channel[0], BYTES);
		read_all(peer.main);
		break;
	case 8:	/* it ends its side first, as if it had done with all */
		shutdown(peer.main, SHUT_WR);
		read_part(BYTES / 3);
		break;
	case 9:	/* something else answers */
		read_part(BYTES);
		read_all(peer.main);
		say("HTTP/1.1 400 Bad Request\r\n", 26);
		break;
	}
	leave();
}

static void succeed(void)
{
	read_part(BYTES);
	read_all(peer.main);
	say(ok, 8);
	leave();
}

/* --- the source */

static int migrate(struct mfd_error *err)
{
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_session *session;
	struct mfd_block *block;
	int ret;

	mfd_params_init(&params);
	params.stall_ms = PATIENCE_MS;
	ret = mfd_open(&session, NULL, err);
	if (!ret)
		ret = mfd_setup(session, &params, err);
	if (!ret)
		ret = mfd_block_add(session, "ram0", memory, 4096, &block, err);
	if (!ret)
		ret = mfd_connect(session, relay.text, err);
	if (!ret)
		ret = mfd_send_all(block, 0, err);
	if (!ret)
		ret = mfd_finish(session, err);
	mfd_close(session);
	return ret;
}

static int migrate_to(sa_family_t family, void (*behave)(void), struct mfd_error *err)
{
	unsigned int i;
	int ret;

	memset(&module, 0, sizeof(module));
	memset(module.pipe, -1, sizeof(module.pipe));
	module.bytes = BYTES;
	memset(&peer, -1, sizeof(peer));
	open_relay(family);
	peer.behave = behave;
	assert_int_equal(pthread_create(&peer.thread, NULL, serve, NULL), 0);
	ret = migrate(err);
	shutdown(peer.listener, SHUT_RDWR);
	close_relay();
	pthread_join(peer.thread, NULL);
	for (i = 0; i < CHANNELS; i++) {
		if (module.pipe[i] >= 0)
			pthread_join(module.thread[i], NULL);
		close(peer.channel[i]);
	}
	close(peer.main);
	close(peer.listener);
	return ret;
}

static void never_success(sa_family_t family)
{
	struct mfd_error err = { .size = sizeof(err) };
	unsigned int i;

	for (point = 0; point < 10; point++)
		for (i = 0; i < TRIES; i++)
			if (!migrate_to(family, fail_somewhere, &err))
				fail_msg("failed at point %u, and that was success, at try %u",
					 point, i);
}

static void always_success(sa_family_t family)
{
	struct mfd_error err = { .size = sizeof(err) };
	unsigned int i;

	for (i = 0; i < TRIES; i++)
		if (migrate_to(family, succeed, &err))
			fail_msg("'%s', at try %u", err.text, i);
}

TEST(failures_over_tcp)
{
	never_success(AF_INET);
}

TEST(failures_over_unix)
{
	never_success(AF_UNIX);
}

TEST(successes_over_tcp)
{
	always_success(AF_INET);
}

TEST(successes_over_unix)
{
	always_success(AF_UNIX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_over_tcp),
		cmocka_unit_test(failures_over_unix),
		cmocka_unit_test(successes_over_tcp),
		cmocka_unit_test(successes_over_unix),
	};
	char folder[] = "/tmp/test_lib_relay.XXXXXX";
	int failed;

	memory = aligned_alloc(4096, 4096);
	if (!memory || !mkdtemp(folder))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	signal(SIGPIPE, SIG_IGN);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(memory);
	unlink(socket_path);
	strcat(socket_path, "2");
	unlink(socket_path);
	rmdir(folder);
	return failed;
}
