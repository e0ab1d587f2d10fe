// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd's source on sockets and threads of the caller's, with a return path, and after
 * fork; with what it refuses and goes on.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block.h"
#include "error.h"
#include "lib_rig.h"
#include "session.h"

#define run_channel example_run_channel
#include "../../Documentation/examples/sockets.c"
#undef run_channel

#define MEMORY 0x8000

static void *memory;

/* --- a session with one block, and both ends of its sockets */

static struct {
	struct mfd_session *session;
	struct mfd_block *block;
	struct mfd_error err;
	int near[CHANNELS + 1], far[CHANNELS + 1];	/* the main connection is the last */
	char main_bytes[1 << 16];
	size_t main_size;
} it;

static void must(int ret)
{
	if (ret)
		fail_msg("%d '%s'", ret, it.err.text);
}

static void must_be(int ret, int expected, const char *text)
{
	if (ret != expected || !strstr(it.err.text, text))
		fail_msg("%d '%s' was expected, not %d '%s'", expected, text, ret, it.err.text);
}

static void begin(uint32_t flags, size_t bytes)
{
	struct mfd_params params = { .size = sizeof(params) };
	unsigned int i;
	int pair[2];

	memset(&it, 0, sizeof(it));
	it.err.size = sizeof(it.err);
	memset(&module, 0, sizeof(module));
	memset(module.pipe, -1, sizeof(module.pipe));
	module.bytes = bytes;
	for (i = 0; i <= CHANNELS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		it.near[i] = pair[0];
		it.far[i] = pair[1];
	}
	must(mfd_params_init(&params));
	params.flags = flags;
	params.stall_ms = 5000;
	must(mfd_open(&it.session, NULL, &it.err));
	must(mfd_setup(it.session, &params, &it.err));
	must(mfd_block_add(it.session, "ram0", memory, MEMORY, &it.block, &it.err));
}

static void attach_channels(void)
{
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		must(mfd_attach_channel(it.session, i, it.near[i], &it.err));
		it.near[i] = -1;
	}
}

static void attach_all(void)
{
	must(mfd_attach_main(it.session, it.near[CHANNELS], &it.err));
	it.near[CHANNELS] = -1;
	attach_channels();
}

static void over(void)
{
	unsigned int i;

	mfd_close(it.session);
	for (i = 0; i <= CHANNELS; i++) {
		if (it.near[i] >= 0)
			close(it.near[i]);
		if (it.far[i] >= 0)
			close(it.far[i]);
	}
	for (i = 0; i < CHANNELS; i++)
		if (module.pipe[i] >= 0)
			pthread_join(module.thread[i], NULL);
}

/* --- the other end of it */

/* To the end, or as long as it is connected. */
static void keep_main(void)
{
	ssize_t n;

	while ((n = read(it.far[CHANNELS], it.main_bytes + it.main_size,
			 sizeof(it.main_bytes) - it.main_size)) > 0)
		it.main_size += n;
}

static void read_both(void)
{
	unsigned int i;

	for (i = 0; i < CHANNELS; i++)
		read_bytes(it.far[i], module.bytes);
	keep_main();
}

/* What it says when it has read everything, from a list of bytes. */
static struct {
	const char *bytes;
	size_t size;
	size_t piece;			/* at once; 0: all */
} answer;

static void *answers(void *unused)
{
	size_t at, piece;

	read_both();
	for (at = 0; at < answer.size; at += piece) {
		piece = answer.piece ? answer.piece : answer.size;
		if (piece > answer.size - at)
			piece = answer.size - at;
		assert_int_equal(write(it.far[CHANNELS], answer.bytes + at, piece), piece);
		usleep(1000);
	}
	shutdown(it.far[CHANNELS], SHUT_WR);
	return unused;
}

static int finish_answered(const char *bytes, size_t size, size_t piece)
{
	pthread_t thread;
	int ret;

	answer.bytes = bytes;
	answer.size = size;
	answer.piece = piece;
	begin(MFD_PARAMS_RETURN_PATH, 10000);
	attach_all();
	assert_int_equal(pthread_create(&thread, NULL, answers, NULL), 0);
	must(mfd_start(it.session, &it.err));
	must(mfd_send_all(it.block, 0, &it.err));
	ret = mfd_finish(it.session, &it.err);
	pthread_join(thread, NULL);
	return ret;
}

#define SHUT_0 "\0\1\0\4\0\0\0\0"
#define SHUT_1 "\0\1\0\4\0\0\0\1"
#define PONG_7 "\0\2\0\4\0\0\0\7"
#define ACK "\0\7\0\0"
#define ANSWERED(bytes, piece) finish_answered(bytes, sizeof(bytes) - 1, piece)

