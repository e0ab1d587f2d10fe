// SPDX-License-Identifier: GPL-2.0-only
/*
 * A toy guest with a dirty log.
 *
 * No write may be lost between a vCPU and the migration, which fetches the log
 * and then sends the pages whose bits were set. So
 *
 *	vCPU:		write the page, then set its bit
 *	migration:	get and clear the bits, then have the pages read
 *
 * Whatever the interleaving, if the fetch sees the bit, the page is read after
 * the write. If it does not, because the bit is set later, the next fetch sees
 * it; that this round may have sent half of the write does no harm. The other
 * order loses data: bit set, bit fetched, old page sent, page written, and no
 * bit is left. (KVM may set the bit first, because the guest cannot write to a
 * page after the fetch without another fault or log entry.)
 *
 * The release of the vCPU's atomic OR pairs with the acquire of the fetch's
 * exchange.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fail.h"
#include "guest.h"
#include "report.h"

/* vCPUs write in bursts, one per tick. */
#define TICK_NS		1000000
/* One write in so many clears its page. */
#define CLEAR_EVERY	8

struct toy;

struct vcpu {
	struct toy *toy;
	pthread_t thread;
	unsigned int id;
	uint64_t random;
};

struct toy {
	struct guest guest;
	_Atomic uint64_t *dirty;	/* the log: a bit for each page */
	uint64_t *fetched;		/* bits that were in it */
	struct mfd_block *block;	/* that it is migrated as */
	struct vcpu *vcpus;
	unsigned int nr_vcpus;
	unsigned int running;		/* threads that were started */
	unsigned int write_rate;	/* pages per second and vCPU */
	atomic_bool stop;
};

static struct toy *toy_of(struct guest *guest)
{
	return (struct toy *)guest;
}

static uint64_t words(const struct toy *toy)
{
	return (toy->guest.ram.pages + 63) / 64;
}

static uint64_t next_random(struct vcpu *vcpu)
{
	vcpu->random ^= vcpu->random << 13;
	vcpu->random ^= vcpu->random >> 7;
	vcpu->random ^= vcpu->random << 17;
	return vcpu->random;
}

static void mark_dirty(struct toy *toy, uint64_t page)
{
	atomic_fetch_or_explicit(&toy->dirty[page / 64], 1ull << page % 64,
				 memory_order_release);
}

/* Each vCPU writes to pages of its own: two do not race for the same bytes. */
static void write_page(struct vcpu *vcpu)
{
	struct toy *toy = vcpu->toy;
	uint64_t own = toy->guest.ram.pages / toy->nr_vcpus;
	uint64_t page = vcpu->id * own + next_random(vcpu) % own;
	uint64_t *ram = (uint64_t *)(toy->guest.ram.base + page * RAM_PAGE);
	unsigned int i;

	if (next_random(vcpu) % CLEAR_EVERY == 0)
		memset(ram, 0, RAM_PAGE);
	else
		for (i = 0; i < RAM_PAGE / sizeof(*ram); i += 16)
			ram[i] = next_random(vcpu);
	mark_dirty(toy, page);
}

static void *vcpu_thread(void *data)
{
	struct vcpu *vcpu = data;
	struct toy *toy = vcpu->toy;
	const struct timespec tick = { .tv_nsec = TICK_NS };
	uint64_t start = now_ns(), written = 0, due;

	while (!atomic_load(&toy->stop)) {
		due = (now_ns() - start) / 1000 * toy->write_rate / 1000000;
		while (written < due && !atomic_load(&toy->stop)) {
			write_page(vcpu);
			written++;
		}
		nanosleep(&tick, NULL);
	}
	return NULL;
}

static int stop(struct guest *guest, struct mfd_error *err)
{
	struct toy *toy = toy_of(guest);

	(void)err;
	atomic_store(&toy->stop, true);
	while (toy->running)
		pthread_join(toy->vcpus[--toy->running].thread, NULL);
	return 0;
}

static int start(struct guest *guest, struct mfd_error *err)
{
	struct toy *toy = toy_of(guest);

	atomic_store(&toy->stop, false);
	for (; toy->running < toy->nr_vcpus; toy->running++) {
		struct vcpu *vcpu = &toy->vcpus[toy->running];

		errno = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
		if (errno)
			return demo_fail(err, "vCPU");
	}
	return 0;
}

/* It is always on. */
static int log_start(struct guest *guest, struct mfd_session *session, struct mfd_block *block,
		     struct mfd_error *err)
{
	(void)session, (void)err;
	toy_of(guest)->block = block;
	return 0;
}

/* Get and clear, as KVM_GET_DIRTY_LOG does. */
static int log_fetch(struct guest *guest, struct mfd_error *err)
{
	struct toy *toy = toy_of(guest);
	uint64_t i;

	for (i = 0; i < words(toy); i++)
		toy->fetched[i] = atomic_exchange_explicit(&toy->dirty[i], 0,
							   memory_order_acquire);
	return mfd_dirty_bitmap(toy->block, 0, guest->ram.pages, toy->fetched, err);
}

static void log_stop(struct guest *guest)
{
	toy_of(guest)->block = NULL;
}

static void destroy(struct guest *guest)
{
	struct toy *toy = toy_of(guest);

	stop(guest, NULL);
	free(toy->vcpus);
	free(toy->dirty);
	free(toy->fetched);
	ram_unmap(&guest->ram);
	free(toy);
}

static const struct guest_ops ops = {
	.start = start,
	.stop = stop,
	.log_start = log_start,
	.log_fetch = log_fetch,
	.log_stop = log_stop,
	.destroy = destroy,
};

static int prepare(struct toy *toy, struct mfd_error *err)
{
	unsigned int i;

	toy->dirty = calloc(words(toy), sizeof(*toy->dirty));
	toy->fetched = calloc(words(toy), sizeof(*toy->fetched));
	toy->vcpus = calloc(toy->nr_vcpus, sizeof(*toy->vcpus));
	if (!toy->dirty || !toy->fetched || !toy->vcpus)
		return demo_fail(err, "guest");
	for (i = 0; i < toy->nr_vcpus; i++)
		toy->vcpus[i] = (struct vcpu) {
			.toy = toy, .id = i, .random = 0x9e3779b97f4a7c15ull * (i + 1),
		};
	return 0;
}

int guest_toy(struct guest **guest, const struct guest_options *options, struct mfd_error *err)
{
	struct toy *toy = calloc(1, sizeof(*toy));
	int ret;

	if (!toy)
		return demo_fail(err, "guest");
	toy->guest.ops = &ops;
	toy->nr_vcpus = options->vcpus;
	toy->write_rate = options->write_rate;
	ret = ram_map(&toy->guest.ram, options->size, options->memory, err);
	if (!ret && options->image)
		ret = ram_load(&toy->guest.ram, options->image, err);
	if (!ret)
		ret = prepare(toy, err);
	if (ret)
		destroy(&toy->guest);
	else
		*guest = &toy->guest;
	return ret;
}
