// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which QEMU a machine type is like.
 *
 * A versioned type, such as pc-q35-8.0, makes a newer QEMU behave like the version in its
 * name. A type of a distribution's does likewise, by a table of properties that its QEMU
 * has inherited from an older one: its name does not tell from which. Nothing is guessed
 * here: a stream for the wrong generation is found out when the guest is stopped already,
 * or not at all.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "error.h"

#define DIGITS "0123456789"

/* Families whose types have a version behind the name, the longer ones first. */
static const char *const families[] = {
	"pc-q35-", "pc-i440fx-", "pc-", "virt-", "pseries-", "s390-ccw-virtio-", "xenfv-",
};

/* QEMU's types without a version: they are what the QEMU is. */
static const char *const unversioned[] = { "none", "microvm", "isapc", "virt", "sbsa-ref" };

struct known {
	const char *name;
	uint8_t major, minor;
};

/*
 * RHEL and its rebuilds, CentOS Stream, and what KubeVirt and OpenShift carry of them. From
 * the hw_compat_rhel_… that a type applies in qemu-kvm's patches "Machine type related
 * general changes" and "Add … machine types", which name the upstream hw_compat_… of each.
 * multifd-flush-after-each-section is in hw_compat_rhel_9_3, so for types up to rhel9.2.0;
 * zero-page-detection=legacy in hw_compat_rhel_9_5, so up to rhel9.4.0.
 */
static const struct known rhel[] = {
	{ "rhel7.6.0", 2, 12 },
	{ "rhel8.0.0", 3, 1 },
	{ "rhel8.1.0", 4, 1 },
	{ "rhel8.2.0", 4, 2 },
	{ "rhel8.3.0", 5, 1 },
	{ "rhel8.4.0", 5, 2 },
	{ "rhel8.5.0", 6, 0 },
	{ "rhel8.6.0", 6, 2 },
	{ "rhel9.0.0", 6, 2 },
	{ "rhel9.2.0", 7, 2 },
	{ "rhel9.4.0", 8, 2 },
	{ "rhel9.6.0", 9, 1 },
	{ "rhel9.8.0", 10, 1 },
	{ "rhel10.0.0", 9, 1 },
};

/*
 * Ubuntu, from "define-ubuntu-machine-types.patch" of the qemu packages 8.2.2 (24.04) and
 * 10.2.1 (26.04), in which each type starts from an upstream one. Where that differs
 * between the pc, pseries and s390 types of a release, it is the lowest here.
 */
static const struct known ubuntu[] = {
	{ "trusty", 2, 0 },
	{ "xenial", 2, 5 },
	{ "yakkety", 2, 6 },
	{ "zesty", 2, 8 },
	{ "artful", 2, 10 },
	{ "bionic", 2, 11 },
	{ "cosmic", 2, 11 },
	{ "disco", 3, 1 },
	{ "eoan", 3, 1 },
	{ "focal", 4, 0 },
	{ "groovy", 5, 0 },
	{ "hirsute", 5, 1 },
	{ "impish", 6, 0 },
	{ "jammy", 6, 2 },
	{ "kinetic", 6, 2 },
	{ "lunar", 7, 2 },
	{ "mantic", 8, 0 },
	{ "noble", 8, 2 },
	{ "oracular", 9, 0 },
	{ "plucky", 9, 1 },
	{ "questing", 10, 0 },
	{ "resolute", 10, 2 },
};

/* What may stand behind: variants that differ in CPUs, or that mend a type. */
static const char *const upstream_variants[] = { "", "-sxxm", NULL };
static const char *const ubuntu_variants[] = {
	"", "-hpb", "-maxcpus", "-hpb-maxcpus", "-v2", "-sxxm", NULL,
};

static bool one_of(const char *text, const char *const list[])
{
	for (; *list; list++)
		if (!strcmp(text, *list))
			return true;
	return false;
}

/* Take a number of one to three digits. */
static bool take_number(const char **text, uint32_t *value)
{
	size_t length = strspn(*text, DIGITS);

	if (length < 1 || length > 3)
		return false;
	for (*value = 0; length--; (*text)++)
		*value = *value * 10 + (**text - '0');
	return true;
}

/* 8.0, or 4.0.1 */
static bool upstream(const char *text, uint32_t *major, uint32_t *minor)
{
	uint32_t micro;

	if (!take_number(&text, major) || *text++ != '.' || !take_number(&text, minor))
		return false;
	if (*text == '.' && (text++, !take_number(&text, &micro)))
		return false;
	return one_of(text, upstream_variants);
}

static bool find(const char *text, const struct known *known, size_t nr,
		 const char *const *variants, uint32_t *major, uint32_t *minor)
{
	size_t length = strcspn(text, "-"), i;

	for (i = 0; i < nr; i++) {
		if (strlen(known[i].name) != length || memcmp(known[i].name, text, length))
			continue;
		*major = known[i].major;
		*minor = known[i].minor;
		return one_of(text + length, variants);
	}
	return false;
}

#define FIND(text, known, variants, major, minor) \
	find(text, known, sizeof(known) / sizeof(*(known)), variants, major, minor)

static bool version_of(const char *machine, uint32_t *major, uint32_t *minor)
{
	const char *text = NULL;
	size_t i;

	for (i = 0; i < sizeof(families) / sizeof(*families) && !text; i++)
		if (!strncmp(machine, families[i], strlen(families[i])))
			text = machine + strlen(families[i]);
	return text && (upstream(text, major, minor) ||
			FIND(text, rhel, upstream_variants, major, minor) ||
			FIND(text, ubuntu, ubuntu_variants, major, minor));
}

static bool as_new_as_qemu(const char *machine)
{
	size_t i;

	for (i = 0; i < sizeof(unversioned) / sizeof(*unversioned); i++)
		if (!strcmp(machine, unversioned[i]))
			return true;
	return false;
}

int mfd_compat_machine(struct mfd_compat *compat, const char *machine, uint32_t major,
		       uint32_t minor, struct mfd_error *err)
{
	if (!machine)
		return mfd_error_set(err, EINVAL, "the machine type is NULL");
	if (!version_of(machine, &major, &minor) && !(major && as_new_as_qemu(machine)))
		return mfd_error_set(err, ENOENT,
				     "it is not known which QEMU the machine type '%.64s' is like",
				     machine);
	if (mfd_compat_version(compat, major, minor))
		return mfd_error_set(err, EINVAL, "struct mfd_compat has no size");
	return 0;
}
