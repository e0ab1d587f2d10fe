// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must not be sent, beside what may: pages that cannot be read are never
 * taken for zero, and named to the page; of files, only those without a disk and
 * those of hugetlbfs can be sent by fd, if they are open for reading, and
 * whoever's they are.
 */
#include "kinds.h"

#include <sys/syscall.h>

/* --- what cannot be read: never zero, and named to the page */

static void guarded(void **state)
{
	static const struct {
		const char *name;
		uint64_t page, pages;
		int prot;	/* -1: nothing is mapped there */
	} guards[] = {
		{ "none in the middle", 500, 3, PROT_NONE },
		{ "none at the start", 0, 1, PROT_NONE },
		{ "none at the end", PAGES - 1, 1, PROT_NONE },
		{ "nothing in the middle", 700, 100, -1 },
		{ "nothing at the end", PAGES - 40, 40, -1 },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(guards) * 3; i++) {
		bool untouched = i % 3 == 1, file = i % 3 == 2;
		struct guest *g = guest_new(PAGES);
		uint8_t *at;
		int fd = -1;

		if (file) {
			fd = sys(memfd_create("ram", MFD_CLOEXEC));
			sys(ftruncate(fd, PAGES * PAGE));
		}
		guest_map(g, 0, RW, file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
		thp_off(g->base, PAGES * PAGE);
		if (!untouched)
			guest_mix(g, 26 + i, file ? ZERO : ABSENT, guest_write);
		at = g->base + guards[i / 3].page * PAGE;
		if (guards[i / 3].prot < 0)
			sys(munmap(at, guards[i / 3].pages * PAGE));
		else
			sys(mprotect(at, guards[i / 3].pages * PAGE, guards[i / 3].prot));
		guest_fails(g, false, EFAULT, guards[i / 3].page);
		guest_free(g);
		if (file)
			close(fd);
	}
}

/* Guards that are not among the pages to be sent do not matter. */
static void guard_left_out(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct guest *g = anonymous(PAGES, false);
	struct mzp_range range[2];
	struct mzp_send send = {
		.size = sizeof(send),
		.format = MZP_SEND_RANGES,
		.page_count = PAGES,
		.input = (uintptr_t)range,
		.nr_ranges = 2,
	};
	struct session s;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	guest_mix(g, 50, ABSENT, guest_write);
	sys(mprotect(g->base + 300 * PAGE, 9 * PAGE, PROT_NONE));
	range[0] = (struct mzp_range){ 0, 300 * PAGE, 0 };
	range[1] = (struct mzp_range){ 309 * PAGE, PAGES * PAGE, 0 };
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	rx_add_block(&rx, "ram", PAGES, NULL);
	send.block_id = session_block(&s, "ram", g->base, PAGES * PAGE);
	works(mzp(s.fd, MZP_IOC_SEND, &send));
	session_sync(&s);
	rx_round(&rx);
	w = session_wait(&s, send.job_id);
	must(w.submitted == PAGES - 9);
	session_close(&s);
	rx_free(&rx);
	guest_free(g);
}

static void no_matter(int signal)
{
	(void)signal;
}

/* Newer kernels send a signal to who breaks a page. */
static bool break_page(void *at)
{
	struct sigaction old, new = { .sa_handler = no_matter };
	bool broken;

	sys(sigaction(SIGBUS, &new, &old));
	broken = !madvise(at, PAGE, MADV_HWPOISON);
	must(broken || errno == EINVAL || errno == EPERM);
	sys(sigaction(SIGBUS, &old, NULL));
	return broken;
}

/* Broken memory is an error of its own. */
static void poisoned(void **state)
{
	(void)state;
	for (unsigned int shared = 0; shared < 2; shared++) {
		struct guest *g = shared ? shared_memfd(PAGES, 0, 0) : anonymous(PAGES, false);

		for (uint64_t page = 0; page < PAGES; page++)
			guest_write(g, page, DATA);
		if (!break_page(g->base + 444 * PAGE)) {
			guest_free(g);
			skip_since("the kernel cannot make memory bad");
		}
		guest_fails(g, false, EHWPOISON, 444);
		if (shared)
			guest_fails(g, true, EHWPOISON, 444);
		guest_free(g);
	}
}

/* --- memory by fd: which files, and whose */

static int add_fd(struct session *s, int fd)
{
	uint32_t id;
	int err = mzp_block_add_fd(s->fd, "file", fd, 0, HUGE, &id);

	if (!err)
		works(mzp_block_remove(s->fd, id));
	return err;
}

static void files(void **state)
{
	static const struct {
		const char *path;
		int flags;
	} others[] = {
		{ "/proc/self/exe", O_RDONLY },
		{ "/dev/zero", O_RDWR },
		{ "/dev/mem", O_RDONLY },
		{ "/proc/self/status", O_RDONLY },
		{ "/dev/shm", O_RDONLY | O_DIRECTORY },
	};
	struct mzp_setup setup = setup_for(1);
	struct session s;
	int fd, disk, p[2];
	char path[64];

	(void)state;
	session_open(&s, &setup);
	/* one that is fine */
	fd = sys(memfd_create("ram", MFD_CLOEXEC));
	works(add_fd(&s, fd));
	close(fd);
	gives(EBADF, add_fd(&s, fd));
	gives(EBADF, add_fd(&s, -1));
	gives(EBADF, add_fd(&s, 1 << 20));

	fd = sys(memfd_create("ram", MFD_CLOEXEC));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	disk = sys(open(path, O_WRONLY | O_CLOEXEC));
	gives(EACCES, add_fd(&s, disk));
	close(disk);
	/* names it, but does not open it */
	disk = sys(open(path, O_PATH | O_CLOEXEC));
	gives(EBADF, add_fd(&s, disk));
	close(disk);
	close(fd);

	disk = disk_file();
	if (disk >= 0) {
		gives(EOPNOTSUPP, add_fd(&s, disk));
		disk_done(disk);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		/* which some kernels are built without */
		if (!strcmp(others[i].path, "/dev/mem") && access("/dev/mem", F_OK))
			continue;
		fd = sys(open(others[i].path, others[i].flags | O_CLOEXEC));
		gives(EOPNOTSUPP, add_fd(&s, fd));
		close(fd);
	}
	sys(pipe2(p, O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, p[0]));
	gives(EACCES, add_fd(&s, p[1]));
	close(p[0]);
	close(p[1]);
	gives(EOPNOTSUPP, add_fd(&s, s.fd));
	gives(EOPNOTSUPP, add_fd(&s, s.ch[0]));
	session_close(&s);
}

/* Secrets are not for the kernel to read, by no way. */
static void secret(void **state)
{
	struct mzp_setup setup = setup_for(1);
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	struct guest *g;
	struct session s;

	(void)state;
	if (fd < 0)
		skip_since("the kernel has no memory for secrets");
	g = guest_new(16);
	sys(ftruncate(fd, g->pages * PAGE));
	guest_map(g, 0, RW, MAP_SHARED, fd, 0);
	memset(g->base + 5 * PAGE, 0x42, PAGE);
	session_open(&s, &setup);
	gives(EOPNOTSUPP, add_fd(&s, fd));
	session_close(&s);
	/* it is mapped and accessible, only not to the kernel */
	guest_fails(g, false, EFAULT, 0);
	guest_free(g);
	close(fd);
}

static void be_vmm(void *arg)
{
	int *ready = arg;

	sys(write(ready[1], "", 1));
	wait_for_death(NULL);
}

/* The memory is another process's, and only its /proc says where. */
static void other_process(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 2; huge++) {
		struct guest *g = guest_new(huge ? 3 * 512 : PAGES);
		char path[64], c;
		int ready[2], fd;

		if (huge && !want_huge(4)) {
			guest_free(g);
			break;
		}
		if (huge) {
			huge_file(g);
			guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
			write_huge(g, 512);
			munmap(g->area, g->area_length);
			g->area = g->base = NULL;
		} else {
			g->fd = sys(memfd_create("ram", 0));
			sys(ftruncate(g->fd, PAGES * PAGE));
			guest_mix(g, 60, ZERO, guest_pwrite);
		}
		sys(pipe2(ready, O_CLOEXEC));
		g->other = child(be_vmm, ready);
		must(read(ready[0], &c, 1) == 1);
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", g->other, g->fd);
		fd = sys(open(path, O_RDONLY | O_CLOEXEC));
		must(fd != g->fd);
		/* from now on it is only his */
		close(g->fd);
		g->fd = fd;
		guest_check(g);
		guest_free(g);
		close(ready[0]);
		close(ready[1]);
	}
	want_huge(0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(guarded),
		cmocka_unit_test(guard_left_out),
		cmocka_unit_test(poisoned),
		cmocka_unit_test(files),
		cmocka_unit_test(secret),
		cmocka_unit_test(other_process),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}
