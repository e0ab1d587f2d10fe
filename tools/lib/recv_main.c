// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Receiving the main connection.
 *
 * RAM is parsed to the byte. The state of devices cannot be: its sections do
 * not say where they end, only the devices' own code knows. In the stream it
 * comes behind RAM, so from the first such section on, everything is handed to
 * the VMM as it is, that section's header first. A section of something else
 * that comes before the end of RAM (a disk's dirty bitmaps, a VFIO device's
 * precopy) makes what is behind it unreadable, so it is refused by its name. Only
 * that of virtio-mem, which newer machine types send early, says how long it is.
 *
 * Channels wait at each SYNC until the main connection says go on. Whether it
 * does so at each end of a section or with a record of its own is for the source
 * to choose, and shows in the set-up section, which has one or the other.
 *
 * A source with a return path closes nothing before it is told how the migration
 * ended. So its stream does not end where the connection does, but with the
 * description, and with nothing behind it.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/multifd_wire.h>

#include "recv_check.h"
#include "recv_main.h"

/* What a source wants that is not supported here. */
static const char *const commands[] = {
	[MZP_COMMAND_POSTCOPY_ADVISE] = "postcopy: switch off the capability postcopy-ram",
	[MZP_COMMAND_POSTCOPY_LISTEN] = "postcopy",
	[MZP_COMMAND_POSTCOPY_RUN] = "postcopy",
	[MZP_COMMAND_POSTCOPY_DISCARD] = "postcopy",
	[MZP_COMMAND_PACKAGED] = "postcopy",
	[MZP_COMMAND_ENABLE_COLO] = "COLO: switch off the capability x-colo",
	[MZP_COMMAND_POSTCOPY_RESUME] = "to resume postcopy",
	[MZP_COMMAND_RECV_BITMAP] = "to resume postcopy",
};

/* --- bytes */

static int refill(struct mfd_recv_main *in, struct mfd_error *err)
{
	struct iovec iov = { .iov_base = in->buffer, .iov_len = sizeof(in->buffer) };
	ssize_t n = mfd_recv_input_fill(in->input, &iov, 1, 1, err);

	if (n < 0)
		return n;
	in->begin = 0;
	in->end = n;
	return n > 0;
}

static int get(struct mfd_recv_main *in, void *data, size_t size, struct mfd_error *err)
{
	size_t part;
	int ret;

	while (size) {
		if (in->begin == in->end) {
			ret = refill(in, err);
			if (ret <= 0)
				return ret ? ret : mfd_recv_reject(err, RECV_MAIN_EOF, "%s", "");
		}
		part = in->end - in->begin < size ? in->end - in->begin : size;
		memcpy(data, in->buffer + in->begin, part);
		in->begin += part;
		in->position += part;
		data = (char *)data + part;
		size -= part;
	}
	return 0;
}

static int get_8(struct mfd_recv_main *in, uint8_t *value, struct mfd_error *err)
{
	return get(in, value, 1, err);
}

static int get_16(struct mfd_recv_main *in, uint16_t *value, struct mfd_error *err)
{
	int ret = get(in, value, sizeof(*value), err);

	*value = be16toh(*value);
	return ret;
}

static int get_32(struct mfd_recv_main *in, uint32_t *value, struct mfd_error *err)
{
	int ret = get(in, value, sizeof(*value), err);

	*value = be32toh(*value);
	return ret;
}

static int get_64(struct mfd_recv_main *in, uint64_t *value, struct mfd_error *err)
{
	int ret = get(in, value, sizeof(*value), err);

	*value = be64toh(*value);
	return ret;
}

/* A string of up to 255 bytes with its length in front. */
static int get_name(struct mfd_recv_main *in, char name[256], struct mfd_error *err)
{
	uint8_t length;
	int ret = get_8(in, &length, err);

	if (!ret)
		ret = get(in, name, length, err);
	if (ret)
		return ret;
	name[length] = '\0';
	if (strlen(name) != length)
		return mfd_recv_reject(err, RECV_NAME_NUL, "%.64s", name);
	return 0;
}

static int skip(struct mfd_recv_main *in, uint64_t size, struct mfd_error *err)
{
	uint8_t ignored[256];
	size_t part;
	int ret = 0;

	for (; size && !ret; size -= part) {
		part = size < sizeof(ignored) ? size : sizeof(ignored);
		ret = get(in, ignored, part, err);
	}
	return ret;
}

