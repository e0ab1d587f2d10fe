// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module itself, which goes when nobody needs it and not before, and comes
 * back. If that fails, others have nothing left to test: this program is the last.
 */
#include "mem.h"
#include "one.h"
#include "sock.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int unload_named(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? errno : 0;
}

static int unload(void)
{
	return unload_named("multifd_zp");
}

static void load(const char *path)
{
	int fd = sys(open(path, O_RDONLY | O_CLOEXEC));

	sys(syscall(SYS_finit_module, fd, "", 0));
	close(fd);
	until(!access(DEVICE, R_OK | W_OK));
}

/* While anything of it is open, the module stays; what it left in a pipe does not need it. */
static void unload_module(void **state)
{
	const char *path = getenv("MZP_MODULE");
	struct mzp_setup setup = setup_for(1);
	static uint8_t buf[MIB];
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;
	ssize_t n;
	int p[2];

	(void)state;
	if (!path)
		skip();
	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
	until(module_refs() == 0);
	s.fd = mzp_open();
	gives(EWOULDBLOCK, unload());
	close(s.fd);

	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 100);
	mem_set_range(&m, 0, 100, DATA);
	mem_add(&m, &s, &rx);
	gives(EWOULDBLOCK, unload());
	sent = mem_send(&m, &s, 0, 100, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	n = sys(splice(s.ch[0], NULL, p[1], NULL, 64, 0));
	while (!mzp_wait(s.fd, sent.job + 1, -1, &(struct mzp_wait){ 0 }))
		;
	n += sys(splice(s.ch[0], NULL, p[1], NULL, MIB, 0));
	while ((size_t)n < 64 + 2 * 1344 + 100 * PAGE)
		n += sys(splice(s.ch[0], NULL, p[1], NULL, MIB, 0));
	close(s.fd);
	gives(EWOULDBLOCK, unload());
	close(s.ch[0]);
	until(module_refs() == 0);
	/* more than once, with everything that it has started in the meantime */
	for (unsigned int i = 0; i < 5; i++) {
		works(unload());
		must(access(DEVICE, F_OK) == -1);
		if (!i) {
			read_exactly(p[0], buf, n);
			rx_feed(&rx.chan[0], buf, n);
			must(rx.chan[0].syncs == 1);
			mem_check(&m);
		}
		load(path);
		session_open(&s, &setup);
		session_block(&s, "ram", m.base, 100 * PAGE);
		session_send(&s, 1, 0, 100, 0);
		if (i % 2)
			session_wait(&s, 0);
		session_close(&s);
		until(module_refs() == 0);
	}
	rx_free(&rx);
	mem_free(&m);
}

/* Sockets have their queues full of pages, and do not need it either. */
static void unload_with_full_sockets(void **state)
{
	const char *path = getenv("MZP_MODULE");
	uint8_t *want[2], *got = malloc(4 * MIB);
	struct mzp_pump pump[2];
	int s[2][2];

	(void)state;
	must(got);
	if (!path)
		skip();
	tcp_pair(s[0], 2 * MIB, 4096);
	unix_pair(s[1]);
	for (unsigned int i = 0; i < 2; i++) {
		struct one o;
		size_t n;

		one_open(&o, 600, 8, 16);
		want[i] = one_stream(&o, &n);
		one_send(&o);
		pump[i] = pump_to(s[i][0]);
		pump[i].flags = MZP_PUMP_NONBLOCK;
		do {
			usleep(1000);
			gives(EAGAIN, mzp_pump(o.ch, &pump[i]));
		} while (pump[i].stop != MZP_PUMP_SOCKET && pump[i].bytes < n);
		must(pump[i].bytes > 64 * 1024);
		session_close(&o.s);
		rx_free(&o.rx);
		mem_free(&o.m);
	}
	until(module_refs() == 0);
	works(unload());
	must(access(DEVICE, F_OK) == -1);
	for (unsigned int i = 0; i < 2; i++) {
		must(receive_all(s[i], got, 4 * MIB) == pump[i].bytes);
		must(!memcmp(got, want[i], pump[i].bytes));
		close_pair(s[i]);
		free(want[i]);
	}
	free(got);
	load(path);
}

/* Where zstd is a module: it stays while it is needed, and without it is all but zstd. */
static void method_missing(void **state)
{
	static const char zstd[] = "/sys/module/zstd_compress/refcnt";
	const char *path = getenv("MZP_MODULE");
	const uint32_t all = mzp_info().methods;

	(void)state;
	/* it has a count only where it is none of the kernel's own */
	if (!path || access(zstd, R_OK))
		skip_since("zstd is built into the kernel, or our module's file is not known");
	until(module_refs() == 0);
	gives(EWOULDBLOCK, unload_named("zstd_compress"));
	works(unload());
	works(unload_named("zstd_compress"));
	load(path);
	for (enum mzp_method method = MZP_METHOD_NONE; method <= MZP_METHOD_ZSTD; method++) {
		struct mzp_info info = { .size = sizeof(info), .method = method };
		struct mzp_setup setup = setup_for(2);
		int want = method == MZP_METHOD_ZSTD ? EOPNOTSUPP : 0, fd = mzp_open();

		setup.method = method;
		gives(want, mzp(fd, MZP_IOC_INFO, &info));
		gives(want, mzp_setup(fd, &setup));
		setup.method = MZP_METHOD_ZLIB;
		gives(want ? 0 : EBUSY, mzp_setup(fd, &setup));
		close(fd);
	}
	must(mzp_info().methods == (all & ~(1u << MZP_METHOD_ZSTD)));
	until(module_refs() == 0);
	works(unload());
	must(!system("modprobe zstd_compress"));
	load(path);
	must(mzp_info().methods == all);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(unload_module),
		cmocka_unit_test(unload_with_full_sockets),
		cmocka_unit_test(method_missing),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}
