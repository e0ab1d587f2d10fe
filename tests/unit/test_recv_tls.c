// SPDX-License-Identifier: GPL-2.0-only
/*
 * Both ends of libmfd with encrypted connections: real sockets, threads and handshakes. In
 * place of the module are pipes.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/multifd_wire.h>

#include "clock.h"
#include "lib_rig.h"
#include "link.h"
#include "mfd.h"
#include "mfd_recv.h"
#include "mfd_tls.h"
#include "recv_check.h"

#define PAGE 4096
#define PAGES 16
#define NO_PATIENCE_MS 300
/* for who has to shake hands meanwhile, maybe under valgrind */
#define SOME_PATIENCE_MS 2000
/* What an answer may take that needs not wait for anything. */
#define PROMPT_MS 500

static char folder[64], path[96], address[128];
static const char any_port[] = "tcp:127.0.0.1:0";

/* --- credentials: of both ends, and of a source that has the wrong ones */

static struct mfd_tls *ours, *theirs, *wrong;

static void write_keys(const char *name, char digit)
{
	char file[128], key[65];
	int fd;

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	memset(key, digit, 64);
	key[64] = '\n';
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "qemu:", 5), 5);
	assert_int_equal(write(fd, key, sizeof(key)), sizeof(key));
	close(fd);
}

static int load(struct mfd_tls **tls, const char *name, const char *user)
{
	struct mfd_tls_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	char file[128];
	int ret;

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	mfd_tls_params_init(&params);
	params.psk_file = file;
	params.psk_user = user;
	ret = user ? mfd_tls_source(tls, &params, &err) : mfd_tls_destination(tls, &params, &err);
	if (ret)
		fail_msg("%s", err.text);
	return ret;
}

static int load_credentials(void **unused)
{
	(void)unused;
	write_keys("keys", 'a');
	write_keys("wrong", 'b');
	return load(&ours, "keys", NULL) ?: load(&theirs, "keys", "qemu") ?:
	       load(&wrong, "wrong", "qemu");
}

static int free_credentials(void **unused)
{
	char file[128];

	(void)unused;
	mfd_tls_free(ours);
	mfd_tls_free(theirs);
	mfd_tls_free(wrong);
	snprintf(file, sizeof(file), "%s/keys", folder);
	unlink(file);
	snprintf(file, sizeof(file), "%s/wrong", folder);
	unlink(file);
	return 0;
}

/* A key is never used for more than it is good for, whatever is asked for. */
static void keys_that_wear_out(void **unused)
{
	struct mfd_tls_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_tls *tls;
	char file[128];

	(void)unused;
	snprintf(file, sizeof(file), "%s/keys", folder);
	mfd_tls_params_init(&params);
	params.psk_file = file;
	params.psk_user = "qemu";
	params.key_records = (1 << 24) + 1;
	assert_int_equal(mfd_tls_source(&tls, &params, &err), -EINVAL);
	assert_non_null(strstr(err.text, "16777216"));
	params.key_records = 1 << 24;
	assert_int_equal(mfd_tls_source(&tls, &params, &err), 0);
	mfd_tls_free(tls);
}

/* --- the destination: a receiver at work in a thread of its own */

static struct {
	struct mfd_recv *recv;
	uint8_t *memory;
	pthread_t thread;
	int ret;
	struct mfd_error err;
	_Atomic unsigned int strangers;
	char why[4096];			/* all that is said of them; under the lock */
	atomic_bool over;
} it;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note_stranger(const struct mfd_error *why, void *unused)
{
	size_t used;

	(void)unused;
	pthread_mutex_lock(&lock);
	used = strlen(it.why);
	snprintf(it.why + used, sizeof(it.why) - used, "%s\n", why->text);
	pthread_mutex_unlock(&lock);
	it.strangers++;
}

static void *receive(void *unused)
{
	it.ret = mfd_recv_run(it.recv, &it.err);
	it.over = true;
	return unused;
}