static uint32_t state(void)
{
	struct mfd_progress now = { .size = sizeof(now) };

	must(mfd_progress(it.session, &now));
	return now.state;
}

TEST(it_says_that_all_is_well)
{
	static const char opened[] = "\x08\0\1\0\0";

	must(ANSWERED(SHUT_0, 0));
	assert_int_equal(state(), MFD_STATE_COMPLETED);
	/* it was asked right behind the configuration: magic, version, section, "none" */
	assert_memory_equal(it.main_bytes + 4 + 4 + 1 + 4 + 4, opened, sizeof(opened) - 1);
	over();
	must(ANSWERED(PONG_7 ACK SHUT_0, 1));
	over();
	must(ANSWERED(PONG_7 PONG_7 PONG_7 SHUT_0, 3 * 8 / 2));
	over();
}

TEST(it_says_that_it_has_failed)
{
	must_be(ANSWERED(SHUT_1, 0), -EREMOTEIO, "could not load the guest");
	assert_int_equal(it.err.kind, MFD_ERROR_PEER);
	assert_int_equal(state(), MFD_STATE_FAILED);
	over();
	must_be(ANSWERED("\0\1\0\4\x80\0\0\0", 1), -EREMOTEIO, "could not load the guest");
	over();
}

/* All that would do without a return path. */
TEST(it_ends_without_saying_how_it_went)
{
	must_be(ANSWERED("", 0), -EPIPE, "without saying how it went");
	over();
	must_be(ANSWERED(PONG_7, 0), -EPIPE, "without saying how it went");
	over();
	must_be(ANSWERED("\0\1\0\4\0\0\0", 0), -EPIPE, "without saying how it went");
	over();
}

TEST(it_says_what_makes_no_sense)
{
	must_be(ANSWERED("\0\3\0\0", 0), -EPROTO, "message 3 of 0 bytes");
	over();
	must_be(ANSWERED("\0\1\0\2\0\0", 0), -EPROTO, "message 1 of 2 bytes");
	over();
	must_be(ANSWERED("\xff\xff\xff\xff", 0), -EPROTO, "message 65535 of 65535 bytes");
	over();
}

static void *cancels(void *unused)
{
	usleep(300000);
	mfd_cancel(it.session);
	return unused;
}

static void *answers_and_waits(void *unused)
{
	read_both();
	assert_int_equal(write(it.far[CHANNELS], SHUT_0, 8), 8);
	return unused;
}

/* The guest is there, so it must not go on here, whoever wanted that. */
TEST(a_cancel_that_is_too_late)
{
	pthread_t thread, canceller;

	begin(MFD_PARAMS_RETURN_PATH, 10000);
	attach_all();
	assert_int_equal(pthread_create(&thread, NULL, answers_and_waits, NULL), 0);
	must(mfd_start(it.session, &it.err));
	/* while the connections have their moment to end */
	assert_int_equal(pthread_create(&canceller, NULL, cancels, NULL), 0);
	must(mfd_finish(it.session, &it.err));
	pthread_join(canceller, NULL);
	assert_int_equal(state(), MFD_STATE_COMPLETED);
	pthread_join(thread, NULL);
	over();
}

/* --- sockets and threads */

static void *run_channel(void *channel)
{
	struct mfd_error err = { .size = sizeof(err) };

	return (void *)(intptr_t)mfd_channel_run(it.session, *(uint32_t *)channel, &err);
}

static void *read_all_of_it(void *unused)
{
	read_both();
	shutdown(it.far[CHANNELS], SHUT_WR);
	read_all(it.far[0]);
	read_all(it.far[1]);
	return unused;
}

TEST(threads_of_the_callers)
{
	uint32_t ids[CHANNELS] = { 0, 1 };
	pthread_t threads[CHANNELS], reader;
	unsigned int i;
	void *ret;

	begin(MFD_PARAMS_OWN_THREADS | MFD_PARAMS_NO_MAIN, 300000);
	must_be(mfd_channel_run(it.session, 0, &it.err), -EINVAL, "has no socket");
	attach_channels();
	/* there is no main connection, so nobody writes there */
	shutdown(it.near[CHANNELS], SHUT_RDWR);
	must_be(mfd_channel_run(it.session, CHANNELS, &it.err), -EINVAL, "channel 2");
	must(mfd_start(it.session, &it.err));
	assert_int_equal(pthread_create(&reader, NULL, read_all_of_it, NULL), 0);
	for (i = 0; i < CHANNELS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_channel, &ids[i]), 0);
	must(mfd_send_all(it.block, 0, &it.err));
	must(mfd_finish(it.session, &it.err));
	for (i = 0; i < CHANNELS; i++) {
		pthread_join(threads[i], &ret);
		assert_null(ret);
	}
	/* one that has run does not run again */
	must_be(mfd_channel_run(it.session, 0, &it.err), -EINVAL, "somebody runs it");
	for (i = 0; i < CHANNELS; i++)
		shutdown(it.far[i], SHUT_RDWR);
	pthread_join(reader, NULL);
	over();
}

