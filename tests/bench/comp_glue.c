// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's compressor for a program: compiled as kernel code, together with
 * kmod/comp*.c and the kernel's own compressors, and linked into comp_native.
 *
 * page_address() and its inverse are arithmetic on two bases. With both of them
 * 0 (see comp_stubs.c), any address has a struct page, which nobody looks into.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "comp.h"

long bench_kernel_open(void **comp, unsigned int method, int level);
void bench_kernel_close(void *comp);
long bench_kernel_packet(void *comp, void *const *page, unsigned int nr, const void **payload);

long bench_kernel_open(void **comp, unsigned int method, int level)
{
	if (!mzp_comp_available(method))
		return -EOPNOTSUPP;
	*comp = kzalloc(sizeof(struct mzp_comp), GFP_KERNEL);
	return *comp ? mzp_comp_init(*comp, method, level) : -ENOMEM;
}

void bench_kernel_close(void *comp)
{
	mzp_comp_destroy(comp);
	kfree(comp);
}

long bench_kernel_packet(void *comp, void *const *page, unsigned int nr, const void **payload)
{
	struct page *pages[MZP_WIRE_PAGES];
	unsigned int i;

	for (i = 0; i < nr; i++)
		pages[i] = virt_to_page(page[i]);
	*payload = ((struct mzp_comp *)comp)->payload;
	return mzp_comp_pages(comp, pages, nr);
}

MODULE_LICENSE("GPL");
