// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd's receiver with real sockets and threads: who may connect, who waits for
 * whom, and that nothing is left behind however it ends.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include <linux/multifd_wire.h>

#include "mfd_recv.h"
#include "recv_check.h"

#define PAGE 4096
#define PAGES 4
/* Long enough for everything that does not wait for it. */
#define PATIENCE_MS 50000
#define NO_PATIENCE_MS 200

static char folder[64], path[96], address[128];
static const char any_port[] = "tcp:127.0.0.1:0";
static unsigned int threads, fds;

/* --- a receiver at work in a thread of its own */

static struct {
	struct mfd_recv *recv;
	uint8_t *memory;
	pthread_t thread;
	int ret;
	struct mfd_error err;
	char devices[4096];
	_Atomic size_t devices_size;
	atomic_bool over;		/* the thread is at its end */
	atomic_bool hold;		/* who has received an empty packet */
	_Atomic unsigned int packets;
	_Atomic unsigned int strangers;
} it;

static unsigned int entries(const char *of)
{
	DIR *dir = opendir(of);
	unsigned int nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static int keep_devices(const void *data, size_t size, void *opaque)
{
	assert_ptr_equal(opaque, &it);
	assert_true(size <= sizeof(it.devices) - it.devices_size);
	memcpy(it.devices + it.devices_size, data, size);
	it.devices_size += size;
	return 0;
}

static void count_packet(const struct mfd_recv_packet *packet, void *opaque)
{
	assert_ptr_equal(opaque, &it);
	assert_true(packet->channel < 2);
	while (it.hold && !packet->normal_pages && !packet->flags)
		usleep(1000);
	it.packets++;
}

static int (*take_devices)(const void *data, size_t size, void *opaque) = keep_devices;

static void count_stranger(const struct mfd_error *why, void *opaque)
{
	assert_ptr_equal(opaque, &it);
	assert_int_not_equal(why->code, 0);
	it.strangers++;
}

static void *run(void *unused)
{
	it.ret = mfd_recv_run(it.recv, &it.err);
	it.over = true;
	return unused;
}

static unsigned int block_flags = MFD_RECV_FRESH;

static void open_with(const char *where, unsigned int stall_ms, enum mfd_method method)
{
	struct mfd_recv_params params = { .size = sizeof(params) };

	threads = entries("/proc/self/task");
	fds = entries("/proc/self/fd");
	memset(&it, 0, sizeof(it));
	it.err.size = sizeof(it.err);
	it.memory = aligned_alloc(PAGE, PAGES * PAGE);
	assert_non_null(it.memory);
	memset(it.memory, 0, PAGES * PAGE);
	mfd_recv_params_init(&params);
	params.stall_ms = stall_ms;
	params.method = method;
	params.device_state = take_devices;
	params.packet = count_packet;
	params.stranger = count_stranger;
	params.opaque = &it;
	if (mfd_recv_open(&it.recv, &params, &it.err) ||
	    mfd_recv_block_add(it.recv, "ram0", it.memory, PAGES * PAGE, block_flags,
			       &it.err) ||
	    mfd_recv_listen(it.recv, where, &it.err))
		fail_msg("%s", it.err.text);
}

static void open_at(const char *where, unsigned int stall_ms)
{
	open_with(where, stall_ms, MFD_METHOD_NONE);
}

static void launch(void)
{
	assert_int_equal(pthread_create(&it.thread, NULL, run, NULL), 0);
}

static void start(void)
{
	open_at(address, PATIENCE_MS);
	launch();
}

static int peers[8];
static unsigned int nr_peers;

static void drop(int fd)
{
	unsigned int i;

	for (i = 0; peers[i] != fd; i++)
		assert_true(i < nr_peers);
	peers[i] = peers[--nr_peers];
	close(fd);
}

static void hang_up(void)
{
	while (nr_peers)
		drop(peers[0]);
}

/* It ended like that, and threads, files and the socket's path are gone. */
static void finish(int ret, const char *text)
{
	pthread_join(it.thread, NULL);
	if (it.ret != ret || (ret && !strstr(it.err.text, text)))
		fail_msg("%d '%s' was expected, not %d '%s'", ret, text, it.ret,
			 it.ret ? it.err.text : "");
	assert_int_equal(entries("/proc/self/task"), threads);
	mfd_recv_close(it.recv);
	hang_up();
	assert_int_equal(entries("/proc/self/fd"), fds);
	assert_int_not_equal(access(path, F_OK), 0);
	free(it.memory);
}

static void finish_refused(enum mfd_recv_check check)
{
	finish(-EPROTO, mfd_recv_check_text(check));
}

/* --- the source */

static int dial_local(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static int dial_tcp(const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static int dial(void)
{
	const char *where = mfd_recv_address(it.recv);
	int fd = *where == 'u' ? dial_local() : dial_tcp(strrchr(where, ':') + 1);

	assert_true(nr_peers < sizeof(peers) / sizeof(*peers));
	peers[nr_peers++] = fd;
	return fd;
}

/* A receiver that has failed may be gone already. */
static void say(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	assert_true(n == (ssize_t)size || (n < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static void introduce(int fd, unsigned int id)
{
	struct mzp_wire_init init = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION), .id = id,
	};

	say(fd, &init, sizeof(init));
}

static int channel(unsigned int id)
{
	int fd = dial();

	introduce(fd, id);
	return fd;
}

static void packet(int fd, unsigned int flags)
{
	struct mzp_wire_packet wire = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION),
		.flags = htobe32(flags),
	};

	say(fd, &wire, sizeof(wire));
}

static void normal_page(int fd, unsigned int number, unsigned int flags, const void *payload,
			size_t size)
{
	struct mzp_wire_packet wire = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION),
		.flags = htobe32(flags), .pages_alloc = htobe32(128), .normal_pages = htobe32(1),
		.payload_size = htobe32(size), .idstr = "ram0",
		.offset = { htobe64((uint64_t)number * PAGE) },
	};

	say(fd, &wire, sizeof(wire));
	say(fd, payload, size);
}

