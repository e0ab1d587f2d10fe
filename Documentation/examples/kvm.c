/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handing over KVM's dirty log.
 *
 * A RAM block can consist of several memslots. Each has a log of its own, whose
 * bit 0 is the slot's first page; all that is needed is where in the block the slot
 * starts.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include <mfd.h>

/* [slot] */
struct slot {
	struct kvm_userspace_memory_region region;
	struct mfd_block *block;
	uint64_t first_page;	/* of the slot, in its block */
	uint64_t pages;
	uint64_t *bitmap;	/* room for a bit for each page, in whole words */
};

/* Before the first round: from now on KVM notes which pages vCPUs write. */
int log_dirty(int vm_fd, struct slot *slot)
{
	slot->region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot->region);
}

/*
 * In each later round: first take the bits out of the log, then have the pages sent.
 * @manual: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is enabled
 */
int send_dirty(int vm_fd, struct slot *slot, bool manual, struct mfd_error *err)
{
	struct kvm_dirty_log log = {
		.slot = slot->region.slot,
		.dirty_bitmap = slot->bitmap,
	};
	struct kvm_clear_dirty_log clear = {
		.slot = slot->region.slot,
		.num_pages = slot->pages,
		.dirty_bitmap = slot->bitmap,
	};

	if (ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) ||
	    (manual && ioctl(vm_fd, KVM_CLEAR_DIRTY_LOG, &clear))) {
		err->code = errno;
		snprintf(err->text, sizeof(err->text), "dirty log: %s", strerror(errno));
		return -err->code;
	}
	/* here: set the bits of what the VMM, vhost or a device has written itself */
	return mfd_send_bitmap(slot->block, slot->first_page, slot->pages, slot->bitmap,
			       0, err);
}
/* [end] */