/* Return: 1: there is more behind what was parsed; 0: no, or not now; an error. */
static int more(struct mfd_recv_main *in, struct mfd_error *err)
{
	if (in->begin < in->end)
		return 1;
	if (in->return_path && !in->input->ready(in->input))
		return 0;
	return refill(in, err);
}

/* --- the return path */

/* @value: NULL: none. */
static int reply(struct mfd_recv_main *in, enum mzp_wire_reply type, const uint32_t *value,
		 struct mfd_error *err)
{
	struct {
		uint16_t type, length;
		uint32_t value;
	} wire = { .type = htobe16(type) };
	size_t length = value ? sizeof(wire.value) : 0;

	wire.length = htobe16(length);
	wire.value = value ? htobe32(*value) : 0;
	return in->reply(in, &wire, sizeof(wire) - sizeof(wire.value) + length, err);
}

int mfd_recv_main_shut(struct mfd_recv_main *in, bool failed, struct mfd_error *err)
{
	uint32_t value = failed;

	return in->return_path ? reply(in, MZP_REPLY_SHUT, &value, err) : 0;
}

static int ping(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint32_t value;
	int ret = get_32(in, &value, err);

	if (!ret && !in->return_path)
		return mfd_recv_reject(err, RECV_PING, "%s", "");
	return ret ? ret : reply(in, MZP_REPLY_PONG, &value, err);
}

/*
 * Some sources wait for this before their last round, to others it is an error, and the
 * stream does not say which it is.
 */
static int acknowledge(struct mfd_recv_main *in, struct mfd_error *err)
{
	if (!in->return_path || !in->switchover_ack)
		return 0;
	return reply(in, MZP_REPLY_SWITCHOVER_ACK, NULL, err);
}

/* --- the beginning */

static int check_uuid(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint8_t uuid[16];
	int ret = get(in, uuid, sizeof(uuid), err);

	if (!ret && memcmp(uuid, in->uuid, sizeof(uuid)))
		return mfd_recv_reject(err, RECV_UUID, "%s", "");
	return ret;
}

/* Sources whose page size can vary say it. */
static int check_page_bits(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint32_t bits;
	int ret = get_32(in, &bits, err);

	if (!ret && (bits > 31 || 1u << bits != MFD_RECV_PAGE))
		return mfd_recv_reject(err, RECV_PAGE_SIZE, "2^%u bytes", bits);
	return ret;
}

static int configuration_part(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint32_t version;
	char name[256];
	int ret = get_name(in, name, err);
	bool uuid;

	if (ret)
		return ret;
	uuid = !strcmp(name, "configuration/uuid");
	if (!uuid && strcmp(name, "configuration/target-page-bits"))
		return mfd_recv_reject(err, RECV_SUBSECTION, "%.64s", name);
	ret = get_32(in, &version, err);
	if (ret)
		return ret;
	return uuid ? check_uuid(in, err) : check_page_bits(in, err);
}

/* The configuration with its parts, and the type of what follows. */
static int configuration(struct mfd_recv_main *in, uint8_t *type, struct mfd_error *err)
{
	char machine[256];
	uint32_t length;
	int ret = get_8(in, type, err);

	if (!ret && *type != MZP_SECTION_CONFIG)
		return mfd_recv_reject(err, RECV_NO_CONFIGURATION, "0x%02x", *type);
	if (!ret)
		ret = get_32(in, &length, err);
	if (!ret && length >= sizeof(machine))
		return mfd_recv_reject(err, RECV_MACHINE_NAME, "%u bytes", length);
	if (!ret)
		ret = get(in, machine, length, err);
	if (ret)
		return ret;
	machine[length] = '\0';
	if (in->machine && strcmp(machine, in->machine))
		return mfd_recv_reject(err, RECV_MACHINE, "%.64s", machine);
	while (!(ret = get_8(in, type, err)) && *type == MZP_SECTION_SUB) {
		ret = configuration_part(in, err);
		if (ret)
			return ret;
	}
	return ret;
}

/* --- RAM */

