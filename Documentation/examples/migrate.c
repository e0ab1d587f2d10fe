/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VMM's migration in 30 lines, with a toy VM below it so that it can be run:
 *
 *	migrate unix:mig.sock
 *
 * The destination is a QEMU 9.0 or newer with a block of 64 MiB called ram0.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mfd.h>

#define PAGE 4096

struct vm {
	uint8_t *ram;
	uint64_t size;
	uint64_t pages;
	uint64_t *dirty;		/* pages to send next */
	_Atomic uint64_t *log;		/* the dirty log, as KVM would keep it */
	atomic_bool logging;
	atomic_bool stopped;
	pthread_t vcpu;
};

static void vm_log_dirty(struct vm *vm)
{
	vm->logging = true;
}

static void vm_stop(struct vm *vm)
{
	vm->stopped = true;
	pthread_join(vm->vcpu, NULL);
}

static void vm_fetch_dirty(struct vm *vm)
{
	uint64_t i;

	for (i = 0; i < (vm->pages + 63) / 64; i++)
		vm->dirty[i] = atomic_exchange(&vm->log[i], 0);
}

/* [migrate] */
bool migrate(struct vm *vm, const char *address, struct mfd_error *err)
{
	struct mfd_session *session = NULL;
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_block *ram;
	struct mfd_round round = { .size = sizeof(round) };
	bool ok, stop = false;

	mfd_params_init(&params);	/* for a destination of QEMU 9.0 or newer */
	params.channels = 2;		/* its multifd-channels */
	vm_log_dirty(vm);		/* before the first page is handed over */
	ok = !mfd_open(&session, NULL, err) &&
	     !mfd_setup(session, &params, err) &&
	     !mfd_block_add(session, "ram0", vm->ram, vm->size, &ram, err) &&
	     !mfd_connect(session, address, err) &&
	     !mfd_send_all(ram, MFD_SEND_FRESH, err) &&
	     !mfd_round_finish(session, &round, err);
	while (ok && !stop) {
		stop = round.ns < 300000000;	/* what is left takes no longer */
		if (stop)
			vm_stop(vm);
		vm_fetch_dirty(vm);		/* get and clear, as KVM_GET_DIRTY_LOG */
		ok = !mfd_send_bitmap(ram, 0, vm->pages, vm->dirty, 0, err) &&
		     !mfd_round_finish(session, &round, err);
	}
	ok = ok && !mfd_finish(session, err);
	mfd_close(session);
	return ok;			/* if not, let the guest run on here */
}
/* [end] */

/* Write a page, then set its bit: a fetch that sees the bit sees the page. */
static void *run_vcpu(void *data)
{
	struct vm *vm = data;
	uint64_t n, page;

	for (n = 1; !vm->stopped; n++) {
		page = n * 7919 % vm->pages;
		*(_Atomic uint64_t *)(vm->ram + page * PAGE) = n;
		if (vm->logging)
			atomic_fetch_or(&vm->log[page / 64], 1ull << page % 64);
		usleep(1000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct vm vm = { .size = 64 << 20, .pages = (64 << 20) / PAGE };
	struct mfd_error err = { .size = sizeof(err) };

	if (argc != 2)
		return 2;
	vm.ram = mmap(NULL, vm.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vm.dirty = calloc(vm.pages / 64, sizeof(*vm.dirty));
	vm.log = calloc(vm.pages / 64, sizeof(*vm.log));
	if (vm.ram == MAP_FAILED || !vm.dirty || !vm.log ||
	    pthread_create(&vm.vcpu, NULL, run_vcpu, &vm))
		return 1;
	if (!migrate(&vm, argv[1], &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	/* for a comparison with the destination's */
	return !isatty(1) && write(1, vm.ram, vm.size) != (ssize_t)vm.size;
}
