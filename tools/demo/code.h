/* SPDX-License-Identifier: GPL-2.0-only */
/* The program of the KVM guest. */
#ifndef DEMO_CODE_H
#define DEMO_CODE_H

#include <linux/kvm.h>
#include <stdint.h>

#include "ram.h"
#include "serial.h"

/* Where it says that a page is not as it left it. */
#define CODE_LOST_PORT	0x11
/* One iteration in so many ends with an OUT. */
#define CODE_OUT_EVERY	16
/* As much memory as there is below a PC's hole, roughly. */
#define CODE_MAX_PAGES	(3ull << 18)

/* Put the program and its page tables into empty memory. */
void code_load(struct ram *ram);

/*
 * Registers of a vCPU, those that the program uses. @xsave: struct kvm_xsave, without what
 * large ones have.
 */
struct code_registers {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint32_t xsave[1024];
};

/* Make them those of a vCPU that begins to run it, from those after a reset. */
void code_begin(const struct ram *ram, struct code_registers *registers);

/*
 * Are memory, registers and device what the program makes of them, wherever it was stopped?
 * Return: 0, or -1 with the reason in @why.
 */
int code_check(const struct ram *ram, const struct code_registers *registers,
	       const struct serial *serial, char *why, size_t size);

#endif /* DEMO_CODE_H */