static int list_block(struct mfd_recv_main *in, uint64_t *left, struct mfd_error *err)
{
	struct mfd_recv_block *block;
	uint64_t length;
	char idstr[256];
	int ret = get_name(in, idstr, err);

	if (!ret)
		ret = get_64(in, &length, err);
	if (ret)
		return ret;
	block = mfd_recv_blocks_find(in->blocks, idstr);
	if (!block)
		return mfd_recv_reject(err, RECV_IDSTR, "%.64s, %llu bytes", idstr,
				       (unsigned long long)length);
	if (block->listed)
		return mfd_recv_reject(err, RECV_BLOCK_TWICE, "%.64s", idstr);
	if (length != block->length)
		return mfd_recv_reject(err, RECV_BLOCK_LENGTH, "%.64s: %llu bytes, not %llu",
				       idstr, (unsigned long long)length,
				       (unsigned long long)block->length);
	if (length > *left)
		return mfd_recv_reject(err, RECV_BLOCKS_TOTAL, "%llu bytes too many",
				       (unsigned long long)(length - *left));
	block->listed = true;
	*left -= length;
	return 0;
}

static int list_blocks(struct mfd_recv_main *in, uint64_t total, struct mfd_error *err)
{
	struct mfd_recv_block *block;
	int ret = 0;

	if (in->listed)
		return mfd_recv_reject(err, RECV_BLOCKS_TWICE, "%s", "");
	while (total && !ret)
		ret = list_block(in, &total, err);
	if (ret)
		return ret;
	for (block = in->blocks->first; block; block = block->next)
		if (!block->listed)
			return mfd_recv_reject(err, RECV_BLOCKS_ABSENT, "%.64s", block->idstr);
	in->listed = true;
	return 0;
}

/* The block that a page's record is about. */
static int record_block(struct mfd_recv_main *in, bool same, struct mfd_error *err)
{
	char idstr[256];
	int ret;

	if (!in->listed)
		return mfd_recv_reject(err, RECV_BLOCKS_LATE, "%s", "");
	if (same)
		return in->last ? 0 : mfd_recv_reject(err, RECV_RECORD_CONTINUE, "%s", "");
	ret = get_name(in, idstr, err);
	if (ret)
		return ret;
	in->last = mfd_recv_blocks_find(in->blocks, idstr);
	return in->last ? 0 : mfd_recv_reject(err, RECV_IDSTR, "%.64s", idstr);
}

static int zero_page(struct mfd_recv_main *in, uint64_t offset, struct mfd_error *err)
{
	uint8_t filling;
	int ret = get_8(in, &filling, err);

	if (ret)
		return ret;
	if (filling)
		return mfd_recv_reject(err, RECV_ZERO_FILL, "0x%02x", filling);
	ret = mfd_recv_block_clear(in->last, offset, err);
	if (ret < 0)
		return ret;
	in->cleared += ret;
	in->zero++;
	return 0;
}

static int plain_page(struct mfd_recv_main *in, uint64_t offset, struct mfd_error *err)
{
	int ret = 0;

	if (mfd_recv_block_touch(in->last, offset))
		ret = mfd_recv_block_populate(in->last, offset, MFD_RECV_PAGE, true, err);
	if (ret)
		return ret;
	in->normal++;
	return get(in, in->last->memory + offset, MFD_RECV_PAGE, err);
}

static int page_record(struct mfd_recv_main *in, uint64_t offset, unsigned int flags,
		       struct mfd_error *err)
{
	int ret = record_block(in, flags & MZP_RECORD_CONTINUE, err);

	if (!ret)
		ret = mfd_recv_block_check(in->last, offset, err);
	if (ret)
		return ret;
	return flags & MZP_RECORD_ZERO ? zero_page(in, offset, err) : plain_page(in, offset, err);
}

static int flush(struct mfd_recv_main *in, struct mfd_error *err)
{
	int ret = in->flush(in, err);

	if (!ret)
		in->syncs++;
	return ret;
}

/* A flush record: those that flush by section have none, so it must be the first thing. */
static int flush_record(struct mfd_recv_main *in, bool setup, struct mfd_error *err)
{
	if (setup)
		in->flush_by = MFD_FLUSH_ROUND;
	else if (in->flush_by != MFD_FLUSH_ROUND)
		return mfd_recv_reject(err, RECV_FLUSH_LATE, "%s", "");
	return flush(in, err);
}

static int unsupported_record(unsigned int flags, struct mfd_error *err)
{
	if (flags & MZP_RECORD_XBZRLE)
		return mfd_recv_reject(err, RECV_RECORD_UNSUPPORTED, "%s",
				       "XBZRLE: switch off the capability xbzrle");
	if (flags & MZP_RECORD_HOOK)
		return mfd_recv_reject(err, RECV_RECORD_UNSUPPORTED, "%s", "RDMA");
	if (flags & MZP_RECORD_COMPRESS)
		return mfd_recv_reject(err, RECV_RECORD_UNSUPPORTED, "%s",
				       "pages compressed one by one: switch off the capability compress");
	return mfd_recv_reject(err, RECV_RECORD, "flags 0x%x", flags);
}

