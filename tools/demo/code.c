// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program of the KVM guest.
 *
 * It counts. With each number n, from 1 on, it goes to the next page of its data, and from
 * the last one back to the first; writes n to that page in three ways; and every 16th time
 * to the serial device. So, of N pages, page (n - 1) % N holds n until N numbers later, and
 * from n and the number of a page follows what has to be in it. A number that is left out, or
 * counted twice, moves all that follow to other pages; and before the program writes to a
 * page, it looks whether it is as it left it the last time around.
 *
 * Each part of a vCPU's state has a use, so that it is noticed if it is lost: 64-bit
 * registers hold n, the page and where the data begins and ends; an XMM register counts as
 * well; and without the system registers there is no 64-bit mode and no memory.
 *
 * Memory, in pages: 1 to 6 page tables, which map all of it where it is; 7 the program; 8
 * the last n; 9 what the serial device says (serial.h); 16 and on the data. Interrupts are
 * off and there is no table for exceptions: if something goes wrong, the machine stops.
 */
#include <stdio.h>
#include <string.h>

#include "code.h"

#define TABLE_PAGE	1
#define CODE_PAGE	7
#define COUNT_PAGE	8
#define DATA_PAGE	16

/* bits of page tables' entries */
#define PRESENT		(1 << 0)
#define WRITABLE	(1 << 1)
#define LARGE		(1 << 7)

#define CR0_PE		(1u << 0)
#define CR0_MP		(1u << 1)
#define CR0_ET		(1u << 4)
#define CR0_NE		(1u << 5)
#define CR0_PG		(1u << 31)
#define CR4_PAE		(1u << 5)
#define CR4_OSFXSR	(1u << 9)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)

/* of the XSAVE area, in words: registers, and which of its parts are not as after a reset */
#define XSAVE_XMM(n)	(40 + 4 * (n))
#define XSAVE_IN_USE	128
#define XSAVE_SSE	(1 << 1)

/*
 * rbx: n; rdi: page; rsi, rbp: where the data begins and ends; r8: N; r9: 0; r10: where n is
 * kept; xmm0: n; xmm1: 1
 */
static const uint8_t program[] = {
	0x48, 0xff, 0xc3,			/* next: inc rbx */
	0x66, 0x0f, 0xd4, 0xc1,			/* paddq xmm0, xmm1 */
	0x49, 0x89, 0x1a,			/* mov [r10], rbx */
	/* the page must hold n - N, or nothing in the first N times */
	0x48, 0x89, 0xd8,			/* mov rax, rbx */
	0x4c, 0x29, 0xc0,			/* sub rax, r8 */
	0x49, 0x0f, 0x42, 0xc1,			/* cmovb rax, r9 */
	0x48, 0x39, 0x07,			/* cmp [rdi], rax */
	0x75, 0x31,				/* jne lost */
	0x48, 0x89, 0x1f,			/* mov [rdi], rbx */
	0x66, 0x0f, 0xd6, 0x87, 0x00, 0x08, 0x00, 0x00,	/* movq [rdi + 0x800], xmm0 */
	0x48, 0x89, 0xd8,			/* mov rax, rbx */
	0x48, 0x31, 0xf8,			/* xor rax, rdi */
	0x48, 0x89, 0x87, 0xf8, 0x0f, 0x00, 0x00,	/* mov [rdi + 0xff8], rax */
	0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,	/* add rdi, 0x1000 */
	0x48, 0x39, 0xef,			/* cmp rdi, rbp */
	0x48, 0x0f, 0x44, 0xfe,			/* cmove rdi, rsi */
	0xf6, 0xc3, CODE_OUT_EVERY - 1,		/* test bl, 15 */
	0x75, 0xbc,				/* jne next */
	0x89, 0xd8,				/* mov eax, ebx */
	0xe7, SERIAL_PORT,			/* out SERIAL_PORT, eax */
	0xeb, 0xb6,				/* jmp next */
	0xe7, CODE_LOST_PORT,			/* lost: out CODE_LOST_PORT, eax */
	0xf4,					/* hlt */
};

static uint64_t nr_data(const struct ram *ram)
{
	return ram->pages - DATA_PAGE;
}

static uint64_t *page(const struct ram *ram, uint64_t number)
{
	return (uint64_t *)(ram->base + number * RAM_PAGE);
}

/* Four levels; the third has 2 MiB in an entry, 1 GiB in a page. */
static void load_tables(struct ram *ram)
{
	uint64_t i, end = (ram->size + (2 << 20) - 1) >> 21;

	page(ram, TABLE_PAGE)[0] = (TABLE_PAGE + 1) * RAM_PAGE | PRESENT | WRITABLE;
	for (i = 0; i < (end + 511) / 512; i++)
		page(ram, TABLE_PAGE + 1)[i] = (TABLE_PAGE + 2 + i) * RAM_PAGE | PRESENT | WRITABLE;
	for (i = 0; i < end; i++)
		page(ram, TABLE_PAGE + 2)[i] = i << 21 | PRESENT | WRITABLE | LARGE;
}

