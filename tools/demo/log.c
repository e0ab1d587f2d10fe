// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's dirty log, in its three ways.
 *
 * Bitmap: KVM_GET_DIRTY_LOG gets and clears it, a slot at a time. Manual: the same, but
 * KVM_CLEAR_DIRTY_LOG clears it; only then are the pages protected from unnoticed writes
 * again, and of large memory that can be done in parts. Ring: each vCPU has a list of pages,
 * whose entries somebody takes and gives back; then KVM_RESET_DIRTY_RINGS protects their
 * pages.
 *
 * In all of them the order is: take a page out of the log, let KVM look out for it again,
 * have it sent. Who writes to it meanwhile brings it back into the log.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fail.h"
#include "log.h"
#include "vm.h"

#ifndef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#define KVM_CAP_DIRTY_LOG_RING_ACQ_REL 223
#endif

/*
 * As few as KVM allows, so that it gets full now and then: what depends on the CPU, which may
 * have a buffer of its own that has to go into the ring all at once.
 */
#define MIN_ENTRIES	256
#define MAX_ENTRIES	65536

static int enable(struct vm *vm, uint32_t what, uint64_t how)
{
	struct kvm_enable_cap cap = { .cap = what, .args = { how } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

/* The older name of the capability promises the same on x86. */
static int enable_ring(struct log *log, struct vm *vm)
{
	uint32_t entries;
	uint64_t bytes;

	for (entries = MIN_ENTRIES; entries <= MAX_ENTRIES; entries *= 2) {
		bytes = entries * sizeof(struct kvm_dirty_gfn);
		if (enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, bytes) &&
		    enable(vm, KVM_CAP_DIRTY_LOG_RING, bytes))
			continue;
		log->entries = entries;
		return 0;
	}
	return -1;
}

int log_prepare(struct log *log, struct vm *vm, enum dirty_log kind, struct mfd_error *err)
{
	log->kind = kind;
	if (kind == DIRTY_MANUAL && enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
					   KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return demo_fail(err, "KVM's manual dirty log");
	if (kind == DIRTY_RING && enable_ring(log, vm))
		return demo_fail(err, "KVM's dirty ring");
	return 0;
}

static uint64_t slot_pages(const struct vm *vm, unsigned int slot)
{
	return vm->slots[slot].memory_size / RAM_PAGE;
}

/* Where the slot begins in the block. */
static uint64_t slot_first(const struct vm *vm, unsigned int slot)
{
	return (vm->slots[slot].userspace_addr - (uintptr_t)vm->ram->base) / RAM_PAGE;
}

static int map_ring(struct log *log, struct vm *vm, struct mfd_error *err)
{
	void *ring = mmap(NULL, log->entries * sizeof(*log->ring), PROT_READ | PROT_WRITE,
			  MAP_SHARED, vm->vcpu, KVM_DIRTY_LOG_PAGE_OFFSET * RAM_PAGE);

	if (ring == MAP_FAILED)
		return demo_fail(err, "KVM's dirty ring");
	log->ring = ring;
	log->copies = calloc(log->entries, sizeof(*log->copies));
	return log->copies ? 0 : demo_fail(err, "KVM's dirty ring");
}

int log_create(struct log *log, struct vm *vm, struct mfd_error *err)
{
	pthread_mutex_init(&log->lock, NULL);
	if (log->kind == DIRTY_RING)
		return map_ring(log, vm, err);
	log->bitmap = calloc((vm->ram->pages + 63) / 64, sizeof(*log->bitmap));
	return log->bitmap ? 0 : demo_fail(err, "dirty log");
}

static int switch_log(struct vm *vm, uint32_t flags, struct mfd_error *err)
{
	unsigned int i;

	for (i = 0; i < VM_SLOTS; i++) {
		vm->slots[i].flags = flags;
		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &vm->slots[i]))
			return demo_fail(err, "KVM's dirty log");
	}
	return 0;
}

static int name_slots(struct log *log, struct vm *vm, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < VM_SLOTS && !ret; i++)
		ret = mfd_block_slot(log->block, vm->slots[i].slot, slot_first(vm, i),
				     slot_pages(vm, i), err);
	return ret;
}

