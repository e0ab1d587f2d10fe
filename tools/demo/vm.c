// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine under KVM: memory, a vCPU with its thread, a device.
 *
 * A vCPU is stopped from outside by two things: a signal, which interrupts KVM_RUN, and
 * immediate_exit, which makes the next KVM_RUN come back at once, for the case that the
 * thread was just about to call it. Such a call still finishes what the last exit was about:
 * if the guest was at an OUT, KVM steps over it now. So the thread ends only when KVM_RUN has
 * been interrupted, not as soon as it is told to; else the OUT would be done here and, since
 * the vCPU's state says that it is still to come, at the destination again.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "code.h"
#include "fail.h"
#include "report.h"
#include "vm.h"

#define KICK		SIGUSR1
#define CPUID_ENTRIES	256
/* How long a vCPU that is ahead of its rate sleeps at a time, at most. */
#define NAP_NS		5000000

static void kicked(int signal)
{
	(void)signal;
}

static int catch_kicks(struct mfd_error *err)
{
	struct sigaction action = { .sa_handler = kicked };

	return sigaction(KICK, &action, NULL) ? demo_fail(err, "signal") : 0;
}

static int add_memory(struct vm *vm, struct mfd_error *err)
{
	uint64_t low = VM_LOW_PAGES * RAM_PAGE;
	unsigned int i;

	vm->slots[0] = (struct kvm_userspace_memory_region) {
		.slot = 0,
		.memory_size = low,
		.userspace_addr = (uintptr_t)vm->ram->base,
	};
	vm->slots[1] = (struct kvm_userspace_memory_region) {
		.slot = 1,
		.guest_phys_addr = low,
		.memory_size = vm->ram->size - low,
		.userspace_addr = (uintptr_t)vm->ram->base + low,
	};
	for (i = 0; i < VM_SLOTS; i++)
		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &vm->slots[i]))
			return demo_fail(err, "KVM, guest memory");
	return 0;
}

/* All that KVM can do. Both ends have to offer their guest the same. */
static int set_cpuid(struct vm *vm, struct mfd_error *err)
{
	struct kvm_cpuid2 *cpuid;
	int ret = 0;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return demo_fail(err, "KVM, CPUID");
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) ||
	    ioctl(vm->vcpu, KVM_SET_CPUID2, cpuid))
		ret = demo_fail(err, "KVM, CPUID");
	free(cpuid);
	return ret;
}

static int add_vcpu(struct vm *vm, struct mfd_error *err)
{
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (size < 0 || vm->vcpu < 0)
		return demo_fail(err, "KVM, vCPU");
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (run == MAP_FAILED)
		return demo_fail(err, "KVM, vCPU");
	vm->run = run;
	vm->run_size = size;
	return set_cpuid(vm, err);
}

/* An exception that is under way when the vCPU stops is told with all that belongs to it. */
static int tell_exceptions(struct vm *vm, struct mfd_error *err)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? demo_fail(err, "KVM, exceptions") : 0;
}

int vm_create(struct vm *vm, struct ram *ram, enum dirty_log dirty_log, struct mfd_error *err)
{
	int ret;

	vm->ram = vm->serial.ram = ram;
	vm->failure.size = sizeof(vm->failure);
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return demo_fail(err, "/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return demo_fail(err, "KVM");
	ret = tell_exceptions(vm, err);
	if (!ret)
		ret = log_prepare(&vm->log, vm, dirty_log, err);
	if (!ret)
		ret = add_memory(vm, err);
	if (!ret)
		ret = add_vcpu(vm, err);
	if (!ret)
		ret = log_create(&vm->log, vm, err);
	return ret ? ret : catch_kicks(err);
}

/* The device is slow, so that the guest does not write faster than it may. */
static void pace(struct vm *vm)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	uint64_t pages = (vm->serial.state.taken - vm->paced) * CODE_OUT_EVERY;

	while (!atomic_load(&vm->stop) &&
	       pages > (now_ns() - vm->paced_ns) / 1000 * vm->rate / 1000000)
		nanosleep(&nap, NULL);
}

static int handle_io(struct vm *vm, struct mfd_error *err)
{
	struct kvm_run *run = vm->run;
	uint32_t value;

	memcpy(&value, (char *)run + run->io.data_offset, sizeof(value));
	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != sizeof(value))
		return demo_wrong(err, EIO, "the guest does what it should not at a port");
	switch (run->io.port) {
	case SERIAL_PORT:
		serial_take(&vm->serial, value);
		pace(vm);
		return 0;
	case CODE_LOST_PORT:
		return demo_wrong(err, EIO, "the guest says that a page is not as it left it");
	}
	return demo_wrong(err, EIO, "the guest writes to a port that is not there");
}

static int handle_exit(struct vm *vm, struct mfd_error *err)
{
	switch (vm->run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(vm, err);
	case KVM_EXIT_DIRTY_RING_FULL:
		return log_full(&vm->log, vm, err);
	}
	snprintf(err->text, sizeof(err->text), "the vCPU has ended, KVM's exit reason is %u",
		 vm->run->exit_reason);
	err->code = EIO;
	return -EIO;
}

static void *run_vcpu(void *data)
{
	struct vm *vm = data;
	int ret = 0;

	while (!ret) {
		if (!ioctl(vm->vcpu, KVM_RUN, 0))
			ret = handle_exit(vm, &vm->failure);
		else if (errno != EINTR && errno != EAGAIN)
			ret = demo_fail(&vm->failure, "KVM_RUN");
		else if (atomic_load(&vm->stop))
			break;
	}
	return NULL;
}

int vm_start(struct vm *vm, struct mfd_error *err)
{
	atomic_store(&vm->stop, false);
	vm->run->immediate_exit = 0;
	vm->paced_ns = now_ns();
	vm->paced = vm->serial.state.taken;
	errno = pthread_create(&vm->thread, NULL, run_vcpu, vm);
	if (errno)
		return demo_fail(err, "vCPU");
	vm->running = true;
	return 0;
}

int vm_stop(struct vm *vm, struct mfd_error *err)
{
	if (!vm->running)
		return 0;
	atomic_store(&vm->stop, true);
	__atomic_store_n(&vm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vm->thread, KICK);
	pthread_join(vm->thread, NULL);
	vm->running = false;
	if (!vm->failure.code)
		return 0;
	*err = vm->failure;
	return -err->code;
}

void vm_destroy(struct vm *vm)
{
	struct mfd_error err = { .size = sizeof(err) };

	vm_stop(vm, &err);
	log_destroy(&vm->log);
	if (vm->run)
		munmap(vm->run, vm->run_size);
	if (vm->vcpu >= 0)
		close(vm->vcpu);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
}