/* Return: 1: that was the end of the section, 0: go on; or an error. */
static int record(struct mfd_recv_main *in, bool setup, struct mfd_error *err)
{
	unsigned int flags;
	uint64_t word;
	int ret = get_64(in, &word, err);

	if (ret)
		return ret;
	flags = word % MFD_RECV_PAGE;
	word -= flags;
	switch (flags) {
	case MZP_RECORD_ZERO:
	case MZP_RECORD_ZERO | MZP_RECORD_CONTINUE:
	case MZP_RECORD_PAGE:
	case MZP_RECORD_PAGE | MZP_RECORD_CONTINUE:
		return page_record(in, word, flags, err);
	case MZP_RECORD_BLOCKS:
		return list_blocks(in, word, err);
	case MZP_RECORD_FLUSH:
		return flush_record(in, setup, err);
	case MZP_RECORD_END:
		return 1;
	default:
		return unsupported_record(flags, err);
	}
}

/* @id: the section's. */
static int footer(struct mfd_recv_main *in, uint32_t id, struct mfd_error *err)
{
	uint32_t found;
	uint8_t type;
	int ret = get_8(in, &type, err);

	if (!ret)
		ret = get_32(in, &found, err);
	if (!ret && (type != MZP_SECTION_FOOTER || found != id))
		return mfd_recv_reject(err, RECV_SECTION_FOOTER, "0x%02x %u", type, found);
	return ret;
}

static int ram_section(struct mfd_recv_main *in, bool setup, struct mfd_error *err)
{
	int ret;

	do
		ret = record(in, setup, err);
	while (!ret);
	if (ret < 0)
		return ret;
	if (!in->listed)
		return mfd_recv_reject(err, RECV_BLOCKS_NONE, "%s", "");
	if (setup && in->compat && in->compat->flush != in->flush_by)
		return mfd_recv_reject(err, RECV_FLUSH, "by %s; %u.%u should by %s",
				       in->flush_by == MFD_FLUSH_ROUND ? "round" : "section",
				       in->compat->major, in->compat->minor,
				       in->compat->flush == MFD_FLUSH_ROUND ? "round" : "section");
	ret = in->flush_by == MFD_FLUSH_SECTION ? flush(in, err) : 0;
	return ret ? ret : footer(in, in->ram_id, err);
}

static int ram_setup(struct mfd_recv_main *in, uint32_t id, uint32_t instance,
		     uint32_t version, struct mfd_error *err)
{
	int ret;

	if (in->ram != MFD_RECV_RAM_NONE)
		return mfd_recv_reject(err, RECV_RAM_TWICE, "%s", "");
	if (instance || version != MZP_WIRE_RAM_VERSION)
		return mfd_recv_reject(err, RECV_RAM_FORMAT, "instance %u, version %u", instance,
				       version);
	in->ram = MFD_RECV_RAM_RUNNING;
	in->ram_id = id;
	in->flush_by = MFD_FLUSH_SECTION;
	ret = ram_section(in, true, err);
	return ret ? ret : acknowledge(in, err);
}

static int ram_part(struct mfd_recv_main *in, bool last, struct mfd_error *err)
{
	uint32_t id;
	int ret = get_32(in, &id, err);

	if (ret)
		return ret;
	if (in->ram == MFD_RECV_RAM_NONE || id != in->ram_id)
		return mfd_recv_reject(err, RECV_SECTION_ID, "%u", id);
	if (in->ram == MFD_RECV_RAM_ENDED)
		return mfd_recv_reject(err, RECV_RAM_ENDED, "%s", "");
	ret = ram_section(in, false, err);
	if (last)
		in->ram = MFD_RECV_RAM_ENDED;
	return ret;
}

/* --- what is not RAM */

static int give(struct mfd_recv_main *in, const void *data, size_t size, struct mfd_error *err)
{
	int ret = in->device_state ? in->device_state(data, size, in->opaque) : 0;

	in->device_bytes += size;
	if (ret)
		return mfd_error_errno(err, -ret, "the state of devices cannot be taken");
	return 0;
}

static int give_device_state(struct mfd_recv_main *in, const void *data, size_t size,
			     struct mfd_error *err)
{
	mfd_recv_tail_add(&in->tail, data, size);
	return give(in, data, size, err);
}