TEST(a_channel_fails_in_a_thread_of_the_callers)
{
	uint32_t id = 1;
	pthread_t thread;
	void *ret;

	begin(MFD_PARAMS_OWN_THREADS | MFD_PARAMS_NO_MAIN, 1 << 20);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	hang_up(&it.far[1]);
	assert_int_equal(pthread_create(&thread, NULL, run_channel, &id), 0);
	pthread_join(thread, &ret);
	assert_true((intptr_t)ret == -EPIPE || (intptr_t)ret == -ECONNRESET);
	assert_true(mfd_send_all(it.block, 0, &it.err) == (intptr_t)ret);
	assert_int_equal(it.err.channel, 1);
	assert_int_equal(it.err.kind, MFD_ERROR_NETWORK);
	over();
}

/* --- the documentation's example */

static unsigned int connections, connections_left;

/* The main connection first, then the channels. */
static int next_connection(struct vm *vm)
{
	unsigned int i = connections++ ? connections - 2 : CHANNELS;
	int fd = it.near[i];

	(void)vm;
	if (!connections_left--)
		return -1;
	it.near[i] = -1;
	return fd;
}

static bool one_round(struct vm *vm, struct mfd_session *session, struct mfd_error *err)
{
	(void)vm;
	return !mfd_send_all(it.block, 0, err) && !mfd_round_finish(session, NULL, err);
}

static bool no_round(struct vm *vm, struct mfd_session *session, struct mfd_error *err)
{
	(void)vm, (void)session, (void)err;
	return false;
}

TEST(example_with_own_sockets)
{
	struct vm vm = { .connect = next_connection, .rounds = one_round };
	pthread_t reader;

	begin(MFD_PARAMS_OWN_THREADS | MFD_PARAMS_RETURN_PATH, 1000);
	connections = 0;
	connections_left = CHANNELS + 1;
	answer.bytes = SHUT_0;
	answer.size = 8;
	answer.piece = 0;
	assert_int_equal(pthread_create(&reader, NULL, answers, NULL), 0);
	if (!migrate_over(&vm, it.session, &it.err))
		fail_msg("%s", it.err.text);
	assert_int_equal(state(), MFD_STATE_COMPLETED);
	pthread_join(reader, NULL);
	over();
}

/* It comes back, without a thread that still runs. */
TEST(example_that_fails)
{
	struct vm vm = { .connect = next_connection, .rounds = no_round };
	unsigned int n;

	for (n = 0; n <= CHANNELS + 1; n++) {
		begin(MFD_PARAMS_OWN_THREADS | MFD_PARAMS_RETURN_PATH, 1 << 20);
		connections = 0;
		connections_left = n;
		assert_false(migrate_over(&vm, it.session, &it.err));
		assert_int_equal(state(), MFD_STATE_FAILED);
		over();
	}
}

TEST(what_is_attached)
{
	int file = open("/dev/null", O_RDWR | O_CLOEXEC), dgram;

	begin(0, 0);
	must_be(mfd_start(it.session, &it.err), -EINVAL, "no main connection yet");
	must_be(mfd_attach_main(it.session, -1, &it.err), -EINVAL, "no stream socket");
	must_be(mfd_attach_main(it.session, file, &it.err), -EINVAL, "no stream socket");
	dgram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must_be(mfd_attach_channel(it.session, 0, dgram, &it.err), -EINVAL, "no stream socket");
	must_be(mfd_attach_channel(it.session, CHANNELS, it.near[0], &it.err), -EINVAL,
		"channel 2: there are 2");
	must(mfd_attach_main(it.session, it.near[CHANNELS], &it.err));
	it.near[CHANNELS] = -1;
	must_be(mfd_attach_main(it.session, it.near[0], &it.err), -EINVAL, "one main connection");
	must(mfd_attach_channel(it.session, 0, it.near[0], &it.err));
	it.near[0] = -1;
	must_be(mfd_attach_channel(it.session, 0, it.near[1], &it.err), -EBUSY, "has a socket");
	must_be(mfd_start(it.session, &it.err), -EINVAL, "channel 1 has no socket yet");
	must_be(mfd_connect(it.session, "unix:/nowhere", &it.err), -EINVAL, "sockets already");
	must_be(mfd_channel_run(it.session, 0, &it.err), -EINVAL, "MFD_PARAMS_OWN_THREADS");
	/* none of it has ended anything */
	assert_int_equal(state(), MFD_STATE_SETUP);
	close(file);
	close(dgram);
	over();
}

