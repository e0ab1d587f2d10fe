/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a machine's vCPU and device: what goes with the guest besides memory.
 *
 * In the stream each part is a section of its own, with the length of its data in front of
 * it, since QEMU's sections have none. The data are KVM's structures as they are: both ends
 * are x86, and KVM's structures do not change.
 */
#ifndef DEMO_STATE_H
#define DEMO_STATE_H

#include <linux/kvm.h>
#include <stdio.h>

#include "serial.h"
#include "vm.h"

#define STATE_MSRS 9

struct state {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_xcrs xcrs;
	uint32_t xsave[1024];		/* struct kvm_xsave, without what large ones have */
	struct {
		uint32_t nr, pad;	/* both are struct kvm_msrs */
		struct kvm_msr_entry entries[STATE_MSRS];
	} msrs;
	struct {
		uint32_t nr, pad;
		struct kvm_msr_entry entries[1];
	} tsc;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct serial_state serial;
};

/* Of a vCPU that does not run: what it is, and make it that. */
int state_get(struct state *state, struct vm *vm, struct mfd_error *err);
int state_set(struct state *state, struct vm *vm, struct mfd_error *err);

int state_send(const struct state *state, struct mfd_session *session, struct mfd_error *err);

/*
 * @data: what has come so far behind RAM. Return: 1: that was all of it; 0: more must come;
 * or an error.
 */
int state_take(struct state *state, const void *data, size_t size, struct mfd_error *err);

/* A line for each part. */
int state_print(const struct state *state, FILE *file);

#endif /* DEMO_STATE_H */