/* A page full of @filling. */
static void page(int fd, unsigned int number, char filling)
{
	char data[PAGE];

	memset(data, filling, sizeof(data));
	normal_page(fd, number, 0, data, sizeof(data));
}

/* The same, compressed; all of a channel's are one stream. */
static void zlib_page(int fd, z_stream *stream, unsigned int number, char filling)
{
	uint8_t data[PAGE], payload[PAGE];

	memset(data, filling, sizeof(data));
	stream->next_in = data;
	stream->avail_in = sizeof(data);
	stream->next_out = payload;
	stream->avail_out = sizeof(payload);
	assert_int_equal(deflate(stream, Z_SYNC_FLUSH), Z_OK);
	normal_page(fd, number, MZP_WIRE_ZLIB, payload, sizeof(payload) - stream->avail_out);
}

#define HEAD	"QEVM\0\0\0\3" "\7\0\0\0\4none"
#define SETUP	"\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4" "\0\0\0\0\0\0\x40\4" "\4ram0\0\0\0\0\0\0\x40\0"
#define FLUSH	"\0\0\0\0\0\0\2\0"
#define END	"\0\0\0\0\0\0\0\x10" "\x7e\0\0\0\1"
#define PART	"\2\0\0\0\1"
#define LAST	"\3\0\0\0\1"
#define FINISH	"\0\6\0\0\0\2{}"
#define SAY(fd, text) say(fd, text, sizeof(text) - 1)

static struct {
	int main;
	int channel[2];
} source;

static void set_up(void)
{
	SAY(source.main, HEAD SETUP FLUSH END);
	packet(source.channel[0], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
}

/* All connections, and the set-up with its SYNCs. */
static void begin(void)
{
	source.main = dial();
	source.channel[0] = channel(0);
	source.channel[1] = channel(1);
	set_up();
}

/* It comes, or the receiver is gone. */
static void wait_for(bool (*condition)(void))
{
	while (!condition() && !it.over)
		usleep(1000);
	assert_true(condition());
}

static bool source_is_there(void)
{
	struct mfd_recv_progress now = { .size = sizeof(now) };

	mfd_recv_progress(it.recv, &now);
	return now.state == MFD_RECV_RECEIVING;
}

/* The clock begins when the source is there, and ends with the migration. */
TEST(time_is_that_of_the_migration)
{
	struct mfd_recv_progress now = { .size = sizeof(now) };
	uint64_t ns;

	start();
	dial();
	usleep(100000);
	mfd_recv_progress(it.recv, &now);
	assert_int_equal(now.state, MFD_RECV_LISTENING);
	assert_int_equal(now.ns, 0);
	begin();
	SAY(source.main, LAST END FINISH);
	hang_up();
	pthread_join(it.thread, NULL);
	mfd_recv_progress(it.recv, &now);
	assert_int_equal(now.state, MFD_RECV_COMPLETE);
	ns = now.ns;
	assert_true(ns > 0);
	usleep(1000);
	mfd_recv_progress(it.recv, &now);
	assert_int_equal(now.ns, ns);
	mfd_recv_close(it.recv);
	free(it.memory);
}

/* The source is there, and then there is somebody else. */
static void arrive(void)
{
	source.main = dial();
	SAY(source.main, HEAD);
	wait_for(source_is_there);
}

static void say_wrong(void)
{
	arrive();
	SAY(dial(), "HTTP");
}

/* --- what must work */

TEST(a_migration)
{
	static const char devices[] = "\4\0\0\0\2\1d\0\0\0\0\0\0\0\1xyz" FINISH;
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };
	struct mfd_recv_progress sum = { .size = sizeof(sum) };

	start();
	begin();
	page(source.channel[0], 1, 'a');
	page(source.channel[1], 2, 'b');
	packet(source.channel[0], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
	SAY(source.main, LAST FLUSH END);
	say(source.main, devices, sizeof(devices) - 1);
	hang_up();
	pthread_join(it.thread, NULL);
	if (it.ret)
		fail_msg("%s", it.err.text);
	assert_int_equal(it.memory[1 * PAGE], 'a');
	assert_int_equal(it.memory[2 * PAGE], 'b');
	assert_int_equal(it.memory[0], 0);
	assert_int_equal(it.devices_size, sizeof(devices) - 1);
	assert_memory_equal(it.devices, devices, sizeof(devices) - 1);
	mfd_recv_progress(it.recv, &sum);
	assert_int_equal(sum.normal, 2);
	assert_int_equal(sum.packets, 6);
	assert_int_equal(sum.syncs, 2);
	assert_int_equal(sum.device_bytes, sizeof(devices) - 1);
	assert_int_equal(it.packets, 6);
	assert_int_equal(mfd_recv_channel_stats(it.recv, 1, &of), 0);
	assert_int_equal(of.packets, 3);
	assert_int_equal(of.syncs, 2);
	assert_int_equal(of.bytes, 64 + 3 * sizeof(struct mzp_wire_packet) + PAGE);
	assert_int_equal(mfd_recv_channel_stats(it.recv, 2, &of), -EINVAL);
	mfd_recv_close(it.recv);
	free(it.memory);
}

static bool channel_0_waits(void)
{
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };

	mfd_recv_channel_stats(it.recv, 0, &of);
	return of.syncs == 2;
}