static void start_with(const char *where, unsigned int stall_ms, struct mfd_tls *tls)
{
	struct mfd_recv_params params = { .size = sizeof(params) };

	memset(&it, 0, sizeof(it));
	it.err.size = sizeof(it.err);
	it.memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	assert_ptr_not_equal(it.memory, MAP_FAILED);
	mfd_recv_params_init(&params);
	params.channels = CHANNELS;
	params.stall_ms = stall_ms;
	params.stranger = note_stranger;
	params.tls = tls;
	if (mfd_recv_open(&it.recv, &params, &it.err) ||
	    mfd_recv_block_add(it.recv, "ram0", it.memory, PAGES * PAGE, 0, &it.err) ||
	    mfd_recv_listen(it.recv, where, &it.err))
		fail_msg("%s", it.err.text);
	assert_int_equal(pthread_create(&it.thread, NULL, receive, NULL), 0);
}

static void start(void)
{
	start_with(address, PATIENCE_MS, ours);
}

static void close_it(void)
{
	mfd_recv_close(it.recv);
	munmap(it.memory, PAGES * PAGE);
}

static void finish(int ret, const char *text)
{
	pthread_join(it.thread, NULL);
	if (it.ret != ret || (ret && !strstr(it.err.text, text)))
		fail_msg("%d '%s' was expected, not %d '%s'", ret, ret ? text : "", it.ret,
			 it.ret ? it.err.text : "");
	close_it();
}

static bool turned_away(const char *text)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = strstr(it.why, text);
	pthread_mutex_unlock(&lock);
	return found;
}

/* One was turned away, for that. */
static void wait_for_stranger(const char *text)
{
	uint64_t until = mfd_now() + PATIENCE_MS * 1000000ull;

	while (!turned_away(text) && !it.over && mfd_now() < until)
		usleep(1000);
	if (!turned_away(text))
		fail_msg("'%s' was expected of a stranger, not '%s'", text, it.why);
}

/* --- what a source says */

#define HEAD	"QEVM\0\0\0\3" "\7\0\0\0\4none"
#define SETUP	"\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4" "\0\0\0\0\0\1\0\4" "\4ram0\0\0\0\0\0\1\0\0"
#define FLUSH	"\0\0\0\0\0\0\2\0"
#define END	"\0\0\0\0\0\0\0\x10" "\x7e\0\0\0\1"
#define LAST	"\3\0\0\0\1"
#define FINISH	"\0\6\0\0\0\2{}"

/* All of a channel: who it is, SYNC of the set-up, the channel's share of the pages, SYNC. */
struct stream {
	struct mzp_wire_init init;
	struct mzp_wire_packet set_up;
	struct mzp_wire_packet packet;
	uint8_t pages[PAGES / CHANNELS][PAGE];
	struct mzp_wire_packet sync;
} __attribute__((packed));

static struct mzp_wire_packet packet(unsigned int flags)
{
	return (struct mzp_wire_packet) {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION),
		.flags = htobe32(flags),
	};
}

static uint8_t filling(unsigned int number)
{
	return 'a' + number;
}

/* Not side by side: each page is a piece of memory of its own. */
static struct stream *make_stream(unsigned int id)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	unsigned int i, number;

	assert_non_null(stream);
	stream->init.magic = htobe32(MZP_WIRE_MAGIC);
	stream->init.version = htobe32(MZP_WIRE_VERSION);
	stream->init.id = id;
	stream->set_up = packet(MZP_WIRE_SYNC);
	stream->packet = packet(0);
	stream->packet.pages_alloc = htobe32(128);
	stream->packet.normal_pages = htobe32(PAGES / CHANNELS);
	stream->packet.payload_size = htobe32(sizeof(stream->pages));
	strcpy((char *)stream->packet.idstr, "ram0");
	for (i = 0; i < PAGES / CHANNELS; i++) {
		number = i * CHANNELS + id;
		stream->packet.offset[i] = htobe64((uint64_t)number * PAGE);
		memset(stream->pages[i], filling(number), PAGE);
	}
	stream->sync = packet(MZP_WIRE_SYNC);
	return stream;
}

