/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handful of the kernel's types and functions that the module's pure files
 * use, for compiling these files unchanged on the host. Pages are stand-ins
 * with a reference count per folio; the last put frees the folio's memory, so
 * that the address sanitizer sees who holds on too long.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <asm/byteorder.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int32_t s32;
typedef long long s64;
typedef unsigned int gfp_t;

#define cpu_to_be32(x) __cpu_to_be32(x)
#define cpu_to_be64(x) __cpu_to_be64(x)
#define be32_to_cpu(x) __be32_to_cpu(x)
#define be64_to_cpu(x) __be64_to_cpu(x)

#define BUILD_BUG_ON(condition) _Static_assert(!(condition), "BUILD_BUG_ON: " #condition)
#define BITS_PER_LONG 64
#define PAGE_SHIFT 12
#define PAGE_SIZE (1ul << PAGE_SHIFT)
#define ALIGN(x, a) (((x) + (a) - 1) / (a) * (a))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define array_index_nospec(index, size) (index)
#define ____cacheline_aligned_in_smp __attribute__((aligned(64)))

#define min(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define min_not_zero(a, b) ({ __typeof__(a) x_ = (a), y_ = (b); !x_ ? y_ : !y_ ? x_ : min(x_, y_); })
#define max(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))

/* --- errors in pointers */
#define ERR_PTR(error) ((void *)(long)(error))
#define PTR_ERR(pointer) ((long)(pointer))
#define IS_ERR(pointer) ((unsigned long)(pointer) >= -4095ul)

#define IS_BUILTIN(option) true
#define IS_MODULE(option) false
#define cond_resched() ((void)0)

/* --- memory ordering: the kernel's model on C11's */
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value) __atomic_store_n(&(x), value, __ATOMIC_RELAXED)
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, value) __atomic_store_n(p, value, __ATOMIC_RELEASE)
#define prefetch(address) __builtin_prefetch(address)
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xchg(p, value) __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST)

/* --- time stands still unless the test moves it; one thread, so locks are nothing */
#define NSEC_PER_SEC 1000000000ll
#define likely(x) (x)

typedef struct { int unused; } spinlock_t;

extern u64 shim_now;

static inline u64 ktime_get_ns(void)
{
	return shim_now;
}

static inline void spin_lock_init(spinlock_t *lock)
{
	(void)lock;
}

static inline void spin_lock(spinlock_t *lock)
{
	(void)lock;
}

static inline void spin_unlock(spinlock_t *lock)
{
	(void)lock;
}

static inline u64 DIV64_U64_ROUND_UP(u64 dividend, u64 divisor)
{
	return (dividend + divisor - 1) / divisor;
}

/* --- bits */
static inline bool test_bit(unsigned long bit, const unsigned long *bitmap)
{
	return bitmap[bit / 64] >> (bit % 64) & 1;
}

static inline void __set_bit(unsigned long bit, unsigned long *bitmap)
{
	bitmap[bit / 64] |= 1ul << (bit % 64);
}

static inline void bitmap_zero(unsigned long *bitmap, unsigned int bits)
{
	memset(bitmap, 0, (bits + 63) / 64 * sizeof(*bitmap));
}

static inline unsigned long hweight_long(unsigned long word)
{
	return __builtin_popcountl(word);
}

static inline unsigned long find_next_bit(const unsigned long *bitmap, unsigned long size,
					  unsigned long from)
{
	for (; from < size; from++)
		if (test_bit(from, bitmap))
			return from;
	return size;
}

static inline unsigned long find_next_zero_bit(const unsigned long *bitmap, unsigned long size,
					       unsigned long from)
{
	for (; from < size; from++)
		if (!test_bit(from, bitmap))
			return from;
	return size;
}

/* --- strings */
static inline long strscpy(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);

	if (length == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = '\0';
		return -E2BIG;
	}
	memcpy(to, from, length + 1);
	return length;
}

/* --- memory; the test can make the next allocations fail */
#define GFP_KERNEL 1u
#define GFP_KERNEL_ACCOUNT 2u
#define __GFP_ZERO 4u
#define __GFP_NOWARN 8u
#define __GFP_ACCOUNT 16u
#define __GFP_RETRY_MAYFAIL 32u

extern unsigned int shim_fail;	/* so many allocations fail */

static inline bool shim_fails(void)
{
	return shim_fail && shim_fail--;
}

static inline void *kvcalloc(size_t n, size_t size, gfp_t flags)
{
	(void)flags;
	/* as aligned as the kernel's big allocations */
	size_t bytes = ALIGN(n * size, 64);
	void *memory = shim_fails() ? NULL : aligned_alloc(64, bytes);

	return memory ? memset(memory, 0, bytes) : NULL;
}

static inline void *kvzalloc(size_t size, gfp_t flags)
{
	return kvcalloc(1, size, flags);
}

static inline void *kzalloc(size_t size, gfp_t flags)
{
	return kvcalloc(1, size, flags);
}

/* exactly as large, so that the address sanitizer sees what is behind it */
static inline void *kvmalloc(size_t size, gfp_t flags)
{
	(void)flags;
	void *memory = shim_fails() ? NULL : malloc(size);

	return memory ? memset(memory, 0xaa, size) : NULL;
}

static inline unsigned long __get_free_page(gfp_t flags)
{
	(void)flags;
	return shim_fails() ? 0 : (unsigned long)aligned_alloc(PAGE_SIZE, PAGE_SIZE);
}

static inline void free_page(unsigned long page)
{
	free((void *)page);
}

static inline void kfree(const void *memory)
{
	free((void *)memory);
}

static inline void kvfree(const void *memory)
{
	free((void *)memory);
}

/* --- pages */
struct folio;

struct page {
	struct folio *folio;
	unsigned char *bytes;
};

struct folio {
	int refs;
	unsigned int nr;
	unsigned char *memory;
	struct page page[];
};

struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

extern unsigned int shim_folios;	/* that are alive */

#define page_folio(page) ((page)->folio)
#define nth_page(page, n) ((page) + (n))
#define page_address(page) ((void *)(page)->bytes)
#define kmap_local_page(page) page_address(page)
#define kunmap_local(address) ((void)(address))

/* A folio of @nr pages with one reference. */
static inline struct folio *shim_folio(unsigned int nr, int fill)
{
	struct folio *folio = calloc(1, sizeof(*folio) + nr * sizeof(folio->page[0]));
	unsigned int i;

	if (!folio)
		abort();
	folio->memory = aligned_alloc(PAGE_SIZE, nr * PAGE_SIZE);
	if (!folio->memory)
		abort();
	memset(folio->memory, fill, nr * PAGE_SIZE);
	folio->refs = 1;
	folio->nr = nr;
	for (i = 0; i < nr; i++) {
		folio->page[i].folio = folio;
		folio->page[i].bytes = folio->memory + i * PAGE_SIZE;
	}
	shim_folios++;
	return folio;
}

static inline struct page *alloc_page(gfp_t flags)
{
	/* what is not asked to be zero is anything but */
	return shim_fails() ? NULL : shim_folio(1, flags & __GFP_ZERO ? 0 : 0xaa)->page;
}

static inline void get_page(struct page *page)
{
	if (page->folio->refs < 1)
		abort();
	page->folio->refs++;
}

static inline void folio_put_refs(struct folio *folio, int refs)
{
	if (folio->refs < refs)
		abort();
	folio->refs -= refs;
	if (folio->refs)
		return;
	free(folio->memory);
	free(folio);
	shim_folios--;
}

static inline void put_page(struct page *page)
{
	folio_put_refs(page->folio, 1);
}

#endif /* SHIM_KERNEL_H */
