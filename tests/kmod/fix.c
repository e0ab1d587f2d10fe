// SPDX-License-Identifier: GPL-2.0-only
#include "fix.h"

#include <sys/mman.h>

void fix_open_bare(struct fix *f)
{
	*f = (struct fix){ .fd = mzp_open() };
	f->ram = mmap(NULL, RAM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	must(f->ram != MAP_FAILED);
	memset(f->ram, 0x5a, RAM_PAGES * PAGE);
}

/* Set up, with two blocks, and the first @pages of one handed over. */
static void fix_begin(struct fix *f, unsigned int channels, unsigned int ring, uint64_t pages)
{
	struct mzp_setup setup = setup_for(channels);

	fix_open_bare(f);
	setup.packet_pages = 8;
	setup.ring_packets = ring;
	works(mzp_setup(f->fd, &setup));
	works(mzp_block_add(f->fd, "ram", f->ram, RAM_PAGES * PAGE, &f->block));
	works(mzp_block_add(f->fd, "spare", f->ram, PAGE, &f->spare));
	works(mzp_send_all(f->fd, f->block, 0, pages, 0, &f->job));
}

void fix_open(struct fix *f)
{
	struct mzp_wait w = { 0 };

	fix_begin(f, 2, 32, 1);
	/* done, but not fetched */
	until(mzp_block_remove(f->fd, f->block) == 0);
	works(mzp_block_add(f->fd, "ram", f->ram, RAM_PAGES * PAGE, &f->block));
	gives(ENOENT, mzp_wait(f->fd, f->job + 1000, 0, &w));
}

void fix_open_full(struct fix *f)
{
	struct mzp_wait w = { 0 };

	fix_begin(f, 1, 2, RAM_PAGES);
	gives(ETIMEDOUT, mzp_wait(f->fd, f->job, 0, &w));
}

void fix_close(struct fix *f)
{
	sys(close(f->fd));
	munmap(f->ram, RAM_PAGES * PAGE);
}

void fill_add(struct fix *f, union arg *a)
{
	a->add.idstr = (uintptr_t)"another";
	a->add.idstr_len = 7;
	a->add.length = RAM_PAGES * PAGE;
	a->add.addr = (uintptr_t)f->ram;
}

void drain(struct fix *f)
{
	static uint8_t buf[64 + (RAM_PAGES / 8) * 1344 + RAM_PAGES * PAGE];
	int ch;

	works(mzp_channel(f->fd, 0, 0, &ch));
	read_exactly(ch, buf, sizeof(buf));
	/* stays open with the session */
}
