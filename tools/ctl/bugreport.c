// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl bugreport: what those need who look for an error, in one text. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctl.h"
#include "text.h"
#include "lib/error.h"

#define MODULE "/sys/module/multifd_zp"

static void section(const char *name)
{
	printf("\n== %s\n", name);
}

/* A text file of a few lines, such as those of /proc and /sys; those with @part, if any. */
static void put_file(const char *path, const char *part)
{
	FILE *file = fopen(path, "re");
	char line[512], *tab;

	if (!file) {
		printf("%s: %s\n", path, strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (part && !strstr(line, part))
			continue;
		while ((tab = strchr(line, '\t')))
			*tab = ' ';
		ctl_put(stdout, line, 0);
		putchar('\n');
	}
	fclose(file);
}

/* The same, its name before it. */
static void put_value(const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	printf("%s: ", name);
	put_file(path, NULL);
}

static void put_system(void)
{
	struct utsname name;

	section("system");
	if (!uname(&name))
		printf("%s %s %s %s\n", name.sysname, name.release, name.version, name.machine);
	put_file("/etc/os-release", "PRETTY_NAME=");
	printf("tainted: ");
	put_file("/proc/sys/kernel/tainted", NULL);
	printf("CPUs online: ");
	put_file("/sys/devices/system/cpu/online", NULL);
	put_file("/proc/meminfo", "MemTotal");
	put_file("/proc/meminfo", "MemAvailable");
	put_file("/proc/meminfo", "HugePages_Total");
	printf("locked memory: ");
	put_file("/proc/self/limits", "Max locked memory");
}

static void put_module(void)
{
	struct dirent *entry;
	DIR *folder;

	section("module");
	put_value(MODULE, "version");
	put_value(MODULE, "srcversion");
	put_value(MODULE, "refcnt");
	put_value(MODULE, "taint");
	folder = opendir(MODULE "/parameters");
	while (folder && (entry = readdir(folder)))
		if (*entry->d_name != '.')
			put_value(MODULE "/parameters", entry->d_name);
	if (folder)
		closedir(folder);
}

/* What another command prints that is called with @line, words with blanks between them. */
static void put_command(const struct ctl_command *command, const char *line)
{
	struct mfd_error err = { .size = sizeof(err) };
	char words[128], *argv[8], *rest;
	int argc = 0;

	section(line);
	snprintf(words, sizeof(words), "%s", line);
	for (argv[0] = strtok_r(words, " ", &rest); argv[argc]; )
		argv[++argc] = strtok_r(NULL, " ", &rest);
	/* it is parsed anew */
	optind = 0;
	if (command->run(argc, argv, &err)) {
		printf("cannot be had: ");
		ctl_put(stdout, err.text, 0);
		putchar('\n');
	}
}

static void put_commands(void)
{
	put_command(&ctl_version_command, "version");
	put_command(&ctl_info_command, "info --json");
	put_command(&ctl_host_command, "host --json");
	put_command(&ctl_stats_command, "stats --channels --workers --json");
	put_command(&ctl_stats_command, "stats --totals --since-start --json");
	put_command(&ctl_history_command, "history --json");
}

/* The descriptors of one process that belong to sessions. */
static void put_process(const char *pid)
{
	char path[512], target[64];
	struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target,
					    sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		if (strcmp(target, "/dev/multifd_zp") && strcmp(target, "anon_inode:[multifd_zp]"))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry->d_name);
		printf("process %s, descriptor %s\n", pid, entry->d_name);
		put_file(path, "mzp-");
	}
	if (folder)
		closedir(folder);
}

static void put_descriptors(void)
{
	struct dirent *entry;
	DIR *folder = opendir("/proc");

	section("descriptors of sessions");
	while (folder && (entry = readdir(folder)))
		if (isdigit((unsigned char)*entry->d_name))
			put_process(entry->d_name);
	if (folder)
		closedir(folder);
}

/* The kernel's messages of the module; each read(2) is one of them. */
static void put_messages(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char message[8192];
	ssize_t length;

	section("the kernel's messages that name the module");
	if (fd < 0) {
		printf("cannot be had: %s\n", strerror(errno));
		return;
	}
	/* EPIPE: the oldest were overwritten meanwhile */
	while ((length = read(fd, message, sizeof(message) - 1)) > 0 || errno == EPIPE) {
		if (length <= 0)
			continue;
		message[length] = '\0';
		message[strcspn(message, "\n")] = '\0';
		if (!strstr(message, "multifd_zp") && !strstr(message, "mzp_"))
			continue;
		ctl_put(stdout, message, 0);
		putchar('\n');
	}
	close(fd);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	int ret;

	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return CTL_USAGE;
	ret = ctl_no_argument(argc, argv, err);
	if (ret)
		return ret;
	puts("mfdctl bugreport\n"
	     "\n"
	     "Versions, limits and parameters; counters and settings of sessions that exist or are\n"
	     "gone, with the names and numbers of their processes and users and the UUIDs of VMs; the\n"
	     "kernel's messages that name the module. No memory of any guest is in it. What the\n"
	     "caller may not see is missing: root sees all.");
	put_system();
	put_module();
	put_commands();
	put_descriptors();
	put_messages();
	return 0;
}

const struct ctl_command ctl_bugreport_command = {
	.name = "bugreport",
	.arguments = "",
	.summary = "all that a report of an error needs, as one text",
	.help = "Print all that those need who look for an error: versions, the module's parameters,\n"
		"limits, sessions that exist and that are gone, with all counters, what the kernel says\n"
		"of their descriptors (fdinfo), and its messages that name the module. No memory of any\n"
		"guest is in it; names of processes and users, and UUIDs of VMs, are.\n"
		"\n"
		"It works without the module, too. What the caller may not see is missing.\n"
		"\n"
		"Example:\n"
		"    sudo mfdctl bugreport >report.txt\n",
	.run = run,
};
