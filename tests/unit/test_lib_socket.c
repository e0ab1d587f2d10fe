// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: connecting, with a name server that is silent and peers that do not answer. */
#include "unit.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "recv_listener.h"
#include "socket.h"

/* Long enough for everything that does not wait for it. */
#define PATIENCE_MS 50000
#define NO_PATIENCE_MS 600
#define SOME_PATIENCE_MS 3000
/* how much later than it should a call may return, on a machine with other things to do */
#define LATE_MS 500
/* When somebody cancels. */
#define A_WHILE_MS 200

/* --- the name server */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool silent;
	unsigned int waiting;		/* for it */
	unsigned int given, freed;	/* answers */
	int flags;			/* of all that was asked */
	struct sockaddr_in addresses[4];
	unsigned int nr;
} dns = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Ours is a chain of single allocations. */
static struct addrinfo *answer(void)
{
	struct addrinfo *list = NULL, *info;
	unsigned int i;

	for (i = dns.nr; i--; list = info) {
		info = calloc(1, sizeof(*info) + sizeof(*dns.addresses));
		assert_non_null(info);
		info->ai_addr = memcpy(info + 1, &dns.addresses[i], sizeof(*dns.addresses));
		info->ai_addrlen = sizeof(*dns.addresses);
		info->ai_family = AF_INET;
		info->ai_next = list;
	}
	dns.given++;
	return list;
}

/* Answers for "known" itself, and otherwise leaves it to the system. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	pthread_mutex_lock(&dns.lock);
	dns.flags |= hints->ai_flags;
	if (node && !strcmp(node, "known") && !(hints->ai_flags & AI_NUMERICHOST)) {
		dns.waiting++;
		while (dns.silent)
			pthread_cond_wait(&dns.changed, &dns.lock);
		dns.waiting--;
		*list = answer();
		pthread_mutex_unlock(&dns.lock);
		return 0;
	}
	pthread_mutex_unlock(&dns.lock);
	real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, list);
}

void freeaddrinfo(struct addrinfo *list)
{
	void (*real)(struct addrinfo *);
	struct addrinfo *next;

	/* ours have no socket type */
	if (list && list->ai_socktype) {
		real = dlsym(RTLD_NEXT, "freeaddrinfo");
		real(list);
		return;
	}
	for (; list; list = next) {
		next = list->ai_next;
		free(list);
	}
	pthread_mutex_lock(&dns.lock);
	dns.freed++;
	pthread_mutex_unlock(&dns.lock);
}

static void silence(bool silent)
{
	pthread_mutex_lock(&dns.lock);
	dns.silent = silent;
	pthread_cond_broadcast(&dns.changed);
	pthread_mutex_unlock(&dns.lock);
}

/* Everybody who waited for the name server has got an answer, and given it back. */
static void all_freed(unsigned int given)
{
	bool freed = false;
	unsigned int i;

	for (i = 0; i < PATIENCE_MS && !freed; i++) {
		usleep(1000);
		pthread_mutex_lock(&dns.lock);
		freed = !dns.waiting && dns.given == given && dns.freed == given;
		pthread_mutex_unlock(&dns.lock);
	}
	assert_true(freed);
}

/* --- the session */

static struct mfd_session session;
static _Atomic bool cancelled;

int mfd_session_check(struct mfd_session *unused, struct mfd_error *err)
{
	(void)unused;
	return cancelled ? mfd_error_set(err, ECANCELED, "cancelled") : 0;
}

int mfd_session_failure(struct mfd_session *session, struct mfd_error *err)
{
	return mfd_session_check(session, err);
}

static void *cancel_soon(void *unused)
{
	usleep(A_WHILE_MS * 1000);
	cancelled = true;
	return unused;
}

/* --- peers */

