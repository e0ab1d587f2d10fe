// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's own beginning, which fails at its first allocation, then at its
 * second, and so on: it is there afterwards, or nothing of it is.
 *
 * To be run last: it loads another copy of the module.
 */
#include "genl.h"
#include "nth.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Of mzp_cov: the failure that is armed for who first runs code of the module. */
#define FAIL_FIRST "/sys/module/mzp_cov/parameters/fail_first"
enum { KTHREADD = 2 };

/* The module in memory, so that nothing but loading it can fail. */
static int module_file(const char *path)
{
	int disk = sys(open(path, O_RDONLY | O_CLOEXEC)), copy, file;
	char again[32];
	struct stat st;

	copy = sys(memfd_create("module", MFD_CLOEXEC));
	sys(fstat(disk, &st));
	while (st.st_size)
		st.st_size -= sys(sendfile(copy, disk, NULL, st.st_size));
	/* What someone could write to is not loaded. */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", copy);
	file = sys(open(again, O_RDONLY | O_CLOEXEC));
	close(disk);
	close(copy);
	return file;
}

static int module_load(int file)
{
	return syscall(SYS_finit_module, file, "", 0) ? errno : 0;
}

/* Nothing of it is to be seen. */
static void module_absent(void)
{
	char name[32];

	must(access("/sys/module/multifd_zp", F_OK) == -1);
	must(access("/sys/class/misc/multifd_zp", F_OK) == -1);
	must(access(DEVICE, F_OK) == -1);
	must(!genl_known(), "the netlink family is still there");
	for (long cpu = sysconf(_SC_NPROCESSORS_CONF); cpu--;) {
		snprintf(name, sizeof(name), "multifd_zp/%ld", cpu);
		/* One that has ended can be seen for a moment. */
		until(!find_task(name));
	}
}

static void module_unload(void)
{
	sys(syscall(SYS_delete_module, "multifd_zp", O_NONBLOCK));
	module_absent();
}

/* All of it is there, and for those only who may. */
static void module_present(void)
{
	struct stat st;

	sys(stat(DEVICE, &st));
	must(S_ISCHR(st.st_mode) && (st.st_mode & 07777) == 0660 && !st.st_uid, "mode %o",
	     st.st_mode);
	must(genl_known());
	must(!genl_sessions());
	task_named("multifd_zp/0");
	close(mzp_open());
	until(!module_refs());
}

/* Make the n-th thing fail in the module's own beginning; what the loader does is not ours. */
static void arm_own(int nth, unsigned int n)
{
	char text[16];

	(void)nth;
	snprintf(text, sizeof(text), "%u", n);
	file_put(FAIL_FIRST, text);
}

/*
 * Load with each failure. After one, the next attempt gets a step further, so
 * that what has failed works then.
 */
static void load_sweep(pid_t task, void (*arm)(int nth, unsigned int n))
{
	const char *path = getenv("MZP_MODULE");
	unsigned int n, reported = 0;
	bool hit = true;
	int file, nth;

	NEEDS_FAULTS();
	if (!path || access(FAIL_FIRST, F_OK)) {
		print_message("# SKIP there is no module that was made for this\n");
		return;
	}
	file = module_file(path);
	until(!module_refs());
	module_unload();
	nth = nth_open(task);
	for (n = 1; hit; n++) {
		int err;

		must(n <= MOST, "there is no end of failures");
		arm(nth, n);
		err = module_load(file);
		hit = nth_disarm(nth);
		must(!file_number(FAIL_FIRST, NULL), "the module's first step was not seen");
		must(hit || !err, "failure %u did not happen, and %s", n, kit_errno(err));
		/* misc_register() says EBUSY if it has no number to give, and a fork EAGAIN. */
		must(!err || err == ENOMEM || err == EBUSY || err == EAGAIN, "failure %u: %s", n,
		     kit_errno(err));
		reported += !!err;
		if (err) {
			module_absent();
			continue;
		}
		/* The kernel does without a device's node, or an event, if it has no memory. */
		if (!hit)
			module_present();
		module_unload();
	}
	must(reported, "none of %u failures is reported", n - 2);
	works(module_load(file));
	module_present();
	print_message("# %u failures, %u of them reported\n", n - 2, reported);
	close(nth);
	close(file);
}

static void module_init(void **state)
{
	(void)state;
	load_sweep(getpid(), arm_own);
}

/* The module's threads are made by another task. */
static void module_init_threads(void **state)
{
	(void)state;
	load_sweep(KTHREADD, nth_arm);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(module_init),
		cmocka_unit_test(module_init_threads),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}
