// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd's source with real sockets and threads, and a destination that does as it
 * is told. In place of the module are pipes.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "lib_rig.h"
#include "mfd.h"
#include "socket.h"

#define NO_PATIENCE_MS 1000
/* Looks around while nothing happens, each MFD_TICK_MS after the other. */
#define SOME_TICKS 3

static char folder[64];

/* --- the source */

static struct {
	struct mfd_params params;
	struct mfd_error err;
	int ret;
	bool splice;
	_Atomic bool over;
} source = { .params.size = sizeof(source.params), .err.size = sizeof(source.err) };

static void *memory;

static void connect_and_finish(struct mfd_session *session, const char *address)
{
	struct mfd_block *block;

	if (mfd_setup(session, &source.params, &source.err) ||
	    mfd_block_add(session, "ram0", memory, 4096, &block, &source.err))
		fail_msg("%s", source.err.text);
	source.ret = mfd_connect(session, address, &source.err);
	if (!source.ret)
		source.ret = mfd_finish(session, &source.err);
	source.over = true;
}

static void prepare(size_t bytes, unsigned int stall_ms)
{
	memset(&peer, -1, sizeof(peer));
	source.over = false;
	memset(&module, 0, sizeof(module));
	memset(module.pipe, -1, sizeof(module.pipe));
	module.bytes = bytes;
	mfd_params_init(&source.params);
	source.params.flags = source.splice ? MFD_PARAMS_SPLICE : 0;
	source.params.stall_ms = stall_ms;
}

/* Migrate to @address, where a thread @serves. */
static void migrate_to(const char *address, void *(*serves)(void *), void *data)
{
	struct mfd_session *session;
	unsigned int i;

	assert_int_equal(pthread_create(&peer.thread, NULL, serves, data), 0);
	assert_int_equal(mfd_open(&session, NULL, &source.err), 0);
	connect_and_finish(session, address);
	module.silent = false;
	if (source.ret)
		shutdown(peer.listener, SHUT_RDWR);
	mfd_close(session);
	pthread_join(peer.thread, NULL);
	for (i = 0; i < CHANNELS; i++) {
		if (module.pipe[i] >= 0)
			pthread_join(module.thread[i], NULL);
		close(peer.channel[i]);
	}
	close(peer.main);
	close(peer.listener);
}

/* Migrate to a destination that behaves like that. */
static void migrate(sa_family_t family, void (*behave)(void))
{
	peer.behave = behave;
	migrate_to(listen_at(family), serve, NULL);
}

static void must_work(void)
{
	if (source.ret)
		fail_msg("%d '%s'", source.ret, source.err.text);
}

static void must_fail(int ret, const char *text)
{
	if (source.ret != ret || !strstr(source.err.text, text))
		fail_msg("%d '%s' was expected, not %d '%s'", ret, text, source.ret,
			 source.ret ? source.err.text : "");
}

/* --- patience */

static _Atomic unsigned int ticks;
static uint64_t seen_bytes;

static void count_tick(const struct mfd_progress *now, void *unused)
{
	(void)unused;
	seen_bytes = now->bytes;
	ticks++;
}

static void wait_ticks(void)
{
	while (ticks < SOME_TICKS && !source.over)
		usleep(1000);
}

/* It takes nothing before the source has looked around a few times, nor ends. */
static void takes_its_time(void)
{
	unsigned int i;

	wait_ticks();
	for (i = 0; i < CHANNELS; i++)
		read_bytes(peer.channel[i], module.bytes);
	read_all(peer.main);
	ticks = 0;
	wait_ticks();
	for (i = 0; i < CHANNELS; i++)
		hang_up(&peer.channel[i]);
	hang_up(&peer.main);
}

static void takes_nothing(void)
{
	while (!source.over)
		usleep(1000);
}

TEST(no_patience)
{
	prepare(16 << 20, NO_PATIENCE_MS);
	migrate(AF_INET, takes_nothing);
	must_fail(-ETIMEDOUT, ": the destination has accepted nothing for 1 s (");
	prepare(16 << 20, NO_PATIENCE_MS);
	migrate(AF_UNIX, takes_nothing);
	must_fail(-ETIMEDOUT, ": the destination has accepted nothing for 1 s (");
}

TEST(no_limit)
{
	ticks = 0;
	prepare(16 << 20, 0);
	source.params.progress = count_tick;
	migrate(AF_INET, takes_its_time);
	must_work();
}

