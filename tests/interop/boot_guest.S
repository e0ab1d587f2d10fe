/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest in a boot sector, for those who migrate while it works: it fills memory with
 * data, then writes a part of it over and over. Before it writes to a page again it looks
 * whether that is as it left it, and each pass it looks at one of the pages that it filled.
 *
 * DATA to DATA_END: filled, the first half of each page with a number of its own.
 * WORK to WORK_END: written; each page begins with the number of the pass, but each fourth
 *   one is all zero, in each pass another.
 * STATUS: passes, and how many pages were not as they had to be.
 * DELAY: how long it waits between two pages.
 */
#define STATUS	0x9000
#define PAGE	4096
#define STEP	0x01000193

	.code16
	.globl _start
_start:	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	$0x2401, %ax		/* the 20th address line */
	int	$0x15
	cli
	lgdt	table
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmp	$8, $flat

	.code32
flat:	mov	$16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7000, %esp
	cld
	xor	%ebx, %ebx		/* passes */
	mov	%ebx, STATUS + 4

	mov	$DATA, %edi
	mov	$STEP, %eax
fill:	mov	$PAGE / 8, %ecx
	rep	stosl
	add	$STEP, %eax
	add	$PAGE / 2, %edi
	cmp	$DATA_END, %edi
	jb	fill

	mov	$WORK, %edi
clear:	mov	%ebx, (%edi)
	add	$PAGE, %edi
	cmp	$WORK_END, %edi
	jb	clear
	mov	$DATA, %esi		/* what is looked at next, and what is there */
	mov	$STEP, %edx
	mov	%ebx, STATUS

pass:	mov	$WORK, %edi
write:	call	number
	cmp	%eax, (%edi)
	je	1f
	incl	STATUS + 4
1:	inc	%ebx
	call	number
	dec	%ebx
	mov	%eax, (%edi)
	mov	$DELAY, %ecx
2:	loop	2b
	add	$PAGE, %edi
	cmp	$WORK_END, %edi
	jb	write

	cmp	%edx, PAGE / 2 - 4(%esi)
	je	3f
	incl	STATUS + 4
3:	add	$STEP, %edx
	add	$PAGE, %esi
	cmp	$DATA_END, %esi
	jb	4f
	mov	$DATA, %esi
	mov	$STEP, %edx
4:	inc	%ebx
	mov	%ebx, STATUS
	jmp	pass

number:	mov	%edi, %eax		/* what the page has after this pass */
	shr	$12, %eax
	add	%ebx, %eax
	test	$3, %al
	mov	$0, %eax
	jz	1f
	mov	%ebx, %eax
1:	ret

	.align	8
gdt:	.quad	0
	.quad	0x00cf9a000000ffff
	.quad	0x00cf92000000ffff
table:	.word	. - gdt - 1
	.long	gdt
	.org	510
	.word	0xaa55