static void assert_memory(void)
{
	uint8_t page[PAGE];
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		memset(page, filling(i), PAGE);
		assert_memory_equal(it.memory + i * PAGE, page, PAGE);
	}
}

/* --- a source: libmfd's */

static struct {
	uint32_t flags;
	struct mfd_tls *tls;
	int ret;
	struct mfd_error err;
} source = { .err.size = sizeof(source.err) };

static int send_rounds(struct mfd_session *session, struct mfd_block *block)
{
	return mfd_connect(session, mfd_recv_address(it.recv), &source.err) ?:
	       mfd_send_all(block, 0, &source.err) ?:
	       mfd_round_finish(session, NULL, &source.err) ?: mfd_finish(session, &source.err);
}

static void run_session(void *memory)
{
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_session *session;
	struct mfd_block *block;

	mfd_params_init(&params);
	params.channels = CHANNELS;
	params.flush = MFD_FLUSH_ROUND;
	params.flags = source.flags;
	params.stall_ms = PATIENCE_MS;
	params.tls = source.tls;
	assert_int_equal(mfd_open(&session, NULL, &source.err), 0);
	if (mfd_setup(session, &params, &source.err) ||
	    mfd_block_add(session, "ram0", memory, PAGES * PAGE, &block, &source.err))
		fail_msg("%s", source.err.text);
	source.ret = send_rounds(session, block);
	mfd_close(session);
}

static void migrate(struct mfd_tls *tls, uint32_t flags)
{
	struct stream *stream[CHANNELS];
	void *memory = aligned_alloc(PAGE, PAGES * PAGE);
	unsigned int i;

	assert_non_null(memory);
	memset(&module, 0, sizeof(module));
	memset(module.pipe, -1, sizeof(module.pipe));
	module.bytes = sizeof(**stream);
	for (i = 0; i < CHANNELS; i++)
		module.stream[i] = stream[i] = make_stream(i);
	source.tls = tls;
	source.flags = flags;
	run_session(memory);
	for (i = 0; i < CHANNELS; i++) {
		if (module.pipe[i] >= 0)
			pthread_join(module.thread[i], NULL);
		free(stream[i]);
	}
	free(memory);
}

static void source_must_work(void)
{
	if (source.ret)
		fail_msg("the source: %d '%s'", source.ret, source.err.text);
}

static void source_must_fail(const char *text)
{
	if (!source.ret || !strstr(source.err.text, text))
		fail_msg("the source: %d '%s'", source.ret, source.ret ? source.err.text : "");
}

static uint32_t connections(struct mfd_tls *tls)
{
	struct mfd_tls_info info = { .size = sizeof(info) };

	assert_int_equal(mfd_tls_info(tls, &info), 0);
	return info.connections;
}

static void must_migrate(const char *where, uint32_t flags)
{
	uint32_t before = connections(ours), at_source = connections(theirs);

	start_with(where, PATIENCE_MS, ours);
	migrate(theirs, flags);
	pthread_join(it.thread, NULL);
	if (it.ret)
		fail_msg("%d '%s', the source: %d '%s'", it.ret, it.err.text, source.ret,
			 source.err.text);
	source_must_work();
	assert_memory();
	assert_int_equal(connections(ours) - before, CHANNELS + 1);
	assert_int_equal(connections(theirs) - at_source, CHANNELS + 1);
	close_it();
}

TEST(a_migration)
{
	must_migrate(address, 0);
	must_migrate(any_port, 0);
}

TEST(a_migration_with_a_return_path)
{
	must_migrate(address, MFD_PARAMS_RETURN_PATH);
	must_migrate(any_port, MFD_PARAMS_RETURN_PATH);
}

/* --- a source that is made by hand */