TEST(parameters_that_do_not_go_together)
{
	static const struct {
		uint32_t flags, detection;
		const char *text;
	} wrong[] = {
		{ 1u << 31, MFD_DETECTION_MULTIFD, "unknown flags 0x80000000" },
		{ MFD_PARAMS_SPLICE | MFD_PARAMS_OWN_THREADS, MFD_DETECTION_MULTIFD, "SIGPIPE" },
		{ MFD_PARAMS_NO_MAIN, MFD_DETECTION_LEGACY, "legacy" },
	};
	struct mfd_params params = { .size = sizeof(params) };
	size_t i;

	it.err.size = sizeof(it.err);
	must(mfd_params_init(&params));
	must(mfd_open(&it.session, NULL, &it.err));
	it.session->info.detections |= 1 << MFD_DETECTION_LEGACY;
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		params.flags = wrong[i].flags;
		params.detection = wrong[i].detection;
		must_be(mfd_setup(it.session, &params, &it.err), -EINVAL, wrong[i].text);
	}
	params.flags = 0;
	params.detection = MFD_DETECTION_MULTIFD;
	params.machine = NULL;
	must_be(mfd_setup(it.session, &params, &it.err), -EINVAL, "machine");
	params.machine = "none";
	must(mfd_setup(it.session, &params, &it.err));
	must_be(mfd_setup(it.session, &params, &it.err), -EBUSY, "before");
	mfd_close(it.session);
}

/* --- once more, to another address */