static int listen_inet(struct sockaddr_in *in, int backlog)
{
	socklen_t size = sizeof(*in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*in = (struct sockaddr_in) {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	assert_int_equal(bind(fd, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)in, &size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* One whose queue is full does not answer who else connects. */
static struct {
	int listener, queued[8];
	unsigned int nr;
} deaf;

static void be_deaf(struct sockaddr_in *in)
{
	struct timeval soon = { .tv_usec = 100000 };

	deaf.listener = listen_inet(in, 0);
	for (deaf.nr = 0; deaf.nr < 8; deaf.nr++) {
		deaf.queued[deaf.nr] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(deaf.queued[deaf.nr], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
		if (connect(deaf.queued[deaf.nr], (struct sockaddr *)in, sizeof(*in)))
			break;
	}
	assert_true(deaf.nr < 8);
}

static void deaf_no_more(void)
{
	do
		close(deaf.queued[deaf.nr]);
	while (deaf.nr--);
	close(deaf.listener);
}

/* A port at which nobody listens. */
static void nobody(struct sockaddr_in *in)
{
	close(listen_inet(in, 0));
}

/* --- */

static struct mfd_error err;
static uint64_t took_ms;

static int connect_at(const char *text, uint32_t stall_ms, struct mfd_endpoint *endpoint, int *fd)
{
	struct mfd_address address;
	uint64_t start = mfd_now();
	int ret;

	err = MFD_ERROR_NONE;
	memset(&session, 0, sizeof(session));
	session.params.stall_ms = stall_ms;
	assert_int_equal(mfd_address_parse(&address, text, NULL), 0);
	ret = mfd_socket_connect(&session, &address, endpoint, fd, &err);
	took_ms = (mfd_now() - start) / 1000000;
	return ret;
}

/* It fails, and the fd is not touched. */
static int refused(const char *text, uint32_t stall_ms)
{
	struct mfd_endpoint endpoint;
	int fd = -1, ret = connect_at(text, stall_ms, &endpoint, &fd);

	assert_int_equal(fd, -1);
	assert_int_equal(err.code, -ret);
	assert_true(err.text[0]);
	return ret;
}

static int reset(void **unused)
{
	(void)unused;
	dns.silent = false;
	dns.given = 0;
	dns.freed = 0;
	dns.flags = 0;
	dns.nr = 1;
	cancelled = false;
	return 0;
}

TEST(a_silent_name_server)
{
	silence(true);
	assert_int_equal(refused("tcp:known:1", NO_PATIENCE_MS), -ETIMEDOUT);
	assert_in_range(took_ms, NO_PATIENCE_MS, NO_PATIENCE_MS + LATE_MS);
	assert_non_null(strstr(err.text, "known"));
	assert_int_equal(dns.freed, 0);
	/* what it says now is for nobody, and goes */
	silence(false);
	all_freed(1);
}

TEST(cancelled_while_looking_up)
{
	pthread_t thread;

	silence(true);
	pthread_create(&thread, NULL, cancel_soon, NULL);
	assert_int_equal(refused("tcp:known:1", 0), -ECANCELED);
	assert_in_range(took_ms, A_WHILE_MS, A_WHILE_MS + LATE_MS);
	pthread_join(thread, NULL);
	silence(false);
	all_freed(1);
}

TEST(a_name)
{
	struct mfd_endpoint endpoint;
	int listener = listen_inet(&dns.addresses[0], 1), fd;

	assert_int_equal(connect_at("tcp:known:1", PATIENCE_MS, &endpoint, &fd), 0);
	assert_int_equal(endpoint.size, sizeof(dns.addresses[0]));
	assert_memory_equal(&endpoint.addr, &dns.addresses[0], endpoint.size);
	close(fd);
	close(listener);
	all_freed(1);
}

TEST(addresses_share_the_time)
{
	be_deaf(&dns.addresses[0]);
	dns.addresses[1] = dns.addresses[0];
	dns.nr = 2;
	assert_int_equal(refused("tcp:known:1", NO_PATIENCE_MS), -ETIMEDOUT);
	assert_in_range(took_ms, NO_PATIENCE_MS, NO_PATIENCE_MS + LATE_MS);
	deaf_no_more();
	all_freed(1);
}

/* One that does not answer leaves time for those behind it. */
TEST(the_second_address)
{
	struct mfd_endpoint endpoint;
	int listener, fd;

	be_deaf(&dns.addresses[0]);
	listener = listen_inet(&dns.addresses[1], 1);
	dns.nr = 2;
	assert_int_equal(connect_at("tcp:known:1", SOME_PATIENCE_MS, &endpoint, &fd), 0);
	assert_in_range(took_ms, SOME_PATIENCE_MS / 2, SOME_PATIENCE_MS - 1);
	assert_memory_equal(&endpoint.addr, &dns.addresses[1], endpoint.size);
	close(fd);
	close(listener);
	deaf_no_more();
	all_freed(1);
}

TEST(cancelled_while_connecting)
{
	pthread_t thread;

	be_deaf(&dns.addresses[0]);
	dns.addresses[1] = dns.addresses[0];
	dns.nr = 2;
	pthread_create(&thread, NULL, cancel_soon, NULL);
	assert_int_equal(refused("tcp:known:1", 0), -ECANCELED);
	assert_in_range(took_ms, A_WHILE_MS, A_WHILE_MS + LATE_MS);
	pthread_join(thread, NULL);
	deaf_no_more();
	all_freed(1);
}

/* The best address is the first one, so it is the one to hear of. */
TEST(the_first_error)
{
	nobody(&dns.addresses[0]);
	dns.addresses[1] = (struct sockaddr_in) {
		.sin_family = AF_INET, .sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_BROADCAST),
	};
	dns.nr = 2;
	assert_int_equal(refused("tcp:known:1", PATIENCE_MS), -ECONNREFUSED);
	assert_non_null(strstr(err.text, strerror(ECONNREFUSED)));
}

/* Numbers need no name server, and localhost no network. */
TEST(numbers)
{
	struct sockaddr_in in;
	struct mfd_endpoint endpoint;
	int listener = listen_inet(&in, 3), fd;
	char text[64];

	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	assert_int_equal(dns.flags, AI_NUMERICHOST | AI_NUMERICSERV);
	snprintf(text, sizeof(text), "tcp::%u", ntohs(in.sin_port));
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	assert_int_equal(dns.flags, AI_NUMERICHOST | AI_NUMERICSERV);
	snprintf(text, sizeof(text), "tcp:localhost:%u", ntohs(in.sin_port));
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	assert_false(dns.flags & AI_ADDRCONFIG);
	close(listener);
}

TEST(unknown_services)
{
	assert_int_equal(refused("tcp:127.0.0.1:nosuchservice", PATIENCE_MS), -EINVAL);
	assert_non_null(strstr(err.text, "no TCP service 'nosuchservice'"));
}

TEST(no_port)
{
	assert_int_equal(refused("tcp:127.0.0.1:0", PATIENCE_MS), -EINVAL);
}

static int option(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

static int connected_fd(const struct sockaddr_in *in, uint32_t stall_ms)
{
	struct mfd_endpoint endpoint;
	char text[64];
	int fd;

	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in->sin_port));
	assert_int_equal(connect_at(text, stall_ms, &endpoint, &fd), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	return fd;
}

static void check_times(const struct sockaddr_in *in, uint32_t stall_ms, int interval, int timeout)
{
	int fd = connected_fd(in, stall_ms);

	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), interval);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), timeout);
	close(fd);
}