/* The place in the queue is taken, until the source has looked around. */
static void *let_in(void *behind)
{
	wait_ticks();
	close(accept(peer.listener, NULL, NULL));
	hang_up(behind);
	return serve(NULL);
}

TEST(no_limit_to_connect)
{
	const char *address;
	struct sockaddr_un un;
	socklen_t size = sizeof(un);
	int first;

	ticks = 0;
	prepare(0, 0);
	source.params.progress = count_tick;
	address = listen_at(AF_UNIX);
	assert_int_equal(listen(peer.listener, 0), 0);
	getsockname(peer.listener, (struct sockaddr *)&un, &size);
	first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(first, (struct sockaddr *)&un, size), 0);
	peer.behave = takes_its_time;
	migrate_to(address, let_in, &first);
	must_work();
}

/* --- what the source's sockets keep */

/* The source is in this process too. Return: the other end of the connection @fd. */
static int other_end(int fd)
{
	struct sockaddr_in here, there, own, its;
	socklen_t size = sizeof(own);
	int i;

	if (getsockname(fd, (struct sockaddr *)&here, &size) ||
	    getpeername(fd, (struct sockaddr *)&there, &size))
		return -1;
	for (i = 0; i < FD_SETSIZE; i++) {
		size = sizeof(own);
		if (!getsockname(i, (struct sockaddr *)&own, &size) && size == sizeof(own) &&
		    !getpeername(i, (struct sockaddr *)&its, &size) &&
		    own.sin_port == there.sin_port && its.sin_port == here.sin_port)
			return i;
	}
	return -1;
}

static int kept[CHANNELS];

/* The main connection ends when the pumps have, and the channels only after it. */
static void looks_what_is_kept(void)
{
	unsigned int i;

	read_all(peer.main);
	for (i = 0; i < CHANNELS; i++)
		if (ioctl(other_end(peer.channel[i]), SIOCOUTQNSD, &kept[i]))
			kept[i] = -errno;
	read_channels();
	leave_channels();
	hang_up(&peer.main);
}

TEST(no_tail_stays)
{
	prepare(1000, PATIENCE_MS);
	migrate(AF_INET, looks_what_is_kept);
	must_work();
	assert_int_equal(kept[0], 0);
	assert_int_equal(kept[1], 0);
}

/* --- while there is nothing to send */

static void reads_and_leaves(void)
{
	read_channels();
	ticks = 0;
	wait_ticks();
	leave_channels();
	read_all(peer.main);
}

static void leave_in_between(sa_family_t family)
{
	prepare(1000, PATIENCE_MS);
	module.silent = true;
	source.params.progress = count_tick;
	migrate(family, reads_and_leaves);
	must_fail(-EPIPE, ": the destination closed the connection");
	/* and the main connection's */
	assert_true(seen_bytes > CHANNELS * module.bytes);
}

/* Also then it can be seen what has been sent so far. */
TEST(leaves_in_between)
{
	leave_in_between(AF_INET);
	leave_in_between(AF_UNIX);
}

/* What the session says is not laid at the destination's door. */
TEST(session_ends)
{
	prepare(1000, PATIENCE_MS);
	module.failure = EPIPE;
	migrate(AF_INET, read_channels);
	must_fail(-EPIPE, ": the session: Broken pipe");
}

/* --- how the destination ends the connections */

/* Enough for the socket of a source that nobody reads from; it goes out at once. */
#define UNREAD (256 << 10)

static void ends_as_qemu(void)
{
	read_channels();
	read_all(peer.main);
	leave_channels();
	hang_up(&peer.main);
}

TEST(a_qemu)
{
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_INET, ends_as_qemu);
	must_work();
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_UNIX, ends_as_qemu);
	must_work();
}

TEST(an_old_qemu)
{
	prepare(UNREAD, PATIENCE_MS);
	source.params.flush = MFD_FLUSH_SECTION;
	migrate(AF_INET, ends_as_qemu);
	must_work();
}

/* Its channels end when the source's do. */
static void ends_as_mfdrecv(void)
{
	unsigned int i;

	read_channels();
	read_all(peer.main);
	shutdown(peer.main, SHUT_WR);
	for (i = 0; i < CHANNELS; i++) {
		read_all(peer.channel[i]);
		hang_up(&peer.channel[i]);
	}
	hang_up(&peer.main);
}