/* All the rest of the stream, as it is. */
static int device_state(struct mfd_recv_main *in, struct mfd_error *err)
{
	int ret = give_device_state(in, in->section, in->section_used, err);
	bool complete = false;

	while (!ret) {
		ret = give_device_state(in, in->buffer + in->begin, in->end - in->begin, err);
		if (ret)
			return ret;
		in->position += in->end - in->begin;
		in->begin = in->end;
		complete = mfd_recv_tail_complete(&in->tail);
		ret = complete ? more(in, err) : refill(in, err);
		if (ret <= 0)
			break;
		ret = 0;
	}
	if (!ret && !complete)
		return mfd_recv_reject(err, RECV_DEVICE_END, "%s", "");
	return ret;
}

static void keep(struct mfd_recv_main *in, const void *data, size_t size)
{
	memcpy(in->section + in->section_used, data, size);
	in->section_used += size;
}

static void keep_32(struct mfd_recv_main *in, uint32_t value)
{
	value = htobe32(value);
	keep(in, &value, sizeof(value));
}

static void keep_footer(struct mfd_recv_main *in, uint32_t id)
{
	uint8_t type = MZP_SECTION_FOOTER;

	in->section_used = 0;
	keep(in, &type, 1);
	keep_32(in, id);
}

static void keep_header(struct mfd_recv_main *in, uint8_t type, uint32_t id, const char *name,
			uint32_t instance, uint32_t version)
{
	uint8_t length = strlen(name);

	in->section_used = 0;
	keep(in, &type, 1);
	keep_32(in, id);
	keep(in, &length, 1);
	keep(in, name, length);
	keep_32(in, instance);
	keep_32(in, version);
}

/* Hand over @size bytes as they come. */
static int pass(struct mfd_recv_main *in, uint64_t size, struct mfd_error *err)
{
	uint8_t part[256];
	size_t n;
	int ret = 0;

	for (; size && !ret; size -= n) {
		n = size < sizeof(part) ? size : sizeof(part);
		ret = get(in, part, n, err);
		if (!ret)
			ret = give(in, part, n, err);
	}
	return ret;
}

/*
 * Which blocks of a virtio-mem device are plugged: the address, the length and the block size
 * of its memory (8 each), its node (4), the plugged bytes (8), and a bit for each block, in
 * words of 8 bytes.
 */
static int virtio_mem(struct mfd_recv_main *in, struct mfd_error *err)
{
	struct __attribute__((packed)) {
		uint64_t addr, length, block;
		uint32_t node;
		uint64_t plugged;
	} head;
	uint64_t length, block;
	int ret = get(in, &head, sizeof(head), err);

	if (ret)
		return ret;
	length = be64toh(head.length);
	block = be64toh(head.block);
	if (block < MFD_RECV_PAGE || block & (block - 1) || !length || length % block ||
	    be64toh(head.plugged) > length)
		return mfd_recv_reject(err, RECV_EARLY_FORMAT, "virtio-mem of 0x%llx bytes by 0x%llx",
				       (unsigned long long)length, (unsigned long long)block);
	ret = give(in, &head, sizeof(head), err);
	return ret ? ret : pass(in, (length / block + 63) / 64 * 8, err);
}

/* Is it @name, maybe behind the path of a device? */
static bool is_called(const char *section, const char *name)
{
	const char *slash = strrchr(section, '/');

	return !strcmp(slash ? slash + 1 : section, name);
}

/* A section, whose header was kept, that comes ahead of the end of RAM. */
static int early_section(struct mfd_recv_main *in, uint8_t type, uint32_t id, const char *name,
			 uint32_t version, struct mfd_error *err)
{
	const char *what = "";
	int ret;

	if (type != MZP_SECTION_FULL || !is_called(name, "virtio-mem-device-early")) {
		if (is_called(name, "dirty-bitmap"))
			what = ": switch off the capability dirty-bitmaps";
		else if (is_called(name, "vfio"))
			what = ": the device can only be migrated without its precopy";
		return mfd_recv_reject(err, RECV_SECTION_EARLY, "%.64s%s", name, what);
	}
	if (version != 1)
		return mfd_recv_reject(err, RECV_EARLY_FORMAT, "%.64s, version %u", name, version);
	ret = give(in, in->section, in->section_used, err);
	if (!ret)
		ret = virtio_mem(in, err);
	if (!ret)
		ret = footer(in, id, err);
	keep_footer(in, id);
	return ret ? ret : give(in, in->section, in->section_used, err);
}