/* So many files more than there are; -1: as many as before. */
static void allow_files(int more)
{
	static struct rlimit before;
	struct rlimit now;
	int next = dup(0);

	close(next);
	if (more >= 0)
		getrlimit(RLIMIT_NOFILE, &before);
	now = before;
	if (more >= 0)
		now.rlim_cur = next + more;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

TEST(connect_can_be_tried_again)
{
	const char *address;

	begin(0, 1000);
	must_be(mfd_connect(it.session, "unix:/nowhere/at/all", &it.err), -ENOENT, "/nowhere");
	must_be(mfd_connect(it.session, "carrier pigeon", &it.err), -EINVAL, "neither");
	address = listen_at(AF_UNIX);
	close(peer.listener);
	must_be(mfd_connect(it.session, address, &it.err), -ECONNREFUSED, "refused");
	/* the main connection and a channel can be made, another one not */
	address = listen_at(AF_UNIX);
	allow_files(2);
	must_be(mfd_connect(it.session, address, &it.err), -EMFILE, "channel 1");
	assert_int_equal(it.err.channel, 1);
	allow_files(-1);
	close(peer.listener);
	assert_int_equal(state(), MFD_STATE_SETUP);
	address = listen_at(AF_UNIX);
	peer.behave = read_channels;
	assert_int_equal(pthread_create(&peer.thread, NULL, serve, NULL), 0);
	must(mfd_connect(it.session, address, &it.err));
	assert_int_equal(state(), MFD_STATE_ACTIVE);
	pthread_join(peer.thread, NULL);
	over();
	close(peer.main);
	close(peer.channel[0]);
	close(peer.channel[1]);
	close(peer.listener);
}

TEST(cancelled_before_it_is_tried_again)
{
	begin(0, 1000);
	must_be(mfd_connect(it.session, "unix:/nowhere", &it.err), -ENOENT, "");
	mfd_cancel(it.session);
	must_be(mfd_connect(it.session, "unix:/nowhere", &it.err), -ECANCELED, "cancelled");
	assert_int_equal(it.err.kind, MFD_ERROR_CANCELED);
	over();
}

/* --- after fork */

static int in_child(int (*act)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(act());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int close_it(void)
{
	mfd_close(it.session);
	return 0;
}

static int try_everything(void)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_progress now = { .size = sizeof(now) };

	mfd_cancel(it.session);
	return mfd_send_all(it.block, 0, &err) != -ECHILD ||
	       mfd_finish(it.session, &err) != -ECHILD ||
	       mfd_device_state(it.session, "x", 1, &err) != -ECHILD ||
	       mfd_channel_run(it.session, 0, &err) != -ECHILD ||
	       mfd_rate(it.session, 1, &err) != -ECHILD ||
	       mfd_progress(it.session, &now) != -ECHILD ||
	       mfd_block_remove(it.block, &err) != -ECHILD ||
	       mfd_dirty_pages(it.block, 0, 1, &err) != -ECHILD ||
	       mfd_fd(it.session) != -1;
}

TEST(a_child_does_no_harm)
{
	pthread_t reader;

	begin(MFD_PARAMS_RETURN_PATH, 10000);
	answer.bytes = SHUT_0;
	answer.size = 8;
	answer.piece = 0;
	attach_all();
	assert_int_equal(pthread_create(&reader, NULL, answers, NULL), 0);
	must(mfd_start(it.session, &it.err));
	assert_int_equal(in_child(try_everything), 0);
	must(mfd_send_all(it.block, 0, &it.err));
	assert_int_equal(in_child(close_it), 0);
	/* even while another thread has the lock */
	pthread_mutex_lock(&it.session->lock);
	assert_int_equal(in_child(close_it), 0);
	pthread_mutex_unlock(&it.session->lock);
	must(mfd_round_finish(it.session, NULL, &it.err));
	must(mfd_finish(it.session, &it.err));
	pthread_join(reader, NULL);
	over();
}

/* --- jobs that fail */

static void round_fails(uint32_t error, uint32_t block, uint64_t offset,
			enum mfd_error_kind kind)
{
	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	must(mfd_send_all(it.block, 0, &it.err));
	module.wait.error = error;
	module.wait.error_block = block;
	module.wait.error_offset = offset;
	assert_int_equal(mfd_round_finish(it.session, NULL, &it.err), -(int)error);
	assert_int_equal(it.err.kind, kind);
	assert_string_equal(it.err.block, block ? "ram0" : "");
	assert_int_equal(it.err.offset, offset);
	over();
}

/* A page is to blame, or the session, as when a compressor has failed. */
TEST(whose_fault_it_is)
{
	round_fails(EFAULT, 1, 0x3000, MFD_ERROR_MEMORY);
	round_fails(EIO, 1, 0x3000, MFD_ERROR_MEMORY);
	round_fails(EIO, 0, 0, MFD_ERROR_OTHER);
	round_fails(ECANCELED, 0, 0, MFD_ERROR_CANCELED);
}

/* The module knows whether it was an administrator who has cancelled it. */
TEST(who_cancelled_it)
{
	static const struct {
		uint32_t reason;
		int code;
		bool admin;
	} cases[] = {
		{ MZP_REASON_ADMIN, ECANCELED, true },
		{ MZP_REASON_CLOSED, ECANCELED, false },
		{ MZP_REASON_ADMIN, EFAULT, false },
	};
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(MFD_PARAMS_NO_MAIN, 0);
		attach_channels();
		must(mfd_start(it.session, &it.err));
		module.status.reason = cases[i].reason;
		module.wait.error = cases[i].code;
		must(mfd_send_all(it.block, 0, &it.err));
		assert_int_equal(mfd_round_finish(it.session, NULL, &it.err), -cases[i].code);
		assert_int_equal(!!strstr(it.err.text, "an administrator has cancelled"),
				 cases[i].admin);
		over();
	}
}

/* --- errors of arguments */