void code_load(struct ram *ram)
{
	load_tables(ram);
	memcpy(page(ram, CODE_PAGE), program, sizeof(program));
}

static void set_mode(struct kvm_sregs *sregs)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 8, .type = 11,
		.present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 16, .type = 3,
		.present = 1, .s = 1, .db = 1, .g = 1,
	};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
	sregs->cr3 = TABLE_PAGE * RAM_PAGE;
	sregs->cr4 = CR4_PAE | CR4_OSFXSR;
	sregs->efer = EFER_LME | EFER_LMA;
}

void code_begin(const struct ram *ram, struct code_registers *registers)
{
	set_mode(&registers->sregs);
	registers->regs = (struct kvm_regs) {
		.rip = CODE_PAGE * RAM_PAGE,
		.rflags = 2,
		.rdi = DATA_PAGE * RAM_PAGE,
		.rsi = DATA_PAGE * RAM_PAGE,
		.rbp = ram->size,
		.r8 = nr_data(ram),
		.r10 = COUNT_PAGE * RAM_PAGE,
	};
	registers->xsave[XSAVE_XMM(1)] = 1;
	registers->xsave[XSAVE_IN_USE] |= XSAVE_SSE;
}

/* The last number up to @n that page @i of the data got; 0: none. */
static uint64_t number_of(uint64_t i, uint64_t n, uint64_t nr)
{
	return n > i ? n - (n - 1 - i) % nr : 0;
}

/* Does the page hold @number, or @other? Zero is a page that was never written to. */
static int holds(const struct ram *ram, uint64_t i, uint64_t number, uint64_t other)
{
	const uint64_t *words = page(ram, DATA_PAGE + i);
	uint64_t at = (DATA_PAGE + i) * RAM_PAGE;

	return (words[0] == number || words[0] == other) &&
	       (words[256] == number || words[256] == other) &&
	       (words[511] == (number ? number ^ at : 0) || words[511] == (other ? other ^ at : 0));
}

static int check_data(const struct ram *ram, uint64_t n, char *why, size_t size)
{
	uint64_t i, nr = nr_data(ram), number, other;

	for (i = 0; i < nr; i++) {
		number = other = number_of(i, n, nr);
		/* that of the number it is at may not be written yet, or not all of it */
		if (n && number == n)
			other = n > nr ? n - nr : 0;
		if (holds(ram, i, number, other))
			continue;
		snprintf(why, size,
			 "page %ju of the guest holds %ju and should %ju, as it has counted to %ju",
			 (uintmax_t)(DATA_PAGE + i), (uintmax_t)*page(ram, DATA_PAGE + i),
			 (uintmax_t)number, (uintmax_t)n);
		return -1;
	}
	return 0;
}

/* Is @value @n, or one less, as long as the program has not come to it? */
static int is(uint64_t value, uint64_t n)
{
	return value == n || value + 1 == n;
}

static int check_registers(const struct ram *ram, const struct code_registers *registers,
			   char *why, size_t size)
{
	uint64_t n = registers->regs.rbx, nr = nr_data(ram), xmm;
	uint64_t at = registers->regs.rdi / RAM_PAGE - DATA_PAGE;

	memcpy(&xmm, &registers->xsave[XSAVE_XMM(0)], sizeof(xmm));
	/* at the end it is one page further for a moment */
	if (is(xmm, n) && is(*page(ram, COUNT_PAGE), n) &&
	    (at == n % nr || (n && (at == (n - 1) % nr || at == (n - 1) % nr + 1))))
		return 0;
	snprintf(why, size,
		 "the vCPU has counted to %ju in rbx, %ju in xmm0, %ju in memory, and is at page %ju of %ju",
		 (uintmax_t)n, (uintmax_t)xmm, (uintmax_t)*page(ram, COUNT_PAGE), (uintmax_t)at,
		 (uintmax_t)nr);
	return -1;
}

static int check_serial(const struct serial *serial, uint64_t n, char *why, size_t size)
{
	uint64_t taken = serial->state.taken;

	/* n itself may be on its way */
	if ((taken == n / CODE_OUT_EVERY ||
	     (n % CODE_OUT_EVERY == 0 && taken + 1 == n / CODE_OUT_EVERY)) &&
	    serial->state.last == (uint32_t)(taken * CODE_OUT_EVERY) &&
	    serial_shown(serial) == taken)
		return 0;
	snprintf(why, size,
		 "the serial device has taken %ju numbers, the last one was %ju, and it says %ju, when the guest has counted to %ju",
		 (uintmax_t)taken, (uintmax_t)serial->state.last, (uintmax_t)serial_shown(serial),
		 (uintmax_t)n);
	return -1;
}

int code_check(const struct ram *ram, const struct code_registers *registers,
	       const struct serial *serial, char *why, size_t size)
{
	uint64_t n = registers->regs.rbx;

	if (check_registers(ram, registers, why, size) || check_serial(serial, n, why, size))
		return -1;
	return check_data(ram, n, why, size);
}
