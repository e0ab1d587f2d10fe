// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: asking a destination over QMP, which answers as it should or does not. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mfd_qmp.h"

/* Long enough for everything that does not wait for it. */
#define PATIENCE_MS 50000
#define NO_PATIENCE_MS 200

static char folder[64], path[96];

/* What it says first, and then to each command. */
enum { GREETING, CAPABILITIES, VERSION, MACHINE, PARAMETERS, MULTIFD, UUID, MEMORY, ANSWERS };

static const char *const usual[ANSWERS] = {
	[GREETING] = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n",
	[CAPABILITIES] = "{\"return\":{}}\r\n",
	[VERSION] = "{\"event\":\"RESUME\"}\r\n{\"return\":{\"qemu\":{\"micro\":2,\"minor\":1,\"major\":9}}}\r\n",
	[MACHINE] = "{\"return\":\"pc-q35-8.0-machine\"}\r\n",
	[PARAMETERS] = "{\"return\":{\"multifd-channels\":4,\"multifd-compression\":\"zstd\"}}\r\n",
	[MULTIFD] = "{\"return\":[{\"capability\":\"xbzrle\",\"state\":false},{\"capability\":\"multifd\",\"state\":true}]}\r\n",
	[UUID] = "{\"return\":{\"UUID\":\"6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39\"}}\r\n",
	[MEMORY] = "{\"return\":[{\"name\":\"type\",\"type\":\"string\"},{\"name\":\"ram0\",\"type\":\"child<memory-backend-file>\"},{\"name\":\"ram1\",\"type\":\"child<memory-backend-ram>\"}]}\r\n",
};

static struct {
	const char *answers[ANSWERS];
	int listener;
	unsigned int others;		/* clients that are connected already */
	pthread_t thread;
} server;

static void converse(int fd)
{
	FILE *commands = fdopen(fd, "r");
	char line[256];
	unsigned int i;

	for (i = 0; i < ANSWERS && server.answers[i]; i++) {
		if (i && !fgets(line, sizeof(line), commands))
			break;
		if (send(fd, server.answers[i], strlen(server.answers[i]), MSG_NOSIGNAL) < 0)
			break;
	}
	fclose(commands);
}

/* The others leave, then one is served. */
static void *serve(void *unused)
{
	while (server.others--)
		close(accept(server.listener, NULL, NULL));
	converse(accept(server.listener, NULL, NULL));
	return unused;
}

static void listen_at_path(int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memset(&server, 0, sizeof(server));
	memcpy(server.answers, usual, sizeof(usual));
	strcpy(un.sun_path, path);
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server.listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(server.listener, backlog), 0);
}

static void start(void)
{
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static int stop(int ret)
{
	pthread_join(server.thread, NULL);
	close(server.listener);
	unlink(path);
	return ret;
}

static int ask_for(struct mfd_peer *peer, uint32_t timeout_ms, struct mfd_error *err)
{
	start();
	return stop(mfd_peer_query(peer, path, timeout_ms, err));
}

static int ask(struct mfd_peer *peer, struct mfd_error *err)
{
	return ask_for(peer, PATIENCE_MS, err);
}

static void check_usual(const struct mfd_peer *peer)
{
	static const uint8_t uuid[16] = {
		0x6f, 0x2e, 0x60, 0xcc, 0x3e, 0xc4, 0x4c, 0x3d,
		0x8c, 0xe2, 0x8b, 0x0d, 0x5f, 0x4d, 0xbb, 0x39
	};

	assert_string_equal(peer->method, "zstd");
	assert_memory_equal(peer->uuid, uuid, sizeof(uuid));
	assert_int_equal(peer->memory_files, 1);
	assert_int_equal(peer->major, 9);
	assert_int_equal(peer->minor, 1);
	assert_string_equal(peer->machine, "pc-q35-8.0");
	assert_int_equal(peer->compat_major, 8);
	assert_int_equal(peer->channels, 4);
	assert_int_equal(peer->multifd, 1);
}

TEST(proper_answers)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };

	listen_at_path(1);
	if (ask(&peer, &err))
		fail_msg("%s", err.text);
	check_usual(&peer);
}

/* What QEMU MAJOR.MINOR of that type is like. */
static void check_compat(unsigned int major, unsigned int minor, unsigned int micro,
			 const char *machine, unsigned int compat_major, unsigned int compat_minor)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };
	char version[128], type[128];

	listen_at_path(1);
	snprintf(version, sizeof(version),
		 "{\"return\":{\"qemu\":{\"micro\":%u,\"minor\":%u,\"major\":%u}}}\r\n",
		 micro, minor, major);
	snprintf(type, sizeof(type), "{\"return\":\"%s-machine\"}\r\n", machine);
	server.answers[VERSION] = version;
	server.answers[MACHINE] = type;
	if (ask(&peer, &err))
		fail_msg("%s", err.text);
	assert_string_equal(peer.machine, machine);
	assert_int_equal(peer.major, major);
	if (peer.compat_major != compat_major || peer.compat_minor != compat_minor)
		fail_msg("%u.%u %s: %u.%u", major, minor, machine, peer.compat_major,
			 peer.compat_minor);
}