TEST(arguments_cost_nothing)
{
	const struct mfd_range backwards = { (uintptr_t)memory + 4096, (uintptr_t)memory, 0 };
	const uint64_t bits[2] = { UINT64_MAX, UINT64_MAX };
	pthread_t reader;

	begin(MFD_PARAMS_RETURN_PATH, 1000);
	answer.bytes = SHUT_0;
	answer.size = 8;
	answer.piece = 0;
	attach_all();
	assert_int_equal(pthread_create(&reader, NULL, answers, NULL), 0);
	must(mfd_start(it.session, &it.err));
	must_be(mfd_send_bitmap(it.block, 0, 9, bits, 0, &it.err), -ERANGE, "beyond its end");
	must_be(mfd_send_bitmap(it.block, UINT64_MAX, 2, bits, 0, &it.err), -ERANGE, "beyond");
	must_be(mfd_send_all(it.block, 2, &it.err), -EINVAL, "unknown flags 0x2");
	must_be(mfd_send_all(NULL, 0, &it.err), -EINVAL, "no block");
	must_be(mfd_send_ranges(it.block, NULL, 1, 0, 0, &it.err), -EINVAL, "no ranges");
	module.send_error = EINVAL;
	must_be(mfd_send_ranges(it.block, &backwards, 1, (uintptr_t)memory, 0, &it.err), -EINVAL,
		"SEND");
	module.send_error = ENOMEM;
	must_be(mfd_send_all(it.block, 0, &it.err), -ENOMEM, "SEND");
	module.send_error = 0;
	must(mfd_send_bitmap(it.block, 0, 0, NULL, 0, &it.err));
	must_be(mfd_block_add(it.session, "late", memory, 4096, &it.block, &it.err), -EINVAL,
		"connected already");
	must_be(mfd_connect(it.session, "unix:/x", &it.err), -EINVAL, "connected already");
	must_be(mfd_finish(NULL, &it.err), -EINVAL, "no session");
	assert_int_equal(state(), MFD_STATE_ACTIVE);
	must(mfd_finish(it.session, &it.err));
	pthread_join(reader, NULL);
	over();
	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	/* this one is not the caller's fault */
	module.send_error = EIO;
	assert_int_equal(mfd_send_all(it.block, 0, &it.err), -EIO);
	module.send_error = 0;
	assert_int_equal(mfd_send_all(it.block, 0, &it.err), -EIO);
	assert_int_equal(state(), MFD_STATE_FAILED);
	over();
}

/* --- device state */

TEST(devices_stand_behind_ram)
{
	static const char ram_end[] = "\x03\0\0\0\1" "\0\0\0\0\0\0\0\x10" "\x7e\0\0\0\1";
	static const char devices[] = "\x04some bytes" "\x04\0\0\0\2\3cpu\0\0\0\5\0\0\0\1"
				      "state" "\x7e\0\0\0\2" "\0" "\6\0\0\0\2{}";
	pthread_t reader;
	char *at;

	begin(MFD_PARAMS_RETURN_PATH, 1000);
	answer.bytes = SHUT_0;
	answer.size = 8;
	answer.piece = 0;
	attach_all();
	assert_int_equal(pthread_create(&reader, NULL, answers, NULL), 0);
	must_be(mfd_device_state(it.session, "x", 1, &it.err), -EINVAL, "not connected");
	must(mfd_start(it.session, &it.err));
	must(mfd_send_all(it.block, 0, &it.err));
	must(mfd_device_state(it.session, "\x04some ", 6, &it.err));
	must_be(mfd_send_all(it.block, 0, &it.err), -EINVAL, "behind RAM");
	must_be(mfd_round_finish(it.session, NULL, &it.err), -EINVAL, "behind RAM");
	must(mfd_device_state(it.session, "bytes", 5, &it.err));
	must_be(mfd_device_section(it.session, "", 0, 0, NULL, 0, &it.err), -EINVAL, "name");
	must(mfd_device_section(it.session, "cpu", 5, 1, "state", 5, &it.err));
	must(mfd_finish(it.session, &it.err));
	pthread_join(reader, NULL);
	at = memmem(it.main_bytes, it.main_size, ram_end, sizeof(ram_end) - 1);
	assert_non_null(at);
	at += sizeof(ram_end) - 1;
	assert_int_equal(it.main_bytes + it.main_size - at, sizeof(devices) - 1);
	assert_memory_equal(at, devices, sizeof(devices) - 1);
	over();
}

/* --- convergence */

TEST(convergence)
{
	struct mfd_convergence now = { .size = sizeof(now) };

	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must_be(mfd_convergence(it.session, 0, 300, &now, &it.err), -EINVAL, "not connected");
	must(mfd_start(it.session, &it.err));
	/* 100 MB/s, for a second */
	it.session->last_round.bytes = 100000000;
	it.session->last_round.ns = 1000000000;
	must(mfd_convergence(it.session, 10000, 300, &now, &it.err));
	assert_int_equal(now.bandwidth, 100000000);
	assert_int_equal(now.threshold, 30000000);
	assert_int_equal(now.remaining, 40960000);
	assert_int_equal(now.expected_downtime_ms, 409);
	assert_int_equal(now.converged, 0);
	must(mfd_convergence(it.session, 7324, 300, &now, &it.err));
	assert_int_equal(now.converged, 1);
	must(mfd_convergence(it.session, 7325, 300, &now, &it.err));
	assert_int_equal(now.converged, 0);
	/* what is pending has to be sent as well */
	module.status.pending_pages = 10;
	module.status.pending_bytes = 1000;
	must(mfd_convergence(it.session, 0, 300, &now, &it.err));
	assert_int_equal(now.remaining, 10 * 4096 + 1000);
	now.size = 0;
	must_be(mfd_convergence(it.session, 0, 300, &now, &it.err), -EINVAL, "no size");
	over();
}

