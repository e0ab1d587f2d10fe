// SPDX-License-Identifier: GPL-2.0-only
/* A guest that KVM runs: a machine (vm.c) with a program (code.c) and state (state.c). */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "code.h"
#include "fail.h"
#include "guest.h"
#include "state.h"
#include "vm.h"

struct kvm_guest {
	struct guest guest;
	struct vm vm;
};

static struct vm *vm_of(struct guest *guest)
{
	return &((struct kvm_guest *)guest)->vm;
}

static int start(struct guest *guest, struct mfd_error *err)
{
	return vm_start(vm_of(guest), err);
}

static int stop(struct guest *guest, struct mfd_error *err)
{
	return vm_stop(vm_of(guest), err);
}

static int start_log(struct guest *guest, struct mfd_session *session, struct mfd_block *block,
		     struct mfd_error *err)
{
	return log_start(&vm_of(guest)->log, vm_of(guest), session, block, err);
}

static int fetch_log(struct guest *guest, struct mfd_error *err)
{
	return log_fetch(&vm_of(guest)->log, vm_of(guest), err);
}

static void stop_log(struct guest *guest)
{
	log_stop(&vm_of(guest)->log, vm_of(guest));
}

static void destroy(struct guest *guest)
{
	vm_destroy(vm_of(guest));
	ram_unmap(&guest->ram);
	free(guest);
}

static int send_state(struct guest *guest, struct mfd_session *session, struct mfd_error *err)
{
	struct state state;
	int ret = state_get(&state, vm_of(guest), err);

	return ret ? ret : state_send(&state, session, err);
}

static int take_state(struct guest *guest, const void *data, size_t size, struct mfd_error *err)
{
	struct state state;
	int ret = state_take(&state, data, size, err), set;

	if (ret <= 0)
		return ret;
	set = state_set(&state, vm_of(guest), err);
	return set ? set : ret;
}

static int print_state(struct guest *guest, FILE *file, struct mfd_error *err)
{
	struct state state;
	int ret = state_get(&state, vm_of(guest), err);

	if (!ret && state_print(&state, file))
		ret = demo_fail(err, "state");
	return ret;
}

static int get_registers(struct vm *vm, struct code_registers *registers, struct mfd_error *err)
{
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &registers->sregs) ||
	    ioctl(vm->vcpu, KVM_GET_REGS, &registers->regs) ||
	    ioctl(vm->vcpu, KVM_GET_XSAVE, &registers->xsave))
		return demo_fail(err, "KVM, registers");
	return 0;
}

static int set_registers(struct vm *vm, struct code_registers *registers, struct mfd_error *err)
{
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &registers->sregs) ||
	    ioctl(vm->vcpu, KVM_SET_REGS, &registers->regs) ||
	    ioctl(vm->vcpu, KVM_SET_XSAVE, &registers->xsave))
		return demo_fail(err, "KVM, registers");
	return 0;
}

static int check(struct guest *guest, struct mfd_error *err)
{
	struct vm *vm = vm_of(guest);
	struct code_registers registers;
	int ret = get_registers(vm, &registers, err);

	if (!ret && code_check(&guest->ram, &registers, &vm->serial, err->text,
			       sizeof(err->text))) {
		err->code = EIO;
		ret = -EIO;
	}
	return ret;
}

static void tell(struct guest *guest, char *text, size_t size)
{
	struct vm *vm = vm_of(guest);
	struct kvm_regs regs = { .rip = 0 };

	ioctl(vm->vcpu, KVM_GET_REGS, &regs);
	snprintf(text, size, "count %ju, rip 0x%jx, serial %ju, dirty ring full %lu times",
		 (uintmax_t)regs.rbx, (uintmax_t)regs.rip, (uintmax_t)vm->serial.state.taken,
		 vm->log.full);
	if (vm->log.kind != DIRTY_RING)
		*strrchr(text, ',') = '\0';
}

static const struct guest_ops ops = {
	.start = start,
	.stop = stop,
	.log_start = start_log,
	.log_fetch = fetch_log,
	.log_stop = stop_log,
	.destroy = destroy,
	.send_state = send_state,
	.take_state = take_state,
	.print_state = print_state,
	.check = check,
	.tell = tell,
};

static int begin(struct vm *vm, struct mfd_error *err)
{
	struct code_registers registers;
	int ret = get_registers(vm, &registers, err);

	if (ret)
		return ret;
	code_load(vm->ram);
	code_begin(vm->ram, &registers);
	return set_registers(vm, &registers, err);
}

int guest_kvm(struct guest **guest, const struct guest_options *options, struct mfd_error *err)
{
	struct kvm_guest *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return demo_fail(err, "guest");
	new->guest.ops = &ops;
	new->vm = (struct vm){ .kvm = -1, .fd = -1, .vcpu = -1, .rate = options->write_rate };
	ret = ram_map(&new->guest.ram, options->size, options->memory, err);
	if (!ret && (new->guest.ram.pages <= VM_LOW_PAGES ||
		     new->guest.ram.pages > CODE_MAX_PAGES))
		ret = demo_wrong(err, EINVAL, "KVM's guest needs more than 1M and at most 3G");
	if (!ret)
		ret = vm_create(&new->vm, &new->guest.ram, options->dirty_log, err);
	if (!ret && !options->incoming)
		ret = begin(&new->vm, err);
	if (ret)
		destroy(&new->guest);
	else
		*guest = &new->guest;
	return ret;
}
