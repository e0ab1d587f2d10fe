// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks, as they are added and removed: every member, every error. One that was
 * refused has kept neither its name nor its place, and one in use stays.
 */
#include "fix.h"

#include <fcntl.h>
#include <sys/mman.h>

static void add_bounds(void **state)
{
	static char names[512];
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	const uint64_t end = task_size();
	struct fix f;
	union arg a;

	(void)state;
	must(two != MAP_FAILED);
	sys(munmap(two + PAGE, PAGE));
	memset(names, 'n', sizeof(names));
	fix_open(&f);
#define TRY(want, change)                                                      \
	do {                                                                   \
		a = (union arg){ .size = sizeof(a.add) };                      \
		fill_add(&f, &a);                                              \
		change;                                                        \
		gives(want, mzp(f.fd, MZP_IOC_BLOCK_ADD, &a));                 \
	} while (0)
	TRY(EINVAL, a.add.idstr_len = 0);
	TRY(EINVAL, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 256));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = UINT32_MAX));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"", a.add.idstr_len = 1));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"with\0nul", a.add.idstr_len = 8));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"nul at the end", a.add.idstr_len = 15));
	TRY(EFAULT, a.add.idstr = 0);
	TRY(EFAULT, a.add.idstr = (uintptr_t)(two + PAGE));
	TRY(EFAULT, a.add.idstr = (uintptr_t)(two + PAGE - 3));
	TRY(EFAULT, a.add.idstr = -7ul);
	TRY(EFAULT, a.add.idstr = 1ul << 63);
	TRY(EEXIST, (a.add.idstr = (uintptr_t)"ram", a.add.idstr_len = 3));
	TRY(EINVAL, a.add.addr += 1);
	TRY(EINVAL, a.add.addr += PAGE / 2);
	TRY(EINVAL, a.add.length -= 1);
	TRY(EINVAL, a.add.length += 512);
	TRY(EINVAL, a.add.length = 0);
	TRY(EINVAL, a.add.length = 1);
	TRY(EOVERFLOW, a.add.length = -PAGE);
	TRY(EOVERFLOW, (a.add.addr = -PAGE, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = -PAGE, a.add.length = 2 * PAGE));
	TRY(EOVERFLOW, (a.add.addr = -16 * PAGE, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = 1ul << 63, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = 1ul << 63, a.add.length = 1ul << 63));
	TRY(EOVERFLOW, a.add.length = 1ul << 63);
	TRY(EOVERFLOW, (a.add.addr = 0, a.add.length = 1ul << 63));
	/* with 5-level page tables the end is elsewhere, so only what is far beyond it */
	TRY(EOVERFLOW, (a.add.addr = end - PAGE, a.add.length = 1ul << 57));
	/* all of these failed without a trace, so the name is still free */
	TRY(0, (void)0);
	TRY(EEXIST, (void)0);
	/* a name without a NUL behind it, up to the end of the page; and 255 bytes */
	TRY(0, (a.add.idstr = (uintptr_t)memcpy(two + PAGE - 3, "end", 3), a.add.idstr_len = 3));
	TRY(0, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 255));
	TRY(0, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 254));
	TRY(EEXIST, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 255));
	/* memory that is not there yet, and that is there twice */
	TRY(0, (a.add.idstr = (uintptr_t)"unmapped", a.add.idstr_len = 8,
		a.add.addr = (uintptr_t)(two + PAGE)));
	TRY(0, (a.add.idstr = (uintptr_t)"again", a.add.idstr_len = 5));
	TRY(0, (a.add.idstr = (uintptr_t)"all", a.add.idstr_len = 3, a.add.addr = 0,
		a.add.length = end));
#undef TRY
	fix_close(&f);
	munmap(two, PAGE);
}