/* Nothing has been sent: then nothing is known, and that is not convergence. */
TEST(convergence_is_not_known)
{
	struct mfd_convergence now = { .size = sizeof(now) };

	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	must(mfd_convergence(it.session, 0, 300, &now, &it.err));
	assert_int_equal(now.bandwidth, 0);
	assert_int_equal(now.converged, 0);
	assert_true(now.expected_downtime_ms == UINT64_MAX);
	over();
}

/* --- pages that are marked */

static void sent(const char *pages)
{
	char text[MEMORY / 4096 + 1] = "";
	size_t i;

	for (i = 0; i < MEMORY / 4096; i++)
		text[i] = module.sent_bits >> i & 1 ? '1' : '.';
	assert_string_equal(text, pages);
	module.sent_bits = 0;
}

TEST(marked_pages)
{
	const struct mfd_gfn gfns[] = { { 1, 0x10002, 1 }, { 1, 3, 0 }, { 3, 0x10002, 1 } };
	const struct mfd_gfn wrong[] = { { 0, 3, 1 } }, unknown[] = { { 0, 4, 0 } };
	const uint64_t bits[] = { 0x1f };

	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	assert_int_equal(mfd_dirty_count(it.session), 0);
	must(mfd_dirty_pages(it.block, 1, 2, &it.err));
	must(mfd_dirty_pages(it.block, 2, 1, &it.err));
	assert_int_equal(mfd_dirty_count(it.session), 2);
	must_be(mfd_dirty_pages(it.block, 7, 2, &it.err), -ERANGE, "beyond its end");
	must_be(mfd_dirty_pages(it.block, UINT64_MAX, 2, &it.err), -ERANGE, "beyond its end");
	must(mfd_send_dirty(it.session, 0, &it.err));
	sent(".11.....");
	assert_int_equal(mfd_dirty_count(it.session), 0);
	must(mfd_send_dirty(it.session, 0, &it.err));
	sent("........");
	/* bits behind the last one that counts are not looked at */
	must(mfd_dirty_bitmap(it.block, 5, 3, bits, &it.err));
	must_be(mfd_dirty_bitmap(it.block, 5, 4, bits, &it.err), -ERANGE, "beyond its end");
	must(mfd_block_slot(it.block, 0x10002, 0, 2, &it.err));
	must(mfd_block_slot(it.block, 3, 2, 1, &it.err));
	must_be(mfd_block_slot(it.block, 5, 7, 2, &it.err), -ERANGE, "beyond its end");
	must(mfd_dirty_ring(it.session, gfns, 3, &it.err));
	must_be(mfd_dirty_ring(it.session, wrong, 1, &it.err), -ERANGE, "beyond its end");
	must_be(mfd_dirty_ring(it.session, unknown, 1, &it.err), -ENOENT, "slot 0x4");
	/* what could not be handed over stays marked */
	module.send_error = ENOMEM;
	must_be(mfd_send_dirty(it.session, 0, &it.err), -ENOMEM, "");
	module.send_error = 0;
	assert_int_equal(mfd_dirty_count(it.session), 5);
	must(mfd_send_dirty(it.session, 0, &it.err));
	sent(".11..111");
	over();
}

/* In a block of many words, against a bitmap of the test's own. */
TEST(marked_bitmaps_of_any_place)
{
	enum { PAGES = 1000 };
	uint64_t bitmap[PAGES / 64 + 1], first, count;
	struct mfd_block *block;
	bool expected[PAGES] = { false };
	unsigned int i, n, marked = 0;

	begin(MFD_PARAMS_NO_MAIN, 0);
	must(mfd_block_add(it.session, "long", memory, PAGES * 4096, &block, &it.err));
	for (n = 0; n < 300; n++) {
		first = rand() % PAGES;
		count = rand() % (PAGES - first + 1);
		for (i = 0; i < sizeof(bitmap) / sizeof(*bitmap); i++)
			bitmap[i] = n % 3 ? 1ull << rand() % 64 : UINT64_MAX;
		if (n % 2) {
			must(mfd_dirty_bitmap(block, first, count, bitmap, &it.err));
		} else {
			count /= 50;
			memset(bitmap, -1, sizeof(bitmap));
			must(mfd_dirty_pages(block, first, count, &it.err));
		}
		for (i = 0; i < count; i++)
			expected[first + i] |= bitmap[i / 64] >> i % 64 & 1;
		if (n % 30 == 29) {
			for (i = 0; i < PAGES; i++) {
				marked += expected[i];
				assert_int_equal(block->dirty[i / 64] >> i % 64 & 1, expected[i]);
			}
			assert_int_equal(mfd_dirty_count(it.session), marked);
			memset(expected, 0, sizeof(expected));
			memset(block->dirty, 0, (PAGES + 63) / 64 * 8);
			block->nr_dirty = marked = 0;
		}
	}
	over();
}

