// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's code, compiled as the kernel compiles it, expects of the
 * kernel. Calls go where they go on a CPU that needs no mitigations, and to
 * functions that do nothing where the kernel would have patched the call away.
 * Memory is copied as the kernel does it on CPUs of the last ten years.
 */
#include <asm/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

unsigned long page_offset_base, vmemmap_base, phys_base;
uint8_t byte_rev_table[256];
void *kmalloc_caches[16 * 32];
size_t bench_kernel_memory;

/* These must not touch any register. */
#define RETURN(name) asm(".text\n.globl " #name "\n" #name ": ret")
RETURN(__fentry__);
RETURN(__x86_return_thunk);
RETURN(__SCT__cond_resched);
RETURN(__SCT__might_resched);

#define THUNK(reg) \
	asm(".text\n.globl __x86_indirect_thunk_" #reg "\n" \
	    "__x86_indirect_thunk_" #reg ": jmp *%" #reg)
THUNK(rax);
THUNK(rbx);
THUNK(rcx);
THUNK(rdx);
THUNK(rsi);
THUNK(rdi);
THUNK(rbp);
THUNK(r8);
THUNK(r9);
THUNK(r10);
THUNK(r11);
THUNK(r12);
THUNK(r13);
THUNK(r14);
THUNK(r15);

void *kernel_memcpy(void *to, const void *from, size_t n)
{
	void *end = to;

	asm volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *kernel_memset(void *to, int c, size_t n)
{
	void *end = to;

	asm volatile("rep stosb" : "+D"(end), "+c"(n) : "a"(c) : "memory");
	return to;
}

void *kernel_memmove(void *to, const void *from, size_t n)
{
	return memmove(to, from, n);
}

/* --- memory; counted, so that what a stream takes can be told */
static void *take(size_t size)
{
	bench_kernel_memory += size;
	return aligned_alloc(4096, (size + 4095) / 4096 * 4096);
}

static void *take_zeroed(size_t size)
{
	void *memory = take(size);

	return memory ? memset(memory, 0, size) : NULL;
}

void *mzp_large_alloc(size_t nr, size_t size, unsigned int zero)
{
	(void)zero;
	return take_zeroed(nr * size);
}

void *kmalloc_trace(void *cache, unsigned int flags, size_t size)
{
	(void)cache, (void)flags;
	return take_zeroed(size);
}

void *__kmalloc_cache_noprof(void *cache, unsigned int flags, size_t size)
{
	return kmalloc_trace(cache, flags, size);
}

unsigned long __get_free_pages(unsigned int flags, unsigned int order)
{
	(void)flags;
	return (unsigned long)take(4096ul << order);
}

unsigned long get_free_pages_noprof(unsigned int flags, unsigned int order)
{
	return __get_free_pages(flags, order);
}

void kfree(const void *memory)
{
	free((void *)memory);
}

void kvfree(const void *memory)
{
	free((void *)memory);
}

void free_pages(unsigned long memory, unsigned int order)
{
	(void)order;
	free((void *)memory);
}

/* --- lives with the kernel's decompressor: the last 120 values are errors */
unsigned int zstd_is_error(size_t code)
{
	return code > (size_t)-120;
}

/* --- checksums: reset before each frame, though no frame has one */
void xxh64_reset(void)
{
}

/* --- never called */
#define NEVER(name) void name(void) { fputs(#name " was called\n", stderr); abort(); }
NEVER(xxh64)
NEVER(xxh64_update)
NEVER(xxh64_digest)
NEVER(_printk)
NEVER(__warn_printk)

__attribute__((constructor)) static void stubs_init(void)
{
	static char per_cpu[4096];
	unsigned int i, bit;

	for (i = 0; i < 256; i++)
		for (bit = 0; bit < 8; bit++)
			byte_rev_table[i] |= (i >> bit & 1) << (7 - bit);
	/* where the stack protector finds its secret */
	syscall(SYS_arch_prctl, ARCH_SET_GS, per_cpu);
}
