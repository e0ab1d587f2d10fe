// SPDX-License-Identifier: GPL-2.0-only
/* The state of a machine's vCPU and device; see state.h. */
#include <arpa/inet.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "fail.h"
#include "state.h"

/* of QEMU's stream */
#define SECTION_EOF	0x00
#define SECTION_FULL	0x04
#define SECTION_FOOTER	0x7e

struct part {
	const char *idstr;
	size_t at, size;		/* in struct state */
	unsigned long get, set;		/* 0: not KVM's */
};

#define PART(member) offsetof(struct state, member), sizeof(((struct state *)0)->member)

/*
 * In the order in which KVM wants to be told: it needs the mode to understand the rest, and
 * what is pending comes last, since other calls may change it. The clock goes on while the
 * guest is on its way, so it is apart.
 */
static const struct part parts[] = {
	{ "vcpu/sregs", PART(sregs), KVM_GET_SREGS, KVM_SET_SREGS },
	{ "vcpu/regs", PART(regs), KVM_GET_REGS, KVM_SET_REGS },
	{ "vcpu/xcrs", PART(xcrs), KVM_GET_XCRS, KVM_SET_XCRS },
	{ "vcpu/xsave", PART(xsave), KVM_GET_XSAVE, KVM_SET_XSAVE },
	{ "vcpu/msrs", PART(msrs), KVM_GET_MSRS, KVM_SET_MSRS },
	{ "vcpu/tsc", PART(tsc), KVM_GET_MSRS, KVM_SET_MSRS },
	{ "vcpu/debugregs", PART(debugregs), KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
	{ "vcpu/events", PART(events), KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ "serial", PART(serial), 0, 0 },
};

#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))

/* Registers that a 64-bit system sets up, and sregs has not. */
static const uint32_t msrs[STATE_MSRS] = {
	0x174, 0x175, 0x176,		/* SYSENTER_CS, _ESP, _EIP */
	0x277,				/* PAT */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,	/* STAR, LSTAR, CSTAR, FMASK */
	0xc0000102,			/* KERNEL_GS_BASE */
};

#define MSR_TSC 0x10

static void *data_of(struct state *state, const struct part *part)
{
	return (char *)state + part->at;
}

/* KVM_GET_MSRS and KVM_SET_MSRS say how many they did. */
static int call(struct vm *vm, struct state *state, const struct part *part,
		unsigned long request, struct mfd_error *err)
{
	int ret = ioctl(vm->vcpu, request, data_of(state, part));

	if (ret < 0)
		return demo_fail(err, part->idstr);
	if ((request == KVM_GET_MSRS || request == KVM_SET_MSRS) &&
	    ret != (int)*(uint32_t *)data_of(state, part)) {
		errno = EIO;
		return demo_fail(err, part->idstr);
	}
	return 0;
}

int state_get(struct state *state, struct vm *vm, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	*state = (struct state){ .msrs.nr = STATE_MSRS, .tsc.nr = 1, .serial = vm->serial.state };
	for (i = 0; i < STATE_MSRS; i++)
		state->msrs.entries[i].index = msrs[i];
	state->tsc.entries[0].index = MSR_TSC;
	for (i = 0; i < NR_PARTS && !ret; i++)
		if (parts[i].get)
			ret = call(vm, state, &parts[i], parts[i].get, err);
	return ret;
}

int state_set(struct state *state, struct vm *vm, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	/* they come from elsewhere, and KVM would read as many as they say */
	if (state->msrs.nr != STATE_MSRS || state->tsc.nr != 1)
		return demo_wrong(err, EPROTO, "the state has another number of MSRs");
	vm->serial.state = state->serial;
	for (i = 0; i < NR_PARTS && !ret; i++)
		if (parts[i].set)
			ret = call(vm, state, &parts[i], parts[i].set, err);
	return ret;
}

int state_send(const struct state *state, struct mfd_session *session, struct mfd_error *err)
{
	struct {
		uint32_t length;
		uint8_t data[sizeof(*state)];
	} section;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NR_PARTS && !ret; i++) {
		section.length = htonl(parts[i].size);
		memcpy(section.data, (const char *)state + parts[i].at, parts[i].size);
		ret = mfd_device_section(session, parts[i].idstr, 0, 1, &section,
					 sizeof(section.length) + parts[i].size, err);
	}
	return ret;
}

/* What is left to read. */
struct input {
	const uint8_t *at;
	size_t left;
};

/* The next @size bytes, or NULL: they have not come yet. */
static const void *take(struct input *input, size_t size)
{
	const void *at = input->at;

	if (size > input->left)
		return NULL;
	input->at += size;
	input->left -= size;
	return at;
}

/* A number on the wire. Return: whether it has come. */
static bool take_32(struct input *input, uint32_t *value)
{
	const void *at = take(input, sizeof(*value));

	if (at) {
		memcpy(value, at, sizeof(*value));
		*value = ntohl(*value);
	}
	return at;
}

static const struct part *find_part(const char *idstr, size_t length)
{
	unsigned int i;

	for (i = 0; i < NR_PARTS; i++)
		if (strlen(parts[i].idstr) == length && !memcmp(parts[i].idstr, idstr, length))
			return &parts[i];
	return NULL;
}

/* A section behind its type: id, name, instance, version; its data; its end, with its id. */
static int take_section(struct state *state, struct input *input, unsigned int *seen,
			struct mfd_error *err)
{
	uint32_t id, instance, version, length, end;
	const uint8_t *idstr_length, *footer;
	const struct part *part;
	const char *idstr;
	const void *data;

	if (!take_32(input, &id))
		return 0;
	idstr_length = take(input, 1);
	idstr = idstr_length ? take(input, *idstr_length) : NULL;
	if (!idstr || !take_32(input, &instance) || !take_32(input, &version) ||
	    !take_32(input, &length))
		return 0;
	part = find_part(idstr, *idstr_length);
	if (!part || instance || version != 1 || length != part->size ||
	    *seen & 1u << (part - parts))
		return demo_wrong(err, EPROTO, "the state has a section that is not mfddemo's");
	data = take(input, length);
	footer = take(input, 1);
	if (!data || !footer || !take_32(input, &end))
		return 0;
	if (*footer != SECTION_FOOTER || end != id)
		return demo_wrong(err, EPROTO, "the state has a section that does not end");
	memcpy(data_of(state, part), data, length);
	*seen |= 1u << (part - parts);
	return 1;
}

int state_take(struct state *state, const void *data, size_t size, struct mfd_error *err)
{
	struct input input = { .at = data, .left = size };
	unsigned int seen = 0;
	const uint8_t *type;
	int ret = 1;

	while (ret > 0 && (type = take(&input, 1))) {
		if (*type == SECTION_EOF)
			return seen == (1u << NR_PARTS) - 1 ? 1 :
			       demo_wrong(err, EPROTO, "a part of the guest's state is missing: did it come from mfddemo?");
		if (*type != SECTION_FULL)
			return demo_wrong(err, EPROTO, "the state has something else than sections");
		ret = take_section(state, &input, &seen, err);
	}
	return ret < 0 ? ret : 0;
}

int state_print(const struct state *state, FILE *file)
{
	const uint8_t *data;
	unsigned int i;
	size_t at;

	for (i = 0; i < NR_PARTS; i++) {
		data = (const uint8_t *)state + parts[i].at;
		fprintf(file, "%s ", parts[i].idstr);
		for (at = 0; at < parts[i].size; at++)
			fprintf(file, "%02x", data[at]);
		fputc('\n', file);
	}
	return ferror(file) ? -1 : 0;
}
