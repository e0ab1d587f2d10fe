// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: asking a destination over QMP, which answers as it should or does not. */
#include "unit.h"

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
enum { GREETING, CAPABILITIES, VERSION, MACHINE, PARAMETERS, MULTIFD, ANSWERS };

static const char *const usual[ANSWERS] = {
	[GREETING] = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n",
	[CAPABILITIES] = "{\"return\":{}}\r\n",
	[VERSION] = "{\"event\":\"RESUME\"}\r\n{\"return\":{\"qemu\":{\"micro\":2,\"minor\":1,\"major\":9}}}\r\n",
	[MACHINE] = "{\"return\":\"pc-q35-8.0-machine\"}\r\n",
	[PARAMETERS] = "{\"return\":{\"multifd-channels\":4}}\r\n",
	[MULTIFD] = "{\"return\":[{\"capability\":\"xbzrle\",\"state\":false},{\"capability\":\"multifd\",\"state\":true}]}\r\n",
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

	for (i = 0; i < ANSWERS; i++) {
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

static int ask(struct mfd_peer *peer, struct mfd_error *err)
{
	int ret;

	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
	ret = mfd_peer_query(peer, path, PATIENCE_MS, err);
	pthread_join(server.thread, NULL);
	close(server.listener);
	unlink(path);
	return ret;
}

static void check_usual(const struct mfd_peer *peer)
{
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
	if (ask(&peer, &err))
		fail_msg("%s", err.text);
	check_usual(&peer);
	for (i = 0; i <= nr; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proper_answers),
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