/* Return: 1: it was the state of devices, and so all the rest; 0: go on. */
static int begin_section(struct mfd_recv_main *in, uint8_t type, struct mfd_error *err)
{
	uint32_t id, instance, version;
	char name[256];
	int ret = get_32(in, &id, err);

	if (!ret)
		ret = get_name(in, name, err);
	if (!ret)
		ret = get_32(in, &instance, err);
	if (!ret)
		ret = get_32(in, &version, err);
	if (ret)
		return ret;
	if (type == MZP_SECTION_START && !strcmp(name, "ram"))
		return ram_setup(in, id, instance, version, err);
	keep_header(in, type, id, name, instance, version);
	if (in->ram != MFD_RECV_RAM_ENDED)
		return early_section(in, type, id, name, version, err);
	ret = device_state(in, err);
	return ret ? ret : 1;
}

static int unsupported_command(uint16_t number, struct mfd_error *err)
{
	const char *what = NULL;

	if (number < sizeof(commands) / sizeof(*commands))
		what = commands[number];
	return mfd_recv_reject(err, RECV_COMMAND, "%s, command %u", what ? what : "unknown",
			       number);
}

static int command(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint16_t number, size;
	int ret = get_16(in, &number, err);

	if (!ret)
		ret = get_16(in, &size, err);
	if (ret)
		return ret;
	if (number != MZP_COMMAND_OPEN_RETURN_PATH && number != MZP_COMMAND_PING &&
	    number != MZP_COMMAND_SWITCHOVER_START)
		return unsupported_command(number, err);
	if (size != (number == MZP_COMMAND_PING ? sizeof(uint32_t) : 0))
		return mfd_recv_reject(err, RECV_COMMAND_SIZE, "%u, command %u", size, number);
	if (number == MZP_COMMAND_PING)
		return ping(in, err);
	if (number == MZP_COMMAND_OPEN_RETURN_PATH)
		in->return_path = true;
	/* the other only says that the last sections come now */
	return 0;
}

static int end(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint32_t size;
	uint8_t type;
	int ret;

	if (in->ram != MFD_RECV_RAM_ENDED)
		return mfd_recv_reject(err, RECV_RAM_UNENDED, "%s", "");
	ret = get_8(in, &type, err);
	if (!ret && type != MZP_SECTION_VMDESC)
		return mfd_recv_reject(err, RECV_DESCRIPTION, "0x%02x", type);
	if (!ret)
		ret = get_32(in, &size, err);
	if (!ret)
		ret = skip(in, size, err);
	if (!ret)
		ret = more(in, err);
	if (ret < 0)
		return ret;
	return ret ? mfd_recv_reject(err, RECV_TRAILING, "%s", "") : 1;
}

/* Return: 1: that was the end, 0: go on; or an error. */
static int section(struct mfd_recv_main *in, uint8_t type, struct mfd_error *err)
{
	switch (type) {
	case MZP_SECTION_EOF:
		return end(in, err);
	case MZP_SECTION_START:
	case MZP_SECTION_FULL:
		return begin_section(in, type, err);
	case MZP_SECTION_PART:
	case MZP_SECTION_END:
		return ram_part(in, type == MZP_SECTION_END, err);
	case MZP_SECTION_COMMAND:
		return command(in, err);
	default:
		return mfd_recv_reject(err, RECV_SECTION_TYPE, "0x%02x", type);
	}
}

static int run(struct mfd_recv_main *in, struct mfd_error *err)
{
	uint32_t version;
	uint8_t type;
	int ret = get_32(in, &version, err);

	if (!ret && version != MZP_WIRE_MAIN_VERSION)
		return mfd_recv_reject(err, RECV_MAIN_VERSION, "%u", version);
	if (!ret)
		ret = configuration(in, &type, err);
	while (!ret) {
		ret = section(in, type, err);
		if (!ret)
			ret = get_8(in, &type, err);
	}
	return ret < 0 ? ret : 0;
}

int mfd_recv_main_run(struct mfd_recv_main *in, struct mfd_error *err)
{
	int ret;

	in->position = sizeof(uint32_t);	/* the magic */
	ret = run(in, err);
	if (ret)
		mfd_error_prefix(err, "main connection, byte %llu",
				 (unsigned long long)in->position);
	return ret;
}