static atomic_bool marked_enough;

/* A vCPU's thread, whose ring is always full. */
static void *mark_from_elsewhere(void *data)
{
	struct mfd_block *block = data;
	struct mfd_gfn gfn = { .slot = 1 };

	while (!atomic_load(&marked_enough)) {
		gfn.offset = (gfn.offset + 7) % (MEMORY / 4096);
		if (mfd_dirty_ring(block->session, &gfn, 1, NULL))
			return "a page cannot be marked";
	}
	return NULL;
}

/* The marks and their count agree, whoever marks while they are taken. */
TEST(marked_by_other_threads)
{
	pthread_t thread;
	unsigned int n = 0;
	void *wrong;

	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	must(mfd_block_slot(it.block, 1, 0, MEMORY / 4096, &it.err));
	atomic_store(&marked_enough, false);
	assert_int_equal(pthread_create(&thread, NULL, mark_from_elsewhere, it.block), 0);
	while (n < 1000) {
		module.sent_bits = 0;
		must(mfd_send_dirty(it.session, 0, &it.err));
		n += module.sent_bits != 0;
	}
	atomic_store(&marked_enough, true);
	pthread_join(thread, &wrong);
	assert_null(wrong);
	assert_int_equal(mfd_dirty_count(it.session),
			 it.block->dirty ? __builtin_popcountll(it.block->dirty[0]) : 0);
	must(mfd_send_dirty(it.session, 0, &it.err));
	assert_int_equal(mfd_dirty_count(it.session), 0);
	over();
}

TEST(blocks_come_and_go)
{
	struct mfd_block *more, *last;

	begin(MFD_PARAMS_NO_MAIN, 0);
	attach_channels();
	must(mfd_start(it.session, &it.err));
	must(mfd_block_add(it.session, "more", memory, 4096, &more, &it.err));
	must(mfd_dirty_pages(more, 0, 1, &it.err));
	must(mfd_send_dirty(it.session, 0, &it.err));
	must(mfd_block_remove(more, &it.err));
	must(mfd_block_add(it.session, "last", memory, 4096, &last, &it.err));
	must(mfd_block_remove(it.block, &it.err));
	must_be(mfd_block_remove(NULL, &it.err), -EINVAL, "no session");
	assert_ptr_equal(it.session->blocks, last);
	must(mfd_dirty_pages(last, 0, 1, &it.err));
	must(mfd_send_dirty(it.session, 0, &it.err));
	over();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_that_all_is_well),
		cmocka_unit_test(it_says_that_it_has_failed),
		cmocka_unit_test(it_ends_without_saying_how_it_went),
		cmocka_unit_test(it_says_what_makes_no_sense),
		cmocka_unit_test(a_cancel_that_is_too_late),
		cmocka_unit_test(threads_of_the_callers),
		cmocka_unit_test(a_channel_fails_in_a_thread_of_the_callers),
		cmocka_unit_test(example_with_own_sockets),
		cmocka_unit_test(example_that_fails),
		cmocka_unit_test(what_is_attached),
		cmocka_unit_test(parameters_that_do_not_go_together),
		cmocka_unit_test(connect_can_be_tried_again),
		cmocka_unit_test(cancelled_before_it_is_tried_again),
		cmocka_unit_test(a_child_does_no_harm),
		cmocka_unit_test(whose_fault_it_is),
		cmocka_unit_test(who_cancelled_it),
		cmocka_unit_test(arguments_cost_nothing),
		cmocka_unit_test(devices_stand_behind_ram),
		cmocka_unit_test(convergence),
		cmocka_unit_test(convergence_is_not_known),
		cmocka_unit_test(marked_pages),
		cmocka_unit_test(marked_bitmaps_of_any_place),
		cmocka_unit_test(marked_by_other_threads),
		cmocka_unit_test(blocks_come_and_go),
	};
	char folder[] = "/tmp/test_lib_core.XXXXXX";
	int failed;

	memory = aligned_alloc(4096, MEMORY);
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