static int dial(void)
{
	const char *where = mfd_recv_address(it.recv);
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	bool local = *where == 'u';
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(un.sun_path, path);
	in.sin_port = htons(atoi(strrchr(where, ':') + 1));
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	assert_true(fd >= 0);
	if (connect(fd, local ? (void *)&un : (void *)&in, local ? sizeof(un) : sizeof(in)) &&
	    errno != EINPROGRESS)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

static int nothing_wrong(void *unused, struct mfd_error *err)
{
	(void)unused, (void)err;
	return 0;
}

static int shake_hands(struct mfd_link *link, struct mfd_tls *tls)
{
	struct mfd_wait wait = { .deadline = mfd_wait_until(PATIENCE_MS), .check = nothing_wrong };
	struct mfd_error err = { .size = sizeof(err) };

	*link = (struct mfd_link) { .fd = dial() };
	return mfd_link_secure(link, tls, NULL, &wait, &err);
}

static struct mfd_link connect_link(void)
{
	struct mfd_link link;

	assert_int_equal(shake_hands(&link, theirs), 0);
	return link;
}

/* A record, unless it is too large for one. */
static void say(struct mfd_link *link, const void *data, size_t size)
{
	struct pollfd fd = { .fd = link->fd, .events = POLLOUT };
	const char *from = data;
	ssize_t n;

	while (size) {
		n = mfd_link_send(link, from, size);
		if (n < 0 && errno == EAGAIN) {
			poll(&fd, 1, -1);
			continue;
		}
		assert_true(n > 0);
		from += n;
		size -= n;
	}
}

#define SAY(link, text) say(link, text, sizeof(text) - 1)

static void hang_up_link(struct mfd_link *link)
{
	mfd_link_close(link, false);
}

static bool source_is_there(void)
{
	struct mfd_recv_progress now = { .size = sizeof(now) };

	mfd_recv_progress(it.recv, &now);
	return now.state == MFD_RECV_RECEIVING;
}

static struct mfd_link arrive(void)
{
	struct mfd_link link = connect_link();

	SAY(&link, HEAD);
	while (!source_is_there() && !it.over)
		usleep(1000);
	assert_true(source_is_there());
	return link;
}

/*
 * Who says what it is, and all else, in one record: but for the first 64 bytes it is in no
 * socket any more when the channels' threads begin to wait.
 */
TEST(more_in_a_record_than_is_asked_for)
{
	struct mfd_link channel[CHANNELS], link;
	struct stream *stream;
	unsigned int i;

	start();
	link = connect_link();
	SAY(&link, HEAD SETUP FLUSH END LAST FLUSH END FINISH);
	for (i = 0; i < CHANNELS; i++) {
		channel[i] = connect_link();
		stream = make_stream(i);
		say(&channel[i], stream, sizeof(*stream));
		free(stream);
	}
	for (i = 0; i < CHANNELS; i++)
		hang_up_link(&channel[i]);
	hang_up_link(&link);
	pthread_join(it.thread, NULL);
	if (it.ret)
		fail_msg("%s", it.err.text);
	assert_memory();
	close_it();
}

/* Behind the last SYNC there is another packet, whose pages are yet to come. */
static void say_too_much(struct mfd_link *link, unsigned int id)
{
	struct {
		struct stream stream;
		struct mzp_wire_packet packet;
	} *all = calloc(1, sizeof(*all));
	struct stream *stream = make_stream(id);

	assert_non_null(all);
	all->stream = *stream;
	all->packet = stream->packet;
	say(link, all, sizeof(*all));
	free(stream);
	free(all);
}

/* Is there an answer on the return path within that time? */
static bool answered(struct mfd_link *link, unsigned int ms)
{
	uint64_t until = mfd_now() + ms * 1000000ull;
	char reply[64];
	ssize_t n;

	do {
		mfd_link_wait(link, 10);
		n = mfd_link_recv(link, reply, sizeof(reply));
	} while (n < 0 && errno == EAGAIN && mfd_now() < until);
	return n >= 0;
}

#define OPEN_RETURN_PATH "\x8\0\1\0\0"

TEST(not_told_with_half_a_packet_at_the_end)
{
	struct mfd_link channel[CHANNELS], link;
	unsigned int i;

	start();
	link = connect_link();
	SAY(&link, HEAD OPEN_RETURN_PATH SETUP FLUSH END LAST FLUSH END FINISH);
	for (i = 0; i < CHANNELS; i++) {
		channel[i] = connect_link();
		say_too_much(&channel[i], i);
	}
	assert_false(answered(&link, NO_PATIENCE_MS));
	for (i = 0; i < CHANNELS; i++)
		hang_up_link(&channel[i]);
	finish(-EPROTO, mfd_recv_check_text(RECV_PACKET_EOF));
	hang_up_link(&link);
}

/* --- who is not the source */

/* They come and go, or stay, and then the source comes. */
TEST(strangers)
{
	static const char http[] = "GET / HTTP/1.0\r\n\r\n";
	static const char half[] = "\x16\x03\x01\x02\0\1\0\1\xfc\3\3";
	int fd[2];
	unsigned int i;

	start();
	fd[0] = dial();
	assert_true(send(fd[0], http, sizeof(http) - 1, MSG_NOSIGNAL) > 0);
	wait_for_stranger("the source does not speak TLS");
	close(dial());
	wait_for_stranger("the source closed the connection during the handshake");
	/* its place is needed */
	fd[1] = dial();
	assert_true(send(fd[1], half, sizeof(half) - 1, MSG_NOSIGNAL) > 0);
	migrate(theirs, 0);
	source_must_work();
	pthread_join(it.thread, NULL);
	if (it.ret)
		fail_msg("%s", it.err.text);
	assert_memory();
	assert_int_equal(it.strangers, 3);
	close_it();
	for (i = 0; i < 2; i++)
		close(fd[i]);
}

/* Whoever has shown who it is keeps its place, though it is silent, and was there before. */
TEST(a_silent_source)
{
	struct mfd_link link, channel[CHANNELS];
	struct stream *stream;
	int fd[CHANNELS];
	unsigned int i;

	start();
	link = connect_link();
	/* these have all other places */
	for (i = 0; i < CHANNELS; i++)
		fd[i] = dial();
	for (i = 0; i < CHANNELS; i++) {
		channel[i] = connect_link();
		stream = make_stream(i);
		say(&channel[i], stream, sizeof(*stream));
		free(stream);
	}
	SAY(&link, HEAD SETUP FLUSH END LAST FLUSH END FINISH);
	for (i = 0; i < CHANNELS; i++) {
		hang_up_link(&channel[i]);
		close(fd[i]);
	}
	hang_up_link(&link);
	finish(0, NULL);
}

static void cancel_it(const char *stranger)
{
	wait_for_stranger(stranger);
	mfd_recv_cancel(it.recv);
	finish(-ECANCELED, "");
}

TEST(the_wrong_key)
{
	start();
	migrate(wrong, 0);
	source_must_fail("TLS");
	cancel_it("the source's key is not its user's in ");
}

TEST(a_source_that_does_not_encrypt)
{
	start();
	migrate(NULL, 0);
	assert_int_not_equal(source.ret, 0);
	cancel_it("the source does not speak TLS");
}

TEST(a_destination_that_does_not)
{
	start_with(address, PATIENCE_MS, NULL);
	migrate(theirs, 0);
	source_must_fail("does it expect TLS");
	cancel_it(mfd_recv_check_text(RECV_TLS));
}

TEST(credentials_of_the_other_side)
{
	struct mfd_recv_params recv_params = { .size = sizeof(recv_params) };
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_session *session;
	struct mfd_recv *receiver;

	mfd_params_init(&params);
	params.tls = ours;
	assert_int_equal(mfd_open(&session, NULL, &err), 0);
	assert_int_equal(mfd_setup(session, &params, &err), -EINVAL);
	assert_non_null(strstr(err.text, "mfd_tls_source"));
	mfd_close(session);
	mfd_recv_params_init(&recv_params);
	recv_params.tls = theirs;
	assert_int_equal(mfd_recv_open(&receiver, &recv_params, &err), -EINVAL);
	assert_non_null(strstr(err.text, "mfd_tls_destination"));
}

/* --- who must not connect: the source is there */

TEST(garbage)
{
	struct mfd_link link;
	int fd;

	start();
	link = arrive();
	fd = dial();
	assert_true(send(fd, "HTTP/1.0", 8, MSG_NOSIGNAL) == 8);
	finish(-EPROTO, "does not speak TLS");
	close(fd);
	hang_up_link(&link);
}

TEST(the_wrong_key_on_a_channel)
{
	struct mfd_link link, channel;

	start();
	link = arrive();
	shake_hands(&channel, wrong);
	finish(-EKEYREJECTED, "the source's key is not its user's in ");
	hang_up_link(&channel);
	hang_up_link(&link);
}

TEST(leaves_without_a_word)
{
	struct mfd_link link, channel;

	start();
	link = arrive();
	channel = connect_link();
	hang_up_link(&channel);
	finish(-EPROTO, mfd_recv_check_text(RECV_HANDSHAKE));
	hang_up_link(&link);
}

/* Those who look whether a port is open do not say anything. */
TEST(leaves_without_a_handshake)
{
	struct mfd_link link;

	start();
	link = arrive();
	close(dial());
	cancel_it("the source closed the connection during the handshake");
	hang_up_link(&link);
}

/* --- who stands still */

static uint64_t ms_since(uint64_t then)
{
	return (mfd_now() - then) / 1000000;
}

TEST(a_handshake_that_stalls)
{
	struct mfd_link link;
	uint64_t then;
	int fd;

	start_with(address, SOME_PATIENCE_MS, ours);
	then = mfd_now();
	fd = dial();
	assert_int_equal(send(fd, "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
	wait_for_stranger("TLS: a connection has not completed its handshake for 2.0 s");
	assert_true(ms_since(then) >= SOME_PATIENCE_MS);
	assert_true(ms_since(then) < SOME_PATIENCE_MS + PROMPT_MS);
	close(fd);
	/* and one that comes when the source is there */
	link = arrive();
	then = mfd_now();
	fd = dial();
	assert_int_equal(send(fd, "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
	finish(-ETIMEDOUT, "");
	assert_true(ms_since(then) < SOME_PATIENCE_MS + PROMPT_MS);
	close(fd);
	hang_up_link(&link);
}

TEST(cancelled_in_a_handshake)
{
	uint64_t then;
	int fd;

	start();
	fd = dial();
	assert_int_equal(send(fd, "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
	/* that it was read nobody tells */
	usleep(20000);
	then = mfd_now();
	mfd_recv_cancel(it.recv);
	finish(-ECANCELED, "");
	assert_true(ms_since(then) < PROMPT_MS);
	close(fd);
}

/* --- what goes wrong later */

/* Pages are written by GnuTLS, for which a page that cannot be had would be SIGBUS. */
TEST(no_memory_to_read_into)
{
	int fd = memfd_create("short", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	start();
	assert_ptr_equal(mmap(it.memory, PAGES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0), it.memory);
	close(fd);
	migrate(theirs, 0);
	assert_int_not_equal(source.ret, 0);
	pthread_join(it.thread, NULL);
	assert_int_equal(it.ret, -EFAULT);
	assert_int_equal(it.err.kind, MFD_ERROR_MEMORY);
	close_it();
}

/* Without a return path, a UNIX socket that is closed looks as if all was well. */
TEST(told_of_failure)
{
	static const char *const where[] = { address, any_port };
	struct mfd_link link;
	char byte;
	ssize_t n;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		start_with(where[i], PATIENCE_MS, ours);
		link = arrive();
		mfd_recv_cancel(it.recv);
		finish(-ECANCELED, "");
		mfd_link_wait(&link, PATIENCE_MS);
		n = mfd_link_recv(&link, &byte, sizeof(byte));
		assert_int_equal(n, i ? -1 : 1);
		hang_up_link(&link);
	}
}

/* A source that has ended its side of a connection still has to be told. */
TEST(told_of_failure_after_an_end)
{
	struct mfd_link channel[CHANNELS], link;
	char byte;
	ssize_t n;
	unsigned int i;

	start();
	link = connect_link();
	SAY(&link, HEAD SETUP FLUSH END LAST END FINISH);
	for (i = 0; i < CHANNELS; i++) {
		struct stream *stream = make_stream(i);

		channel[i] = connect_link();
		say(&channel[i], stream, offsetof(struct stream, packet) + 4);
		free(stream);
	}
	shutdown(link.fd, SHUT_WR);
	while ((n = mfd_link_recv(&link, &byte, sizeof(byte))) < 0 && errno == EAGAIN)
		mfd_link_wait(&link, 10);
	assert_int_equal(n, 0);
	/* nor is that another thing when it is looked at once more */
	assert_int_equal(mfd_link_recv(&link, &byte, sizeof(byte)), 0);
	shutdown(channel[0].fd, SHUT_WR);
	finish(-EPROTO, mfd_recv_check_text(RECV_PACKET_EOF));
	for (i = 0; i < CHANNELS; i++) {
		assert_int_equal(mfd_link_recv(&channel[i], &byte, sizeof(byte)), 1);
		hang_up_link(&channel[i]);
	}
	hang_up_link(&link);
}

/* Cut off in the middle of a record: that is no end of a migration. */
TEST(cut_off)
{
	struct mfd_link channel[CHANNELS], link;
	struct stream *stream = make_stream(0);
	unsigned int i;

	start();
	link = connect_link();
	SAY(&link, HEAD SETUP FLUSH END);
	for (i = 0; i < CHANNELS; i++)
		channel[i] = connect_link();
	for (i = 0; i < CHANNELS; i++) {
		stream->init.id = i;
		say(&channel[i], stream, sizeof(*stream) - sizeof(stream->sync) - PAGE);
	}
	hang_up_link(&channel[1]);
	finish(-EPROTO, mfd_recv_check_text(RECV_PACKET_EOF));
	hang_up_link(&channel[0]);
	hang_up_link(&link);
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_wear_out),
		cmocka_unit_test(a_migration),
		cmocka_unit_test(a_migration_with_a_return_path),
		cmocka_unit_test(more_in_a_record_than_is_asked_for),
		cmocka_unit_test(not_told_with_half_a_packet_at_the_end),
		cmocka_unit_test(strangers),
		cmocka_unit_test(a_silent_source),
		cmocka_unit_test(the_wrong_key),
		cmocka_unit_test(a_source_that_does_not_encrypt),
		cmocka_unit_test(a_destination_that_does_not),
		cmocka_unit_test(credentials_of_the_other_side),
		cmocka_unit_test(garbage),
		cmocka_unit_test(the_wrong_key_on_a_channel),
		cmocka_unit_test(leaves_without_a_word),
		cmocka_unit_test(leaves_without_a_handshake),
		cmocka_unit_test(a_handshake_that_stalls),
		cmocka_unit_test(cancelled_in_a_handshake),
		cmocka_unit_test(no_memory_to_read_into),
		cmocka_unit_test(told_of_failure),
		cmocka_unit_test(told_of_failure_after_an_end),
		cmocka_unit_test(cut_off),
	};
	int failed;

	strcpy(folder, "/tmp/test_recv_tls.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(address, sizeof(address), "unix:%s", path);
	/* GnuTLS writes to sockets that the other side may have closed */
	signal(SIGPIPE, SIG_IGN);
	failed = cmocka_run_group_tests(tests, load_credentials, free_credentials);
	rmdir(folder);
	return failed;
}