/*
 * Take what is in the ring. The pages are marked when KVM looks out for them again, not
 * before: the migration's thread may send what is marked at any time. A mark that fails is
 * the migration's failure and not the guest's, so its thread is told when it fetches.
 */
static int empty_ring(struct log *log, struct vm *vm, struct mfd_error *err)
{
	struct kvm_dirty_gfn *entry;
	uint32_t nr;

	for (nr = 0; nr < log->entries; log->at++) {
		entry = &log->ring[log->at % log->entries];
		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		log->copies[nr++] = (struct mfd_gfn) {
			.slot = entry->slot, .offset = entry->offset,
		};
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	if (ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0) < 0)
		return demo_fail(err, "KVM's dirty ring");
	if (log->session && !log->unmarked.code)
		mfd_dirty_ring(log->session, log->copies, nr, &log->unmarked);
	return 0;
}

static int fetch_ring(struct log *log, struct vm *vm, struct mfd_error *err)
{
	int ret;

	pthread_mutex_lock(&log->lock);
	ret = empty_ring(log, vm, err);
	if (!ret && log->unmarked.code) {
		*err = log->unmarked;
		ret = -err->code;
	}
	pthread_mutex_unlock(&log->lock);
	return ret;
}

int log_full(struct log *log, struct vm *vm, struct mfd_error *err)
{
	int ret;

	pthread_mutex_lock(&log->lock);
	log->full++;
	ret = empty_ring(log, vm, err);
	pthread_mutex_unlock(&log->lock);
	return ret;
}

static int fetch_slot(struct log *log, struct vm *vm, unsigned int slot, struct mfd_error *err)
{
	struct kvm_dirty_log get = { .slot = vm->slots[slot].slot, .dirty_bitmap = log->bitmap };
	struct kvm_clear_dirty_log clear = {
		.slot = vm->slots[slot].slot,
		.num_pages = slot_pages(vm, slot),
		.dirty_bitmap = log->bitmap,
	};

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &get) ||
	    (log->kind == DIRTY_MANUAL && ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear)))
		return demo_fail(err, "KVM's dirty log");
	return mfd_dirty_bitmap(log->block, slot_first(vm, slot), slot_pages(vm, slot),
				log->bitmap, err);
}

int log_start(struct log *log, struct vm *vm, struct mfd_session *session,
	      struct mfd_block *block, struct mfd_error *err)
{
	int ret;

	log->block = block;
	ret = name_slots(log, vm, err);
	if (ret)
		return ret;
	pthread_mutex_lock(&log->lock);
	log->session = session;
	log->unmarked = (struct mfd_error){ .size = sizeof(log->unmarked) };
	pthread_mutex_unlock(&log->lock);
	return switch_log(vm, KVM_MEM_LOG_DIRTY_PAGES, err);
}

int log_fetch(struct log *log, struct vm *vm, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	/* KVM knows only what vCPUs write. */
	if (atomic_exchange(&vm->serial.written, false))
		ret = mfd_dirty_pages(log->block, SERIAL_PAGE, 1, err);
	if (!ret && log->kind == DIRTY_RING)
		return fetch_ring(log, vm, err);
	for (i = 0; i < VM_SLOTS && !ret; i++)
		ret = fetch_slot(log, vm, i, err);
	return ret;
}

/* The guest runs on, and nobody wants to know. What is still in the ring is thrown away. */
void log_stop(struct log *log, struct vm *vm)
{
	struct mfd_error err = { .size = sizeof(err) };

	switch_log(vm, 0, &err);
	pthread_mutex_lock(&log->lock);
	log->session = NULL;
	pthread_mutex_unlock(&log->lock);
	if (log->kind == DIRTY_RING)
		fetch_ring(log, vm, &err);
}

void log_destroy(struct log *log)
{
	if (log->ring)
		munmap(log->ring, log->entries * sizeof(*log->ring));
	free(log->copies);
	free(log->bitmap);
}