static bool channel_1_was_heard(void)
{
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };

	mfd_recv_channel_stats(it.recv, 1, &of);
	return of.normal == 1;
}

/*
 * Channel 0 is far ahead: its page of the second round is there before channel 1
 * sends its own of the first. The newer one must win.
 */
TEST(a_channel_waits_at_sync)
{
	start();
	begin();
	packet(source.channel[0], MZP_WIRE_SYNC);
	page(source.channel[0], 1, '2');
	packet(source.channel[0], MZP_WIRE_SYNC);
	wait_for(channel_0_waits);
	page(source.channel[1], 1, '1');
	wait_for(channel_1_was_heard);
	assert_int_equal(it.memory[PAGE], '1');
	packet(source.channel[1], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
	SAY(source.main, PART FLUSH END LAST FLUSH END FINISH);
	hang_up();
	pthread_join(it.thread, NULL);
	if (it.ret)
		fail_msg("%s", it.err.text);
	assert_int_equal(it.memory[PAGE], '2');
	mfd_recv_close(it.recv);
	free(it.memory);
}

/* Machine types up to 8.0: each section's end waits, and nothing says so. */
TEST(flush_by_section)
{
	unsigned int i;

	start();
	source.channel[1] = channel(1);
	source.channel[0] = channel(0);
	source.main = dial();
	SAY(source.main, HEAD SETUP END PART END LAST END FINISH);
	page(source.channel[0], 0, 'x');
	/* as a 7.2 does it at times: SYNC on a packet with pages, then an empty one */
	for (i = 0; i < 3; i++) {
		packet(source.channel[0], MZP_WIRE_SYNC);
		packet(source.channel[0], 0);
		packet(source.channel[1], MZP_WIRE_SYNC);
	}
	hang_up();
	finish(0, NULL);
}

TEST(over_tcp)
{
	open_at(any_port, PATIENCE_MS);
	assert_memory_equal(mfd_recv_address(it.recv), "tcp:127.0.0.1:", 14);
	assert_string_not_equal(mfd_recv_address(it.recv), any_port);
	launch();
	say_wrong();
	finish_refused(RECV_MAGIC);
}

/* A network of this thread's own, where IPv6 sockets take no IPv4 by default. */
static bool separate_network(void)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
	close(fd);
	fd = open("/proc/sys/net/ipv6/bindv6only", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	assert_int_equal(write(fd, "1", 1), 1);
	close(fd);
	return true;
}

/* No host: of both kinds, whatever the system's default. */
TEST(over_tcp_to_any_address)
{
	int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	bool separate = separate_network();

	if (separate) {
		open_at("tcp::0", PATIENCE_MS);
		assert_memory_equal(mfd_recv_address(it.recv), "tcp:[::]:", 9);
		launch();
		say_wrong();
		finish_refused(RECV_MAGIC);
	}
	setns(before, CLONE_NEWNET);
	close(before);
	if (!separate)
		skip();
}

/* Those who look whether a port is open often do not even say goodbye. */
TEST(reset_without_a_word)
{
	struct linger at_once = { .l_onoff = 1 };
	int fd;

	open_at(any_port, PATIENCE_MS);
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	drop(fd);
	/* who comes next is listened to */
	launch();
	say_wrong();
	finish_refused(RECV_MAGIC);
}

/* All places are taken, and none of those who have them has said yet who it is. */
TEST(one_too_many_that_has_left)
{
	open_at(address, PATIENCE_MS);
	source.main = dial();
	source.channel[0] = dial();
	source.channel[1] = dial();
	drop(dial());
	launch();
	/* time to do it wrong */
	usleep(50000);
	introduce(source.channel[0], 0);
	introduce(source.channel[1], 1);
	set_up();
	SAY(source.main, LAST END FINISH);
	hang_up();
	finish(0, NULL);
}

TEST(listening)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct mfd_recv_params params = { .size = sizeof(params) };
	struct mfd_recv *second;
	struct mfd_error err = { .size = sizeof(err) };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* what a receiver that was killed leaves behind does not matter */
	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	start();
	/* but one that is at work keeps its address */
	mfd_recv_params_init(&params);
	assert_int_equal(mfd_recv_open(&second, &params, &err), 0);
	assert_int_equal(mfd_recv_listen(second, address, &err), -EINVAL);
	assert_int_equal(mfd_recv_block_add(second, "ram0", it.memory, PAGE, 0, &err), 0);
	assert_int_equal(mfd_recv_run(second, &err), -EINVAL);
	assert_int_equal(mfd_recv_listen(second, address, &err), -EADDRINUSE);
	mfd_recv_close(second);
	/* nor is it disturbed by who only looked, and went away */
	drop(dial());
	drop(dial());
	drop(dial());
	drop(dial());
	begin();
	SAY(source.main, LAST END FINISH);
	hang_up();
	finish(0, NULL);
}