TEST(peers_that_vanish)
{
	struct sockaddr_in in;
	int listener = listen_inet(&in, 8), ours = socket(AF_INET, SOCK_STREAM, 0), fd;

	check_times(&in, 60000, 15, 120000);
	check_times(&in, 1, 1, 2);
	check_times(&in, UINT32_MAX, 32767, INT32_MAX);
	/* the system's times, if ours are for ever */
	fd = connected_fd(&in, 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
			 option(ours, IPPROTO_TCP, TCP_KEEPIDLE));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	close(fd);
	close(ours);
	close(listener);
}

/* Channels go where the main connection went. */
TEST(once_more)
{
	struct sockaddr_in in;
	struct mfd_endpoint endpoint;
	int listener = listen_inet(&in, 3), fd;
	char text[64];

	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	assert_int_equal(mfd_socket_connect_to(&session, &endpoint, &fd, NULL), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	close(fd);
	close(listener);
}

TEST(an_abstract_socket)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct mfd_endpoint endpoint;
	char text[128];
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, length;

	length = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "test_lib_socket.%d", getpid());
	assert_int_equal(bind(listener, (struct sockaddr *)&un,
			      offsetof(struct sockaddr_un, sun_path) + 1 + length), 0);
	assert_int_equal(listen(listener, 1), 0);
	snprintf(text, sizeof(text), "unix:@%s", un.sun_path + 1);
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	close(listener);
	assert_int_equal(refused(text, PATIENCE_MS), -ECONNREFUSED);
}

/* --- the other side: a receiver's listener has the same addresses */

static int check_cancelled(void *unused, struct mfd_error *why)
{
	return mfd_session_check(unused, why);
}

static int listen_in_time(struct mfd_recv_listener *listener, const char *text, uint64_t deadline)
{
	struct mfd_wait wait = { .deadline = deadline, .check = check_cancelled };
	uint64_t start = mfd_now();
	int ret;

	err = MFD_ERROR_NONE;
	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
	ret = mfd_recv_listener_open(listener, text, 1, &wait, &err);
	took_ms = (mfd_now() - start) / 1000000;
	return ret;
}

static int listen_at(struct mfd_recv_listener *listener, const char *text)
{
	return listen_in_time(listener, text, mfd_wait_until(PATIENCE_MS));
}

TEST(a_listener_and_a_silent_name_server)
{
	struct mfd_recv_listener listener;

	silence(true);
	assert_int_equal(listen_in_time(&listener, "tcp:known:0", mfd_wait_until(NO_PATIENCE_MS)),
			 -ETIMEDOUT);
	assert_in_range(took_ms, NO_PATIENCE_MS, NO_PATIENCE_MS + LATE_MS);
	assert_int_equal(listener.fd, -1);
	assert_non_null(strstr(err.text, "known"));
	silence(false);
	all_freed(1);
}

TEST(a_listener_cancelled_while_looking_up)
{
	struct mfd_recv_listener listener;
	pthread_t thread;

	silence(true);
	pthread_create(&thread, NULL, cancel_soon, NULL);
	assert_int_equal(listen_in_time(&listener, "tcp:known:0", UINT64_MAX), -ECANCELED);
	assert_in_range(took_ms, A_WHILE_MS, A_WHILE_MS + LATE_MS);
	pthread_join(thread, NULL);
	silence(false);
	all_freed(1);
}