static void add_fd(void **state)
{
	int shm = sys(memfd_create("ram", MFD_CLOEXEC)), wo, disk, dir, p[2];
	union arg a;
	struct fix f;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", shm);
	wo = sys(open(path, O_WRONLY | O_CLOEXEC));
	disk = sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	dir = sys(open("/dev/shm", O_RDONLY | O_CLOEXEC | O_DIRECTORY));
	sys(pipe2(p, O_CLOEXEC));
	fix_open(&f);
#define TRY(want, change)                                                      \
	do {                                                                   \
		a = (union arg){ .size = sizeof(a.add) };                      \
		fill_add(&f, &a);                                              \
		a.add.flags = MZP_BLOCK_FD;                                    \
		a.add.addr = 0;                                                \
		a.add.fd = shm;                                                \
		change;                                                        \
		gives(want, mzp(f.fd, MZP_IOC_BLOCK_ADD, &a));                 \
	} while (0)
	TRY(EBADF, a.add.fd = -1);
	TRY(EBADF, a.add.fd = 12345);
	TRY(EBADF, a.add.fd = INT32_MIN);
	TRY(EACCES, a.add.fd = wo);
	TRY(EBADF, a.add.fd = sys(open(path, O_PATH | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = disk);
	TRY(EOPNOTSUPP, a.add.fd = p[0]);
	TRY(EOPNOTSUPP, a.add.fd = f.fd);
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/dev/zero", O_RDWR | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/dev/kmsg", O_RDONLY | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/proc/self/maps", O_RDONLY | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = dir);
	TRY(EINVAL, a.add.addr = (uintptr_t)f.ram);
	TRY(EINVAL, a.add.offset = 1);
	TRY(EINVAL, a.add.offset = PAGE - 1);
	TRY(EINVAL, a.add.length = 0);
	TRY(EINVAL, a.add.length = 100);
	TRY(EOVERFLOW, a.add.offset = 1ul << 63);
	TRY(EOVERFLOW, a.add.offset = -PAGE);
	TRY(EOVERFLOW, a.add.offset = (1ul << 63) - PAGE);
	TRY(EOVERFLOW, a.add.length = 1ul << 63);
	/* members that belong to the other kind of block */
	TRY(EINVAL, (a.add.flags = 0, a.add.addr = (uintptr_t)f.ram));
	TRY(EINVAL, (a.add.flags = 0, a.add.addr = (uintptr_t)f.ram, a.add.fd = 0,
		     a.add.offset = PAGE));
	/* none of that has kept a name; and the file need not be that long */
	TRY(0, a.add.offset = 1ul << 40);
	TRY(EEXIST, (void)0);
#undef TRY
	fix_close(&f);
	close(shm);
	close(wo);
	close(disk);
	close(dir);
	close(p[0]);
	close(p[1]);
}

static void too_many(void **state)
{
	unsigned int max = mzp_info().max_blocks;
	uint32_t *id = calloc(max, sizeof(*id)), more;
	struct mzp_setup setup = setup_for(1);
	struct fix f;
	char name[32];

	(void)state;
	must(id);
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	for (unsigned int i = 0; i < max; i++) {
		snprintf(name, sizeof(name), "block %u", i);
		works(mzp_block_add(f.fd, name, f.ram, PAGE, &id[i]));
		for (unsigned int j = 0; j < i; j++)
			must(id[i] != id[j]);
	}
	gives(ENOSPC, mzp_block_add(f.fd, "one more", f.ram, PAGE, &more));
	works(mzp_block_remove(f.fd, id[max / 2]));
	gives(ENOENT, mzp_block_remove(f.fd, id[max / 2]));
	works(mzp_block_add(f.fd, "one more", f.ram, PAGE, &more));
	gives(ENOSPC, mzp_block_add(f.fd, "and another", f.ram, PAGE, &more));
	fix_close(&f);
}

static void removal(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;

	(void)state;
	fix_open_full(&f);
	gives(ENOENT, mzp_block_remove(f.fd, f.block + 1000));
	gives(ENOENT, mzp_block_remove(f.fd, UINT32_MAX));
	gives(EBUSY, mzp_block_remove(f.fd, f.block));
	/* of which nobody makes use */
	works(mzp_block_remove(f.fd, f.spare));
	gives(ENOENT, mzp_block_remove(f.fd, f.spare));
	gives(EBUSY, mzp_block_remove(f.fd, f.block));
	drain(&f);
	/* done, which can be seen without fetching the result */
	until(mzp_block_remove(f.fd, f.block) != EBUSY);
	gives(ENOENT, mzp_block_remove(f.fd, f.block));
	gives(ENOENT, mzp_send_all(f.fd, f.block, 0, 1, 0, NULL));
	works(mzp_wait(f.fd, f.job, 0, &w));
	must(!w.error && w.normal == RAM_PAGES);
	works(mzp_block_add(f.fd, "ram", f.ram, PAGE, NULL));
	fix_close(&f);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_bounds),
		cmocka_unit_test(add_fd),
		cmocka_unit_test(too_many),
		cmocka_unit_test(removal),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}