static void expect_listening(const char *where, int expected)
{
	uint8_t memory[PAGE] __attribute__((aligned(PAGE)));
	struct mfd_recv_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_recv *recv;

	mfd_recv_params_init(&params);
	assert_int_equal(mfd_recv_open(&recv, &params, &err), 0);
	assert_int_equal(mfd_recv_block_add(recv, "ram0", memory, PAGE, 0, &err), 0);
	assert_int_equal(mfd_recv_listen(recv, where, &err), expected);
	mfd_recv_close(recv);
}

/* Somebody has removed the path and made a socket of its own there: it stays. */
TEST(a_path_that_changed_hands)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	open_at(address, PATIENCE_MS);
	assert_int_equal(unlink(path), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	mfd_recv_close(it.recv);
	free(it.memory);
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

/* Another one that was started at the same time, and is not done with listening yet. */
static struct {
	int folder, fd;
} other;

static void *listen_then_unlock(void *unused)
{
	usleep(50000);
	listen(other.fd, 1);
	close(other.folder);
	return unused;
}

TEST(two_at_the_same_path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	pthread_t thread;

	other.folder = open(folder, O_RDONLY | O_CLOEXEC);
	other.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(flock(other.folder, LOCK_EX), 0);
	strcpy(un.sun_path, path);
	assert_int_equal(bind(other.fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(pthread_create(&thread, NULL, listen_then_unlock, NULL), 0);
	expect_listening(address, -EADDRINUSE);
	pthread_join(thread, NULL);
	close(other.fd);
	/* and when it is gone, its path is free */
	expect_listening(address, 0);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* What is no socket is not in the way of one, whatever connecting to it says. */
TEST(a_file_in_the_way)
{
	static const char data[] = "precious";
	uint8_t memory[PAGE] __attribute__((aligned(PAGE)));
	struct mfd_recv_params params = { .size = sizeof(params) };
	struct mfd_recv *recv;
	struct mfd_error err = { .size = sizeof(err) };
	char found[16] = "";
	FILE *file = fopen(path, "w");
	int ret;

	assert_non_null(file);
	fputs(data, file);
	fclose(file);
	mfd_recv_params_init(&params);
	assert_int_equal(mfd_recv_open(&recv, &params, &err), 0);
	assert_int_equal(mfd_recv_block_add(recv, "ram0", memory, PAGE, 0, &err), 0);
	ret = mfd_recv_listen(recv, address, &err);
	mfd_recv_close(recv);
	assert_int_equal(ret, -EADDRINUSE);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(found, sizeof(found), file));
	fclose(file);
	unlink(path);
	assert_string_equal(found, data);
}

/* As with too many channels. */
TEST(too_few_file_descriptors)
{
	struct rlimit before, low;

	open_at(address, PATIENCE_MS);
	dial();
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = dup(0);
	close(low.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &low);
	launch();
	pthread_join(it.thread, NULL);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(it.ret, -EMFILE);
	assert_int_equal(it.err.kind, MFD_ERROR_RESOURCE);
	assert_non_null(strstr(it.err.text, "RLIMIT_NOFILE"));
	mfd_recv_close(it.recv);
	hang_up();
	free(it.memory);
}

TEST(parameters)
{
	struct mfd_recv_params params = { .size = sizeof(params) };
	struct mfd_recv *recv;

	mfd_recv_params_init(&params);
	params.channels = 0;
	assert_int_equal(mfd_recv_open(&recv, &params, NULL), -EINVAL);
	params.channels = 256;
	assert_int_equal(mfd_recv_open(&recv, &params, NULL), -EINVAL);
	params.channels = 255;
	params.method = 7;
	assert_int_equal(mfd_recv_open(&recv, &params, NULL), -EOPNOTSUPP);
	mfd_recv_close(NULL);
}

/* --- who is not the source */

static bool two_strangers(void)
{
	struct mfd_recv_progress now = { .size = sizeof(now) };

	mfd_recv_progress(it.recv, &now);
	return now.strangers == 2 && it.strangers == 2;
}

/* They come and go, and then the source comes. */
static void turned_away_then_migrate(void)
{
	wait_for(two_strangers);
	begin();
	SAY(source.main, LAST END FINISH);
	hang_up();
	finish(0, NULL);
}

TEST(strangers_that_speak)
{
	start();
	SAY(dial(), "GET / HTTP/1.0\r\n");
	SAY(dial(), "\x16\x03\x01\x02");
	turned_away_then_migrate();
}

TEST(strangers_that_leave)
{
	int fd;

	start();
	drop(dial());
	fd = dial();
	SAY(fd, "\x11\x22\x33\x44\0\0");
	drop(fd);
	turned_away_then_migrate();
}

/* Whoever is silent for too long loses his place, and the first who is, if there is no other. */
TEST(strangers_that_are_silent)
{
	unsigned int i;

	open_at(address, 10 * NO_PATIENCE_MS);
	dial();
	SAY(dial(), "\x11\x22\x33\x44\0\0");
	launch();
	turned_away_then_migrate();
	start();
	for (i = 0; i < 5; i++)
		dial();
	wait_for(two_strangers);
	/* the source finds a place, also for its last connection */
	source.main = dial();
	source.channel[0] = channel(0);
	source.channel[1] = channel(1);
	set_up();
	SAY(source.main, LAST END FINISH);
	hang_up();
	finish(0, NULL);
}

/* That is a source, but another one. */
TEST(another_uuid)
{
	struct mzp_wire_init init = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION),
		.uuid = { 1 },
	};

	start();
	say(dial(), &init, sizeof(init));
	finish_refused(RECV_UUID);
}

/* --- who must not connect */

TEST(the_same_id_twice)
{
	start();
	channel(1);
	channel(1);
	finish_refused(RECV_CHANNEL_TWICE);
}

TEST(two_main_connections)
{
	start();
	SAY(dial(), HEAD);
	SAY(dial(), HEAD);
	finish_refused(RECV_MAIN_TWICE);
}

TEST(one_connection_too_many)
{
	unsigned int i;

	start();
	arrive();
	for (i = 0; i < 3; i++)
		dial();
	finish_refused(RECV_CONNECTIONS);
}

TEST(leaves_before_it_says_who_it_is)
{
	int fd;

	start();
	arrive();
	fd = dial();
	SAY(fd, "\x11\x22\x33\x44\0\0");
	drop(fd);
	finish_refused(RECV_HANDSHAKE);
}

/* --- who goes away, or keeps silent: all is said before the clock starts */

TEST(says_nothing)
{
	open_at(address, NO_PATIENCE_MS);
	SAY(dial(), HEAD);
	dial();
	launch();
	finish(-ETIMEDOUT, "");
}

TEST(says_half_of_who_it_is)
{
	open_at(address, NO_PATIENCE_MS);
	SAY(dial(), HEAD);
	SAY(dial(), "\x11\x22\x33\x44\0\0");
	launch();
	finish(-ETIMEDOUT, "");
}

TEST(a_channel_is_missing)
{
	open_at(address, NO_PATIENCE_MS);
	source.main = dial();
	SAY(source.main, HEAD);
	source.channel[0] = channel(0);
	launch();
	finish(-ETIMEDOUT, "sent nothing");
}

TEST(silent_inside_a_packet)
{
	open_at(address, NO_PATIENCE_MS);
	begin();
	SAY(source.channel[1], "\x11\x22\x33\x44\0\0\0\1");
	launch();
	finish(-ETIMEDOUT, "sent nothing");
}

TEST(silent_at_sync)
{
	open_at(address, NO_PATIENCE_MS);
	begin();
	packet(source.channel[0], MZP_WIRE_SYNC);
	SAY(source.main, LAST FLUSH END FINISH);
	launch();
	finish(-ETIMEDOUT, "sent nothing");
}

TEST(silent_at_the_end)
{
	open_at(address, NO_PATIENCE_MS);
	begin();
	SAY(source.main, LAST END FINISH);
	launch();
	finish(-ETIMEDOUT, "sent nothing");
}

TEST(dies_inside_a_packet)
{
	start();
	begin();
	page(source.channel[1], 3, 'q');
	SAY(source.channel[1], "\x11\x22\x33\x44\0\0\0\1");
	drop(source.channel[1]);
	pthread_join(it.thread, NULL);
	assert_int_equal(it.ret, -EPROTO);
	assert_memory_equal(it.err.text, "channel 1, packet 3: ", 21);
	assert_non_null(strstr(it.err.text, mfd_recv_check_text(RECV_PACKET_EOF)));
	/* what came before is there */
	assert_int_equal(it.memory[4 * PAGE - 1], 'q');
	mfd_recv_close(it.recv);
	free(it.memory);
	hang_up();
}

TEST(the_main_connection_dies)
{
	start();
	begin();
	drop(source.main);
	finish_refused(RECV_MAIN_EOF);
}

TEST(a_channel_ends_before_its_sync)
{
	start();
	begin();
	drop(source.channel[1]);
	packet(source.channel[0], MZP_WIRE_SYNC);
	SAY(source.main, LAST FLUSH END FINISH);
	finish_refused(RECV_SYNC_MISSING);
}

TEST(a_sync_that_nobody_asked_for)
{
	start();
	begin();
	packet(source.channel[0], MZP_WIRE_SYNC);
	SAY(source.main, LAST END FINISH);
	hang_up();
	finish_refused(RECV_SYNC_EXTRA);
}

/* The first one that was wrong is named, though all connections end. */
TEST(a_channel_is_wrong)
{
	start();
	begin();
	page(source.channel[0], PAGES, '?');
	finish(-EPROTO, "channel 0, packet 2: ");
}

/* --- memory that is not there when it is needed */

/* The guest's memory is a file now, which ends before the second page. */
static void shorten_memory(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_ptr_equal(mmap(it.memory, PAGES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0), it.memory);
	close(fd);
}

static void renew_memory(void)
{
	if (mmap(it.memory, PAGES * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != it.memory)
		abort();
}

static void assert_memory_is_to_blame(const char *where)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: guest memory cannot be written (0x1000 in ram0)", where);
	pthread_join(it.thread, NULL);
	assert_int_equal(it.ret, -EFAULT);
	assert_string_equal(it.err.text, text);
	assert_int_equal(it.err.kind, MFD_ERROR_MEMORY);
	assert_string_equal(it.err.block, "ram0");
	assert_int_equal(it.err.offset, PAGE);
	mfd_recv_close(it.recv);
	hang_up();
	renew_memory();
	free(it.memory);
}

/* As when a tmpfs is full. */
static void fail_to_write(enum mfd_method method, unsigned int flags)
{
	z_stream stream = { 0 };

	assert_int_equal(deflateInit(&stream, 1), Z_OK);
	block_flags = flags;
	open_with(address, PATIENCE_MS, method);
	block_flags = MFD_RECV_FRESH;
	shorten_memory();
	launch();
	begin();
	if (method == MFD_METHOD_ZLIB)
		zlib_page(source.channel[1], &stream, 1, 'x');
	else
		page(source.channel[1], 1, 'x');
	deflateEnd(&stream);
	assert_memory_is_to_blame("channel 1, packet 2");
}

TEST(no_memory_to_read_into)
{
	fail_to_write(MFD_METHOD_NONE, MFD_RECV_FRESH);
}

TEST(no_memory_to_decompress_into)
{
	fail_to_write(MFD_METHOD_ZLIB, MFD_RECV_FRESH);
	/* nothing is known of it, not even that it is there */
	fail_to_write(MFD_METHOD_ZLIB, 0);
}

/* Pages that are sent as they are on the main connection, and those that are to be zero. */
TEST(no_memory_for_records)
{
	static const char records[][16] = {
		"\0\0\0\0\0\0\x10\x8\4ram0", "\0\0\0\0\0\0\x10\2\4ram0\0",
	};
	char data[PAGE] = "";
	unsigned int i;

	for (i = 0; i < 2; i++) {
		block_flags = 0;
		open_at(address, PATIENCE_MS);
		block_flags = MFD_RECV_FRESH;
		shorten_memory();
		launch();
		begin();
		SAY(source.main, PART);
		say(source.main, records[i], 13 + i);
		say(source.main, data, sizeof(data));
		assert_memory_is_to_blame(i ? "main connection, byte 95" :
					  "main connection, byte 94");
	}
}

static volatile sig_atomic_t faults;

static void on_sigbus(int number)
{
	(void)number;
	faults++;
	renew_memory();
}

/* What cannot be foreseen is the program's to handle: its handler gets the signal. */
TEST(memory_that_goes_away)
{
	struct sigaction action = { .sa_handler = on_sigbus }, before;
	z_stream stream = { 0 };

	assert_int_equal(deflateInit(&stream, 1), Z_OK);
	sigaction(SIGBUS, &action, &before);
	faults = 0;
	open_with(address, PATIENCE_MS, MFD_METHOD_ZLIB);
	launch();
	begin();
	zlib_page(source.channel[1], &stream, 1, 'x');
	wait_for(channel_1_was_heard);
	assert_int_equal(it.memory[PAGE], 'x');
	shorten_memory();
	zlib_page(source.channel[1], &stream, 1, 'y');
	deflateEnd(&stream);
	packet(source.channel[0], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
	SAY(source.main, LAST FLUSH END FINISH);
	hang_up();
	pthread_join(it.thread, NULL);
	sigaction(SIGBUS, &before, NULL);
	if (it.ret)
		fail_msg("%s", it.err.text);
	assert_int_equal(faults, 1);
	assert_int_equal(it.memory[2 * PAGE - 1], 'y');
	mfd_recv_close(it.recv);
	renew_memory();
	free(it.memory);
}

/* --- what the source gets to know */

/* libmfd's source ends the channels when it sees that the main one has ended. */
TEST(the_main_connection_ends_first)
{
	char byte;

	start();
	begin();
	SAY(source.main, LAST END FINISH);
	shutdown(source.main, SHUT_WR);
	assert_int_equal(recv(source.main, &byte, 1, 0), 0);
	assert_int_equal(recv(source.channel[0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	hang_up();
	finish(0, NULL);
}

/* All that there is, the last of it rubbish. There is nothing left to be read. */
static void say_rubbish_at_the_end(void)
{
	struct mzp_wire_packet wire = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION),
		.flags = htobe32(MZP_WIRE_ZLIB), .pages_alloc = htobe32(128),
		.normal_pages = htobe32(1), .payload_size = htobe32(7), .idstr = "ram0",
	};
	unsigned int i;

	begin();
	SAY(source.main, LAST END FINISH);
	shutdown(source.main, SHUT_WR);
	say(source.channel[1], &wire, sizeof(wire));
	SAY(source.channel[1], "rubbish");
	for (i = 0; i < 2; i++)
		shutdown(source.channel[i], SHUT_WR);
	pthread_join(it.thread, NULL);
	assert_int_equal(it.ret, -EPROTO);
	assert_non_null(strstr(it.err.text, mfd_recv_check_text(RECV_DECODE)));
}

static void forget(void)
{
	mfd_recv_close(it.recv);
	hang_up();
	assert_int_equal(entries("/proc/self/fd"), fds);
	free(it.memory);
}

TEST(a_reset_tells_of_failure)
{
	unsigned int i;
	char byte;

	open_with(any_port, PATIENCE_MS, MFD_METHOD_ZLIB);
	launch();
	say_rubbish_at_the_end();
	for (i = 0; i < 2; i++) {
		assert_int_equal(recv(source.channel[i], &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
	}
	forget();
}

TEST(a_byte_tells_of_failure)
{
	unsigned int i;
	char byte;

	open_with(address, PATIENCE_MS, MFD_METHOD_ZLIB);
	launch();
	say_rubbish_at_the_end();
	for (i = 0; i < 2; i++)
		assert_int_equal(recv(source.channel[i], &byte, 1, 0), 1);
	forget();
}

/* --- the return path */

#define OPEN	"\x8\0\1\0\0"
#define PING	"\x8\0\2\0\4ping"
#define RP_SETUP HEAD OPEN PING SETUP FLUSH END
#define PONG	"\0\2\0\4ping"
/* The source is told how it ended, and then nothing more. Its connections are open. */
static void hear_shut(unsigned int value)
{
	const char shut[] = { 0, 1, 0, 4, 0, 0, 0, value };
	char said[64];
	ssize_t n, used = 0;

	do {
		n = recv(source.main, said + used, sizeof(said) - used, 0);
		used += n > 0 ? n : 0;
	} while (n > 0);
	assert_int_equal(used, sizeof(shut));
	assert_memory_equal(said, shut, sizeof(shut));
}

static void begin_with_return_path(void)
{
	char said[sizeof(PONG) - 1];

	source.main = dial();
	source.channel[0] = channel(0);
	source.channel[1] = channel(1);
	SAY(source.main, RP_SETUP);
	packet(source.channel[0], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
	assert_int_equal(recv(source.main, said, sizeof(said), MSG_WAITALL), sizeof(said));
	assert_memory_equal(said, PONG, sizeof(said));
}

static void sync_channels(void)
{
	packet(source.channel[0], MZP_WIRE_SYNC);
	packet(source.channel[1], MZP_WIRE_SYNC);
}

static bool devices_were_heard(void)
{
	return it.devices_size == 18;
}

/* The source closes nothing before it is told, as QEMU does it. */
TEST(told_that_it_is_complete)
{
	static const char *const places[] = { address, any_port };
	unsigned int i, devices;

	for (i = 0; i < 4; i++) {
		devices = i / 2;
		open_at(places[i % 2], PATIENCE_MS);
		launch();
		begin_with_return_path();
		page(source.channel[0], 1, 'a');
		sync_channels();
		/* as of 7.2: an empty packet behind the one with SYNC */
		packet(source.channel[1], 0);
		SAY(source.main, LAST FLUSH END);
		if (devices) {
			SAY(source.main, "\4\0\0\0\2\1d\0\0\0\0\0\0\0\1xyz");
			wait_for(devices_were_heard);
		}
		SAY(source.main, FINISH);
		hear_shut(0);
		assert_int_equal(it.memory[PAGE], 'a');
		finish(0, NULL);
	}
}

/* It ends its channels first, or its side of all; pages may then be behind the last SYNC. */
TEST(told_after_it_ended)
{
	start();
	begin_with_return_path();
	page(source.channel[0], 1, 'a');
	SAY(source.main, LAST END FINISH);
	drop(source.channel[0]);
	drop(source.channel[1]);
	hear_shut(0);
	finish(0, NULL);
	start();
	begin_with_return_path();
	sync_channels();
	SAY(source.main, LAST FLUSH END FINISH);
	shutdown(source.main, SHUT_WR);
	shutdown(source.channel[0], SHUT_WR);
	shutdown(source.channel[1], SHUT_WR);
	hear_shut(0);
	finish(0, NULL);
}

/* Nobody knows whether that were all pages, so nobody says so. */
TEST(not_told_with_pages_behind_the_last_sync)
{
	open_at(address, 10 * NO_PATIENCE_MS);
	launch();
	begin_with_return_path();
	page(source.channel[0], 1, 'a');
	SAY(source.main, LAST END FINISH);
	hear_shut(1);
	finish(-ETIMEDOUT, "sent nothing");
}

/* Nor while something is there that nobody has looked at yet. */
TEST(not_told_before_all_is_read)
{
	char byte;

	start();
	begin_with_return_path();
	it.hold = true;
	sync_channels();
	packet(source.channel[1], 0);
	page(source.channel[1], 1, 'a');
	SAY(source.main, LAST FLUSH END FINISH);
	shutdown(source.channel[1], SHUT_WR);
	/* time to do it wrong */
	usleep(50000);
	assert_int_equal(recv(source.main, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	it.hold = false;
	hear_shut(0);
	assert_int_equal(it.memory[PAGE], 'a');
	finish(0, NULL);
}

static int take_none(const void *data, size_t size, void *opaque)
{
	(void)data;
	(void)size;
	(void)opaque;
	return -ENOSPC;
}

/* Whatever it is that fails. */
TEST(told_that_it_has_failed)
{
	static const char *const places[] = { address, any_port };
	unsigned int i;

	for (i = 0; i < 6; i++) {
		open_at(places[i % 2], PATIENCE_MS);
		launch();
		begin_with_return_path();
		if (i / 2 == 0)		/* a channel */
			page(source.channel[1], PAGES, '?');
		else if (i / 2 == 1)	/* the main connection */
			SAY(source.main, LAST END FINISH "?");
		else
			mfd_recv_cancel(it.recv);
		hear_shut(1);
		finish(i / 2 == 2 ? -ECANCELED : -EPROTO, "");
	}
}

TEST(told_that_the_devices_were_refused)
{
	take_devices = take_none;
	start();
	take_devices = keep_devices;
	begin_with_return_path();
	sync_channels();
	SAY(source.main, LAST FLUSH END "\4\0\0\0\2\1d\0\0\0\0\0\0\0\1xyz" FINISH);
	hear_shut(1);
	finish(-ENOSPC, "devices");
}

/* It asks and asks, and does not listen. */
TEST(a_deaf_source)
{
	static char questions[9 * 1024];
	unsigned int i;

	for (i = 0; i < sizeof(questions); i += 9)
		memcpy(questions + i, PING, 9);
	start();
	source.main = dial();
	source.channel[0] = channel(0);
	source.channel[1] = channel(1);
	SAY(source.main, HEAD OPEN);
	while (send(source.main, questions, sizeof(questions), MSG_NOSIGNAL) > 0)
		;
	finish_refused(RECV_DEAF);
}

TEST(cancelled)
{
	struct mfd_error err = { .size = sizeof(err) };

	start();
	begin();
	mfd_recv_cancel(it.recv);
	finish(-ECANCELED, "cancelled");
	hang_up();
	open_at(address, PATIENCE_MS);
	mfd_recv_cancel(it.recv);
	assert_int_equal(mfd_recv_run(it.recv, &err), -ECANCELED);
	assert_int_equal(mfd_recv_run(it.recv, &err), -EINVAL);
	mfd_recv_close(it.recv);
	free(it.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_migration),
		cmocka_unit_test(a_channel_waits_at_sync),
		cmocka_unit_test(flush_by_section),
		cmocka_unit_test(over_tcp),
		cmocka_unit_test(over_tcp_to_any_address),
		cmocka_unit_test(reset_without_a_word),
		cmocka_unit_test(one_too_many_that_has_left),
		cmocka_unit_test(listening),
		cmocka_unit_test(a_path_that_changed_hands),
		cmocka_unit_test(two_at_the_same_path),
		cmocka_unit_test(a_file_in_the_way),
		cmocka_unit_test(too_few_file_descriptors),
		cmocka_unit_test(parameters),
		cmocka_unit_test(time_is_that_of_the_migration),
		cmocka_unit_test(strangers_that_speak),
		cmocka_unit_test(strangers_that_leave),
		cmocka_unit_test(strangers_that_are_silent),
		cmocka_unit_test(another_uuid),
		cmocka_unit_test(the_same_id_twice),
		cmocka_unit_test(two_main_connections),
		cmocka_unit_test(one_connection_too_many),
		cmocka_unit_test(leaves_before_it_says_who_it_is),
		cmocka_unit_test(says_nothing),
		cmocka_unit_test(says_half_of_who_it_is),
		cmocka_unit_test(a_channel_is_missing),
		cmocka_unit_test(silent_inside_a_packet),
		cmocka_unit_test(silent_at_sync),
		cmocka_unit_test(silent_at_the_end),
		cmocka_unit_test(dies_inside_a_packet),
		cmocka_unit_test(the_main_connection_dies),
		cmocka_unit_test(a_channel_ends_before_its_sync),
		cmocka_unit_test(a_sync_that_nobody_asked_for),
		cmocka_unit_test(a_channel_is_wrong),
		cmocka_unit_test(no_memory_to_read_into),
		cmocka_unit_test(no_memory_to_decompress_into),
		cmocka_unit_test(no_memory_for_records),
		cmocka_unit_test(memory_that_goes_away),
		cmocka_unit_test(the_main_connection_ends_first),
		cmocka_unit_test(a_reset_tells_of_failure),
		cmocka_unit_test(a_byte_tells_of_failure),
		cmocka_unit_test(told_that_it_is_complete),
		cmocka_unit_test(told_after_it_ended),
		cmocka_unit_test(not_told_with_pages_behind_the_last_sync),
		cmocka_unit_test(not_told_before_all_is_read),
		cmocka_unit_test(told_that_it_has_failed),
		cmocka_unit_test(told_that_the_devices_were_refused),
		cmocka_unit_test(a_deaf_source),
		cmocka_unit_test(cancelled),
	};
	int failed;

	strcpy(folder, "/tmp/test_recv_peer.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(address, sizeof(address), "unix:%s", path);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