/* The first address is not one of this machine's: the second one will do. */
TEST(a_name_to_listen_at)
{
	struct mfd_recv_listener listener;

	dns.addresses[0] = (struct sockaddr_in) {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201),	/* 192.0.2.1 */
	};
	dns.addresses[1] = (struct sockaddr_in) {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	dns.nr = 2;
	assert_int_equal(listen_at(&listener, "tcp:known:0"), 0);
	assert_non_null(strstr(listener.text, "tcp:127.0.0.1:"));
	assert_true(dns.flags & AI_PASSIVE);
	mfd_recv_listener_close(&listener);
	all_freed(1);
}

/* Numbers, and no host at all, need no name server; the latter is all of this machine. */
TEST(listeners_in_numbers)
{
	struct mfd_recv_listener listener;
	struct mfd_endpoint endpoint;
	char text[64];
	int fd;

	assert_int_equal(listen_at(&listener, "tcp::0"), 0);
	assert_int_equal(dns.flags, AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV);
	snprintf(text, sizeof(text), "tcp:127.0.0.1%s", strrchr(listener.text, ':'));
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	mfd_recv_listener_close(&listener);
}

TEST(an_abstract_listener)
{
	struct mfd_recv_listener listener, second;
	struct mfd_endpoint endpoint;
	char text[128], file[128];
	int fd;

	snprintf(text, sizeof(text), "unix:@/tmp/test_lib_socket.%d", getpid());
	snprintf(file, sizeof(file), "/tmp/test_lib_socket.%d", getpid());
	assert_int_equal(listen_at(&listener, text), 0);
	assert_string_equal(listener.text, text);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(connect_at(text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	assert_int_equal(listen_at(&second, text), -EADDRINUSE);
	/* a file that is called the same is another thing */
	fclose(fopen(file, "w"));
	mfd_recv_listener_close(&listener);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(listen_at(&listener, text), 0);
	mfd_recv_listener_close(&listener);
}

TEST(ports_of_listeners)
{
	struct mfd_recv_listener listener;
	struct mfd_endpoint endpoint;
	int fd;

	assert_int_equal(listen_at(&listener, "tcp:127.0.0.1:0"), 0);
	assert_non_null(strstr(listener.text, "tcp:127.0.0.1:"));
	assert_int_equal(connect_at(listener.text, PATIENCE_MS, &endpoint, &fd), 0);
	close(fd);
	mfd_recv_listener_close(&listener);
	assert_int_equal(listen_at(&listener, "tcp::22222222"), -EINVAL);
	assert_int_equal(listen_at(&listener, "tcp::nosuchservice"), -EINVAL);
	assert_non_null(strstr(err.text, "no TCP service"));
}

/* As far as the kernel has it: containers may not. */
TEST(a_vsock)
{
	struct mfd_recv_listener listener;
	char text[64];
	int ret;

	snprintf(text, sizeof(text), "vsock:%u:%u", VMADDR_CID_ANY, VMADDR_PORT_ANY);
	ret = listen_at(&listener, text);
	if (ret == -EAFNOSUPPORT || ret == -EADDRNOTAVAIL || ret == -EPERM)
		skip();
	assert_int_equal(ret, 0);
	assert_string_not_equal(listener.text, text);
	assert_int_equal(mfd_address_check(listener.text, NULL), 0);
	mfd_recv_listener_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_silent_name_server, reset),
		cmocka_unit_test_setup(cancelled_while_looking_up, reset),
		cmocka_unit_test_setup(a_name, reset),
		cmocka_unit_test_setup(addresses_share_the_time, reset),
		cmocka_unit_test_setup(the_second_address, reset),
		cmocka_unit_test_setup(cancelled_while_connecting, reset),
		cmocka_unit_test_setup(the_first_error, reset),
		cmocka_unit_test_setup(numbers, reset),
		cmocka_unit_test_setup(unknown_services, reset),
		cmocka_unit_test_setup(no_port, reset),
		cmocka_unit_test_setup(peers_that_vanish, reset),
		cmocka_unit_test_setup(once_more, reset),
		cmocka_unit_test_setup(an_abstract_socket, reset),
		cmocka_unit_test_setup(an_abstract_listener, reset),
		cmocka_unit_test_setup(a_listener_and_a_silent_name_server, reset),
		cmocka_unit_test_setup(a_listener_cancelled_while_looking_up, reset),
		cmocka_unit_test_setup(a_name_to_listen_at, reset),
		cmocka_unit_test_setup(listeners_in_numbers, reset),
		cmocka_unit_test_setup(ports_of_listeners, reset),
		cmocka_unit_test_setup(a_vsock, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
