// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl info: the module, what it can do, and its limits. */
#include <json-c/json.h>

#include <linux/multifd_zp.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"

/* The compressors, whose levels have to be asked for one by one. */
#define METHODS (MZP_METHOD_ZSTD + 1)

struct module {
	struct ctl_info info;
	struct ctl_info method[METHODS];
};

static int ask(struct ctl_link *link, struct module *module, struct mfd_error *err)
{
	int ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_INFO_GET), &ctl_info_set,
			  &module->info, err);
	uint32_t method;

	for (method = MZP_METHOD_NONE + 1; method < METHODS && !ret; method++) {
		struct ctl_request *request;

		if (!(module->info.methods >> method & 1))
			continue;
		request = ctl_request_new(link, MZP_NL_CMD_INFO_GET);
		ctl_request_u32(request, MZP_A_INFO_METHOD, method);
		ret = ctl_get(request, &ctl_info_set, &module->method[method], err);
	}
	return ret;
}

static void print_names(const char *what, const char *const *names, uint32_t value)
{
	printf("  %-12s", what);
	for (; *names; names++, value >>= 1)
		if (value & 1)
			printf(" %s", *names);
	putchar('\n');
}

static void print(const struct module *module)
{
	const struct ctl_info *info = &module->info;
	uint32_t method;

	fputs("multifd_zp ", stdout);
	ctl_put(stdout, info->version, 0);
	printf(", API version %u\n", info->abi_version);
	print_names("compression", ctl_method_names, info->methods);
	for (method = 0; method < METHODS; method++)
		if (ctl_has(&module->method[method], MZP_A_INFO_LEVEL_MAX))
			printf("               %s: levels %d to %d, %d by default\n",
			       ctl_method_names[method], module->method[method].level_min,
			       module->method[method].level_max,
			       module->method[method].level_default);
	print_names("zero pages", ctl_detection_names, info->detections);
	printf("  %-12s %u bytes, %u of them in a packet at most\n", "pages", info->page_size,
	       info->max_packet_pages);
	printf("  %-12s %u of a user at most; each: %u channels, rings of %u packets,\n"
	       "               %u blocks, %u jobs whose result nobody has fetched\n", "sessions",
	       info->max_sessions, info->max_channels, info->max_ring_packets, info->max_blocks,
	       info->max_jobs);
	printf("  %-12s %s, %s that take work\n", "now", ctl_count(info->sessions, "session").s,
	       ctl_count(info->workers, "worker").s);
}

static void print_json(const struct module *module)
{
	struct json_object *object = ctl_json(&ctl_info_set, &module->info);
	struct json_object *levels = json_object_new_array();
	uint32_t method;

	/* These are of whichever method was asked for. */
	json_object_object_del(object, "method");
	json_object_object_del(object, "level-min");
	json_object_object_del(object, "level-max");
	json_object_object_del(object, "level-default");
	for (method = 0; method < METHODS; method++) {
		struct ctl_info one = module->method[method];

		one.has &= 1ull << MZP_A_INFO_METHOD | 1ull << MZP_A_INFO_LEVEL_MIN |
			   1ull << MZP_A_INFO_LEVEL_MAX | 1ull << MZP_A_INFO_LEVEL_DEFAULT;
		if (one.has)
			json_object_array_add(levels, ctl_json(&ctl_info_set, &one));
	}
	json_object_object_add(object, "levels", levels);
	ctl_json_print(object);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct module module = { .info.has = 0 };
	struct ctl_link *link;
	bool json;
	int ret;

	ret = ctl_json_option(argc, argv, &json) ?: ctl_no_argument(argc, argv, err);
	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = ask(link, &module, err);
	ctl_link_close(link);
	if (!ret)
		(json ? print_json : print)(&module);
	return ret;
}

const struct ctl_command ctl_info_command = {
	.name = "info",
	.arguments = "[--json]",
	.summary = "the module: version, what it can do, limits",
	.help = "The module's version, what it can do, and its limits.\n"
		"\n"
		"  --json   as an object whose members are called as in the netlink interface\n",
	.run = run,
};