TEST(compatibility)
{
	/* those of distributions */
	check_compat(9, 1, 0, "pc-q35-rhel8.6.0", 6, 2);
	check_compat(10, 0, 0, "pc-q35-rhel7.6.0", 2, 12);
	check_compat(9, 0, 0, "pc-i440fx-jammy", 6, 2);
	/* QEMU's own */
	check_compat(10, 0, 2, "pc-i440fx-9.1", 9, 1);
	check_compat(9, 0, 2, "pc-i440fx-2.12", 2, 12);
	check_compat(10, 0, 2, "none", 10, 0);
	check_compat(8, 0, 4, "microvm", 8, 0);
	/* nobody knows */
	check_compat(9, 2, 0, "pc-q35-acme4.1", 0, 0);
	check_compat(9, 2, 0, "acme", 0, 0);
	check_compat(9, 2, 0, "pc-q35-rhel9.3.0", 0, 0);
	/* on the way from 8.0 to 8.1 */
	check_compat(8, 0, 50, "none", 0, 0);
	check_compat(8, 0, 91, "none", 0, 0);
	check_compat(8, 0, 91, "pc-q35-8.0", 8, 0);
}

/* Before 5.0 there was no parameter for it. */
TEST(no_method)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };

	listen_at_path(1);
	server.answers[PARAMETERS] = "{\"return\":{\"multifd-channels\":4}}\r\n";
	if (ask(&peer, &err))
		fail_msg("%s", err.text);
	assert_string_equal(peer.method, "none");
}

TEST(over_tcp)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };
	socklen_t size = sizeof(in);
	char text[64];
	int ret;

	memset(&server, 0, sizeof(server));
	memcpy(server.answers, usual, sizeof(usual));
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server.listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(server.listener, (struct sockaddr *)&in, &size), 0);
	assert_int_equal(listen(server.listener, 1), 0);
	start();
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	ret = stop(mfd_peer_query(&peer, text, PATIENCE_MS, &err));
	if (ret)
		fail_msg("%s", err.text);
	check_usual(&peer);
	assert_int_equal(mfd_peer_query(&peer, text, PATIENCE_MS, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.text, text));
	assert_int_equal(mfd_peer_query(&peer, "tcp:host", PATIENCE_MS, &err), -EINVAL);
}

TEST(with_unix)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };
	char text[128], name[200];

	listen_at_path(1);
	start();
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_int_equal(stop(mfd_peer_query(&peer, text, PATIENCE_MS, &err)), 0);
	check_usual(&peer);
	/* a path, whatever it is called, and not cut off */
	assert_int_equal(mfd_peer_query(&peer, "@nothing", PATIENCE_MS, &err), -ENOENT);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(mfd_peer_query(&peer, name, PATIENCE_MS, &err), -ENAMETOOLONG);
	assert_int_equal(mfd_peer_query(&peer, NULL, PATIENCE_MS, &err), -EINVAL);
}

static int outcome(const char *first, const char *second, uint32_t timeout_ms,
		   struct mfd_outcome *out, struct mfd_error *err)
{
	listen_at_path(1);
	server.answers[2] = first;
	server.answers[3] = second;
	server.answers[4] = NULL;
	*err = (struct mfd_error) { .size = sizeof(*err) };
	*out = (struct mfd_outcome) { .size = sizeof(*out) };
	start();
	return stop(mfd_peer_outcome(out, path, timeout_ms, err));
}

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define STATUS(word) "{\"return\":{\"status\":\"" word "\"}}\r\n"

