/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's dirty ring as the log: KVM_CAP_DIRTY_LOG_RING, a ring for each vCPU. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include <mfd.h>

/* [ring] */
enum { BATCH = 256 };

struct ring {
	struct kvm_dirty_gfn *entries;	/* mapped from the vCPU's fd */
	uint32_t nr;			/* a power of two */
	uint32_t next;			/* to be looked at; under @lock */
	pthread_mutex_t lock;
};

/* Once for each memslot: which part of a block it is. Address space 0. */
int name_slot(struct mfd_block *ram, const struct kvm_userspace_memory_region *region,
	      uint64_t first_page, struct mfd_error *err)
{
	return mfd_block_slot(ram, region->slot, first_page, region->memory_size / 4096, err);
}

/* Copy entries, and give them back. */
static uint32_t take(struct ring *ring, struct mfd_gfn *gfns)
{
	struct kvm_dirty_gfn *entry;
	uint32_t n;

	for (n = 0; n < BATCH; n++, ring->next++) {
		entry = &ring->entries[ring->next & (ring->nr - 1)];
		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		gfns[n] = (struct mfd_gfn){ .slot = entry->slot, .offset = entry->offset };
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	return n;
}

/*
 * Take, reset, mark: by a vCPU's thread after KVM_EXIT_DIRTY_RING_FULL, and by the thread
 * that migrates, in each round.
 */
int drain(int vm_fd, struct mfd_session *session, struct ring *ring, struct mfd_error *err)
{
	struct mfd_gfn gfns[BATCH];
	uint32_t nr;
	int ret = 0;

	pthread_mutex_lock(&ring->lock);
	do {
		nr = take(ring, gfns);
		if (nr && ioctl(vm_fd, KVM_RESET_DIRTY_RINGS) < 0)
			ret = -errno;
		if (!ret)
			ret = mfd_dirty_ring(session, gfns, nr, err);
	} while (!ret && nr == BATCH);
	pthread_mutex_unlock(&ring->lock);
	return ret;
}

/* A round */
int send_rings(int vm_fd, struct mfd_session *session, struct ring *rings, unsigned int nr,
	       struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = drain(vm_fd, session, &rings[i], err);
	/* here: mfd_dirty_pages() for what the VMM and its devices have written */
	return ret ? ret : mfd_send_dirty(session, 0, err);
}
/* [end] */
