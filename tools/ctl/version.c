// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl version: of this program, of the library that VMMs use, and of the module. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"
#include "lib/mfd.h"

/* As installed; it is found at run time, since this program does without it. */
#define LIBRARY "libmfd.so.0"

struct versions {
	char libmfd[32];	/* empty: none is installed */
	char module[32];	/* empty: none is loaded, or it cannot be asked */
};

static void ask_module(struct versions *versions)
{
	struct ctl_info info = { .has = 0 };
	struct ctl_link *link;

	if (ctl_link_open(&link, NULL))
		return;
	ctl_get(ctl_request_new(link, MZP_NL_CMD_INFO_GET), &ctl_info_set, &info, NULL);
	ctl_link_close(link);
	memcpy(versions->module, info.version, sizeof(versions->module));
}

static void ask_library(struct versions *versions)
{
	void *library = dlopen(LIBRARY, RTLD_LAZY);
	const char *(*version)(void) = NULL;

	if (!library)
		return;
	/* a function's address in a void *, as POSIX has it */
	*(void **)&version = dlsym(library, "mfd_version");
	snprintf(versions->libmfd, sizeof(versions->libmfd), "%s", version ? version() : "?");
	dlclose(library);
}

static bool differ(const char *version)
{
	return *version && strcmp(version, MZP_VERSION);
}

static void print_one(const char *what, const char *version, const char *none)
{
	printf("%s ", what);
	ctl_put(stdout, *version ? version : none, 0);
	putchar('\n');
}

static void print_text(const struct versions *versions)
{
	print_one("mfdctl", MZP_VERSION, "");
	print_one("libmfd", versions->libmfd, "is not installed as a shared library");
	print_one("multifd_zp.ko", versions->module, "is not loaded");
}

static void add_one(struct json_object *object, const char *what, const char *version)
{
	json_object_object_add(object, what, *version ? json_object_new_string(version) : NULL);
}

static void print_json(const struct versions *versions, bool one)
{
	struct json_object *object = json_object_new_object();

	add_one(object, "mfdctl", MZP_VERSION);
	add_one(object, "libmfd", versions->libmfd);
	add_one(object, "module", versions->module);
	json_object_object_add(object, "one-version", json_object_new_boolean(one));
	ctl_json_print(object);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct versions versions = { "", "" };
	bool json, one;
	int ret;

	ret = ctl_json_option(argc, argv, &json) ?: ctl_no_argument(argc, argv, err);
	if (ret)
		return ret;
	ask_library(&versions);
	ask_module(&versions);
	one = !differ(versions.libmfd) && !differ(versions.module);
	if (json)
		print_json(&versions, one);
	else
		print_text(&versions);
	if (!one)
		fputs("mfdctl: warning: these are of different versions: install all of one, and load the module anew (mfdctl drain --wait)\n",
		      stderr);
	return 0;
}

const struct ctl_command ctl_version_command = {
	.name = "version",
	.arguments = "[--json]",
	.summary = "of this program, the library, and the module",
	.help = "Versions of this program, of the shared library libmfd that VMMs find at run time,\n"
		"and of the module that is loaded; a warning if they differ. `mfdctl --version` is the\n"
		"same.\n"
		"\n"
		"  --json   as an object: `mfdctl`, `libmfd` and `module`, null where there is none, and\n"
		"           `one-version`\n",
	.run = run,
};