TEST(outcomes)
{
	struct mfd_outcome out;
	struct mfd_error err;

	assert_int_equal(outcome(STATUS("completed"), NULL, PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_COMPLETED);
	assert_string_equal(out.reason, "");
	assert_int_equal(outcome(STATUS("active"), STATUS("completed"), PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_COMPLETED);
	assert_int_equal(outcome("{\"return\":{\"status\":\"failed\",\"error-desc\":\"no such block\"}}\r\n",
				 NULL, PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_FAILED);
	assert_string_equal(out.reason, "no such block");
	assert_int_equal(outcome("{\"return\":{\"status\":\"failed\",\"error-desc\":\"" X100 X100 X100
				 " no such block\"}}\r\n", NULL, PATIENCE_MS, &out, &err), 0);
	assert_int_equal(strlen(out.reason), sizeof(out.reason) - 1);
	assert_string_equal(out.reason + sizeof(out.reason) - 16, "x no such block");
	assert_int_equal(outcome("{\"return\":{}}\r\n", NULL, PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_NONE);
	assert_int_equal(outcome("{\"return\":{\"status\":7,\"error-desc\":null}}\r\n", NULL,
				 PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_NONE);
	/* it goes on, also under names that are new */
	assert_int_equal(outcome(STATUS("brand-new"), STATUS("failed"), PATIENCE_MS, &out, &err), 0);
	assert_int_equal(out.state, MFD_OUTCOME_FAILED);
	/* it ends itself instead of an answer */
	assert_int_equal(outcome(STATUS("active"), NULL, PATIENCE_MS, &out, &err), -ECONNRESET);
	assert_int_equal(outcome("null\r\n", NULL, PATIENCE_MS, &out, &err), -EPROTO);
	assert_int_equal(mfd_peer_outcome(&out, path, PATIENCE_MS, &err), -ENOENT);
	out.size = 0;
	assert_int_equal(mfd_peer_outcome(&out, NULL, PATIENCE_MS, &err), -EINVAL);
}

/* It is still active when the time is over. */
TEST(no_outcome)
{
	struct mfd_outcome out = { .size = sizeof(out) };
	struct mfd_error err = { .size = sizeof(err) };
	unsigned int i;

	listen_at_path(1);
	for (i = 2; i < ANSWERS; i++)
		server.answers[i] = STATUS("active");
	start();
	assert_int_equal(stop(mfd_peer_outcome(&out, path, NO_PATIENCE_MS, &err)), 0);
	assert_int_equal(out.state, MFD_OUTCOME_ACTIVE);
}

TEST(improper_answers)
{
	static const struct {
		unsigned int at;
		const char *text;
	} odd[] = {
		{ GREETING, "220 mail.example.org ESMTP\r\n" },
		{ GREETING, "null\r\n" },
		{ GREETING, "[]\r\n" },
		{ CAPABILITIES, "{\"error\":null}\r\n" },
		{ CAPABILITIES, "{\"error\":{}}\r\n" },
		{ CAPABILITIES, "{\"error\":{\"desc\":null}}\r\n" },
		{ VERSION, "{\"return\":null}\r\n" },
		{ VERSION, "{\"return\":{\"qemu\":null}}\r\n" },
		{ VERSION, "{\"return\":{\"qemu\":{\"major\":9,\"minor\":null}}}\r\n" },
		{ VERSION, "{\"return\":{\"qemu\":{\"major\":-9,\"minor\":0}}}\r\n" },
		{ MACHINE, "{\"return\":null}\r\n" },
		{ MACHINE, "{\"return\":{}}\r\n" },
		{ PARAMETERS, "{\"return\":null}\r\n" },
		{ PARAMETERS, "{\"return\":{\"multifd-channels\":null}}\r\n" },
		{ PARAMETERS, "{\"return\":{\"multifd-channels\":\"4\"}}\r\n" },
		{ UUID, "{\"return\":{}}\r\n" },
		{ UUID, "{\"return\":{\"UUID\":null}}\r\n" },
		{ MEMORY, "{\"return\":{}}\r\n" },
		{ MEMORY, "{\"return\":[{\"name\":\"ram0\"}]}\r\n" },
		{ MEMORY, "{\"return\":[null]}\r\n" },
		{ UUID, "{\"return\":{\"UUID\":\"none\"}}\r\n" },
		{ MULTIFD, "{\"return\":null}\r\n" },
		{ MULTIFD, "{\"return\":[null]}\r\n" },
		{ MULTIFD, "{\"return\":[{\"capability\":null,\"state\":true}]}\r\n" },
		{ MULTIFD, "{\"return\":[{\"capability\":\"multifd\",\"state\":null}]}\r\n" },
	};
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };
	size_t i;
	int ret;

	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		listen_at_path(1);
		server.answers[odd[i].at] = odd[i].text;
		err = (struct mfd_error) { .size = sizeof(err) };
		ret = ask(&peer, &err);
		if (ret != -EPROTO || !strstr(err.text, "not QEMU's QMP"))
			fail_msg("%d '%s' after %s", ret, err.text, odd[i].text);
	}
}

TEST(an_error)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };

	listen_at_path(1);
	server.answers[MACHINE] = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such thing\"}}\r\n";
	assert_int_equal(ask(&peer, &err), -EPROTO);
	assert_non_null(strstr(err.text, "QEMU says: no such thing"));
}

/* QEMU's queue has one place, and who finds it taken is not even connected. */
TEST(others_in_the_queue)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_peer peer = { .size = sizeof(peer) };
	int fds[8];
	unsigned int i, nr;

	listen_at_path(1);
	strcpy(un.sun_path, path);
	for (nr = 0; nr < 8; nr++) {
		fds[nr] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fds[nr], (struct sockaddr *)&un, sizeof(un)))
			break;
	}
	assert_true(nr < 8);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(mfd_peer_query(&peer, path, NO_PATIENCE_MS, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "is another one connected?"));
	server.others = nr;
	/* longer than poll() can wait */
	if (ask_for(&peer, UINT32_MAX, &err))
		fail_msg("%s", err.text);
	check_usual(&peer);
	for (i = 0; i <= nr; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proper_answers),
		cmocka_unit_test(compatibility),
		cmocka_unit_test(no_method),
		cmocka_unit_test(over_tcp),
		cmocka_unit_test(with_unix),
		cmocka_unit_test(outcomes),
		cmocka_unit_test(no_outcome),
		cmocka_unit_test(improper_answers),
		cmocka_unit_test(an_error),
		cmocka_unit_test(others_in_the_queue),
	};
	int failed;

	strcpy(folder, "/tmp/test_lib_qmp.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/qmp", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
