// SPDX-License-Identifier: GPL-2.0-only
#include "take.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "sock.h"

void take_init(struct take *t, int ch)
{
	t->ch = ch;
	sys(pipe2(t->pipe, O_CLOEXEC));
	unix_pair(t->socket);
}

void take_free(struct take *t)
{
	close_pair(t->socket);
	close_pair(t->pipe);
	if (t->ch >= 0)
		sys(close(t->ch));
}

/* All that there is; if there is nothing, wait for a byte. */
static ssize_t take_pump(struct take *t, void *buf, size_t n)
{
	struct mzp_pump pump = pump_to(t->socket[0]);
	int err;

	pump.flags = MZP_PUMP_NONBLOCK;
	pump.max = n;
	err = mzp_pump(t->ch, &pump);
	if (err == EAGAIN && !pump.bytes) {
		pump = pump_to(t->socket[0]);
		pump.max = 1;
		err = mzp_pump(t->ch, &pump);
	}
	if (!pump.bytes)
		return -err;
	read_exactly(t->socket[1], buf, pump.bytes);
	return pump.bytes;
}

static ssize_t take_splice(struct take *t, void *buf, size_t n)
{
	ssize_t got = splice(t->ch, NULL, t->pipe[1], NULL, n, 0);

	if (got < 0)
		return -errno;
	read_exactly(t->pipe[0], buf, got);
	return got;
}

ssize_t take(struct take *t, enum way way, void *buf, size_t n)
{
	ssize_t got;

	n = min(n, TAKE_MAX);
	if (way == BY_PUMP)
		return take_pump(t, buf, n);
	if (way == BY_SPLICE)
		return take_splice(t, buf, n);
	got = read(t->ch, buf, n);
	return got < 0 ? -errno : got;
}

static void *taker(void *arg)
{
	static __thread uint8_t buf[TAKE_MAX];
	struct taker *t = arg;
	ssize_t got;

	for (;;) {
		enum way way = t->way == WAYS ? rnd_below(&t->random, WAYS) : t->way;
		/* in parts of all sizes, if it takes turns */
		size_t n = t->way == WAYS ? 1 + rnd_below(&t->random, TAKE_MAX) : TAKE_MAX;

		got = take(&t->take, way, buf, n);
		if (got <= 0)
			break;
		if (t->feed)
			t->feed(t->arg, buf, got);
		__atomic_add_fetch(&t->bytes, got, __ATOMIC_RELEASE);
	}
	t->err = -got;
	return NULL;
}

void taker_start(struct taker *t, int ch, enum way way,
		 void (*feed)(void *arg, const uint8_t *data, size_t n), void *arg)
{
	*t = (struct taker){ .way = way, .feed = feed, .arg = arg, .random = ch };
	take_init(&t->take, ch);
	thread_start(&t->thread, taker, t);
}

void taker_sleeps(const struct taker *t)
{
	static const long call[] = {
		[BY_READ] = SYS_read, [BY_SPLICE] = SYS_splice, [BY_PUMP] = SYS_ioctl,
	};

	until_blocked_in(getpid(), t->thread.tid, call[t->way]);
}

int taker_end(struct taker *t)
{
	thread_join(&t->thread);
	take_free(&t->take);
	return t->err;
}
