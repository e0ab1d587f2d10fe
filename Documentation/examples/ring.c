/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's dirty ring as the log: KVM_CAP_DIRTY_LOG_RING, a ring for each vCPU. */
#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include <mfd.h>

/* [ring] */
struct ring {
	struct kvm_dirty_gfn *entries;	/* mapped from the vCPU's fd */
	uint32_t nr;			/* a power of two */
	uint32_t next;			/* to be looked at */
};

/* Once for each memslot: which part of a block it is. Address space 0. */
int name_slot(struct mfd_block *ram, const struct kvm_userspace_memory_region *region,
	      uint64_t first_page, struct mfd_error *err)
{
	return mfd_block_slot(ram, region->slot, first_page, region->memory_size / 4096, err);
}

/*
 * In each round, and when a vCPU exits with KVM_EXIT_DIRTY_RING_FULL, which then needs a
 * reset to go on: by one thread at a time, as all calls for a session.
 */
int collect(struct mfd_session *session, struct ring *ring, struct mfd_error *err)
{
	struct kvm_dirty_gfn *entry;
	struct mfd_gfn gfn;
	int ret;

	for (;; ring->next++) {
		entry = &ring->entries[ring->next & (ring->nr - 1)];
		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			return 0;
		gfn = (struct mfd_gfn){ .slot = entry->slot, .offset = entry->offset };
		ret = mfd_dirty_ring(session, &gfn, 1, err);
		if (ret)
			return ret;
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

/* Mark, reset, then send. */
int send_rings(int vm_fd, struct mfd_session *session, struct ring *rings, unsigned int nr,
	       struct mfd_error *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = collect(session, &rings[i], err);
		if (ret)
			return ret;
	}
	if (ioctl(vm_fd, KVM_RESET_DIRTY_RINGS) < 0)
		return -errno;
	/* here: mfd_dirty_pages() for what the VMM and its devices have written */
	return mfd_send_dirty(session, 0, err);
}
/* [end] */