TEST(an_mfdrecv)
{
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_INET, ends_as_mfdrecv);
	must_work();
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_UNIX, ends_as_mfdrecv);
	must_work();
}

/* All is read, so nothing but that byte tells of the failure. */
static void says_a_byte(void)
{
	read_channels();
	read_all(peer.main);
	send(peer.channel[1], "", 1, MSG_NOSIGNAL);
	leave_channels();
	hang_up(&peer.main);
}

TEST(an_mfdrecv_that_fails)
{
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_UNIX, says_a_byte);
	must_fail(-EPIPE, "channel 1: ");
}

static void ends_main_only(void)
{
	read_all(peer.main);
	shutdown(peer.main, SHUT_WR);
	/* until the source gives up */
	while (!source.over)
		usleep(1000);
}

TEST(channels_that_nobody_reads)
{
	prepare(UNREAD, NO_PATIENCE_MS);
	migrate(AF_INET, ends_main_only);
	must_fail(-ETIMEDOUT, "with the channels");
	prepare(UNREAD / 4, NO_PATIENCE_MS);
	migrate(AF_UNIX, ends_main_only);
	must_fail(-ETIMEDOUT, "with the channels");
}

static void reads_but_stays(void)
{
	read_channels();
	ends_main_only();
}

TEST(channels_that_do_not_end)
{
	prepare(UNREAD, NO_PATIENCE_MS);
	migrate(AF_INET, reads_but_stays);
	must_fail(-ETIMEDOUT, "with the channels");
}

/*
 * A good while after it has ended the main connection, as if the channel's bytes
 * took long to arrive: the source is already waiting for the channels.
 */
static void dies_late(void)
{
	struct pollfd ended = { .fd = peer.channel[1], .events = POLLRDHUP };

	read_bytes(peer.channel[0], module.bytes);
	read_bytes(peer.channel[1], module.bytes - 1);
	read_all(peer.main);
	shutdown(peer.main, SHUT_WR);
	poll(&ended, 1, PATIENCE_MS);
	hang_up(&peer.channel[0]);
	hang_up(&peer.channel[1]);
	hang_up(&peer.main);
}

TEST(one_that_dies_late)
{
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_INET, dies_late);
	must_fail(-ECONNRESET, "channel 1: ");
	prepare(UNREAD, PATIENCE_MS);
	migrate(AF_UNIX, dies_late);
	must_fail(-ECONNRESET, "channel 1: ");
}

/* The main connection says something wrong; all of it is in the sockets by then. */
static void gives_up_as_qemu(void)
{
	read_all(peer.main);
	leave_channels();
	hang_up(&peer.main);
}

TEST(a_qemu_that_gives_up)
{
	prepare(1000, PATIENCE_MS);
	migrate(AF_INET, gives_up_as_qemu);
	must_fail(-EPIPE, "channel 0: ");
	prepare(1000, PATIENCE_MS);
	migrate(AF_UNIX, gives_up_as_qemu);
	must_fail(-ECONNRESET, "channel 0: ");
}

static int choose_way(void **splice)
{
	source.splice = *splice;
	return 0;
}

#define PUMPED(test) { #test ", pump", test, choose_way, NULL, NULL }
#define SPLICED(test) { #test ", splice", test, choose_way, NULL, #test }
#define BOTH(test) PUMPED(test), SPLICED(test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(no_patience),
		BOTH(no_limit),
		BOTH(no_limit_to_connect),
		BOTH(no_tail_stays),
		BOTH(leaves_in_between),
		PUMPED(session_ends),
		BOTH(a_qemu),
		BOTH(an_old_qemu),
		BOTH(an_mfdrecv),
		BOTH(an_mfdrecv_that_fails),
		BOTH(channels_that_nobody_reads),
		BOTH(channels_that_do_not_end),
		BOTH(one_that_dies_late),
		BOTH(a_qemu_that_gives_up),
	};
	int failed;

	strcpy(folder, "/tmp/test_lib_peer.XXXXXX");
	memory = aligned_alloc(4096, 4096);
	if (!memory || !mkdtemp(folder))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	signal(SIGPIPE, SIG_IGN);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(memory);
	unlink(socket_path);
	rmdir(folder);
	return failed;
}
