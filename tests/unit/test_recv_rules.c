// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd's receiver: every rule about what a source may send. Each case is a
 * stream that is good but for one thing, and has to be refused for just that. The
 * last test is that no rule has been forgotten.
 */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "feed.h"
#include "recv_channel.h"
#include "recv_check.h"
#include "recv_hello.h"
#include "recv_main.h"

#define PAGE MFD_RECV_PAGE

static bool tried[RECV_NR_CHECKS];

/* @ret and @err are those of exactly this rule, and say where. */
static void assert_refused(enum mfd_recv_check check, const char *where, int ret,
			   const struct mfd_error *err)
{
	const char *text = mfd_recv_check_text(check);

	if (ret != -EPROTO || err->code != EPROTO || !strstr(err->text, text) ||
	    strncmp(err->text, where, strlen(where)))
		fail_msg("'%s: %s' was expected, not %d '%s'", where, text, ret,
			 ret ? err->text : "");
	tried[check] = true;
}

/* --- a channel's packets */

/* A header, its payload, and what receives them. */
struct packet {
	struct mzp_wire_packet wire;
	uint8_t payload[MFD_RECV_PAYLOAD_MAX + 1];
	size_t payload_size;
	struct mfd_recv_rules rules;
	size_t cut;			/* bytes that are missing at the end */
	size_t times;			/* so often in a row */
};

static uint8_t pages[2][PAGE];
static struct packet packet;	/* too large for the stack */

static size_t pack(enum mfd_method method, uint8_t *out, size_t room, const void *data,
		   size_t size, bool end)
{
	ZSTD_inBuffer in = { .src = data, .size = size };
	ZSTD_outBuffer to = { .dst = out, .size = room };
	z_stream stream = { 0 };
	ZSTD_CCtx *zstd;

	switch (method) {
	case MFD_METHOD_ZLIB:
		assert_int_equal(deflateInit(&stream, 1), Z_OK);
		stream.next_in = (void *)data;
		stream.avail_in = size;
		stream.next_out = out;
		stream.avail_out = room;
		assert_int_equal(deflate(&stream, end ? Z_FINISH : Z_SYNC_FLUSH),
				 end ? Z_STREAM_END : Z_OK);
		deflateEnd(&stream);
		return room - stream.avail_out;
	case MFD_METHOD_ZSTD:
		zstd = ZSTD_createCCtx();
		assert_int_equal(ZSTD_compressStream2(zstd, &to, &in,
						      end ? ZSTD_e_end : ZSTD_e_flush), 0);
		ZSTD_freeCCtx(zstd);
		return to.pos;
	default:
		memcpy(out, data, size);
		return size;
	}
}

/* Put other contents behind the header. */
static void fill(const void *data, size_t size, bool end)
{
	packet.payload_size = pack(packet.rules.method, packet.payload,
				    sizeof(packet.payload), data, size, end);
	packet.wire.payload_size = htobe32(packet.payload_size);
}

/* Two pages with data, in the wrong order, and a zero page, in ram0. */
static void good_packet(enum mfd_method method)
{
	static const uint64_t offsets[] = { 3 * PAGE, 1 * PAGE, 2 * PAGE };
	static const uint32_t flags[] = { MZP_WIRE_NONE, MZP_WIRE_ZLIB, MZP_WIRE_ZSTD };
	size_t i;

	memset(&packet, 0, sizeof(packet));
	packet.times = 1;
	packet.rules.method = method;
	packet.wire.magic = htobe32(MZP_WIRE_MAGIC);
	packet.wire.version = htobe32(MZP_WIRE_VERSION);
	packet.wire.flags = htobe32(flags[method]);
	packet.wire.pages_alloc = htobe32(MZP_WIRE_PAGES);
	packet.wire.normal_pages = htobe32(2);
	packet.wire.zero_pages = htobe32(1);
	strcpy(packet.wire.idstr, "ram0");
	for (i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
		packet.wire.offset[i] = htobe64(offsets[i]);
	for (i = 0; i < sizeof(pages); i++)
		pages[i / PAGE][i % PAGE] = i % 253;
	fill(pages, sizeof(pages), false);
}

static int no_wait(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	(void)channel;
	(void)err;
	return 0;
}

/* Receive it as channel 5. */
static int receive(struct mfd_recv_blocks *blocks, size_t piece, struct mfd_error *err)
{
	struct mfd_recv_channel channel = { .id = 5, .sync = no_wait };
	size_t each = sizeof(packet.wire) + packet.payload_size, i;
	size_t size = packet.times * each - packet.cut;
	/* of exactly this size, for the sanitizer's sake */
	uint8_t *bytes = malloc(packet.times * each), *exact = malloc(size);
	struct feed feed;
	int ret;

	assert_non_null(bytes);
	assert_non_null(exact);
	for (i = 0; i < packet.times; i++) {
		memcpy(bytes + i * each, &packet.wire, sizeof(packet.wire));
		memcpy(bytes + i * each + sizeof(packet.wire), packet.payload,
		       packet.payload_size);
	}
	memcpy(exact, bytes, size);
	feed_init(&feed, exact, size, piece);
	packet.rules.blocks = blocks;
	channel.input = &feed.input;
	channel.rules = &packet.rules;
	assert_int_equal(mfd_recv_channel_open(&channel, NULL), 0);
	ret = mfd_recv_channel_run(&channel, err);
	if (!ret)
		assert_int_equal(channel.packets, packet.times);
	mfd_recv_channel_close(&channel);
	free(bytes);
	free(exact);
	return ret;
}

TEST(good_packets_arrive)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 1344, 1345, 5000 };
	struct mfd_recv_blocks blocks;
	struct mfd_recv_block *ram;
	struct mfd_error err = { .size = sizeof(err) };
	size_t i;

	for (i = 0; i < 3 * 5; i++) {
		feed_blocks(&blocks, true);
		ram = mfd_recv_blocks_find(&blocks, "ram0");
		good_packet(i / 5);
		/* what is compressed goes on differently */
		packet.times = i / 5 == MFD_METHOD_NONE ? 4 : 1;
		if (receive(&blocks, pieces[i % 5], &err))
			fail_msg("%s", err.text);
		assert_memory_equal(ram->memory + 3 * PAGE, pages[0], PAGE);
		assert_memory_equal(ram->memory + 1 * PAGE, pages[1], PAGE);
		feed_done(&blocks);
	}
}

/* What was received before is cleared, and memory that never was is not looked at. */
TEST(pages_become_zero)
{
	struct mfd_recv_blocks blocks;
	struct mfd_recv_block *ram;
	struct mfd_error err = { .size = sizeof(err) };
	size_t i;

	feed_blocks(&blocks, true);
	ram = mfd_recv_blocks_find(&blocks, "ram0");
	ram->memory[2 * PAGE] = 1;	/* it was said to be fresh */
	good_packet(MFD_METHOD_ZSTD);
	assert_int_equal(receive(&blocks, SIZE_MAX, &err), 0);
	packet.wire.normal_pages = 0;
	packet.wire.zero_pages = htobe32(3);
	packet.wire.payload_size = 0;
	packet.payload_size = 0;
	assert_int_equal(receive(&blocks, SIZE_MAX, &err), 0);
	for (i = 0; i < 4 * PAGE; i++)
		assert_int_equal(ram->memory[i], i == 2 * PAGE);
	feed_done(&blocks);
}

static void expect_packet(enum mfd_recv_check check)
{
	struct mfd_recv_blocks blocks;
	struct mfd_error err = { .size = sizeof(err) };
	int ret;

	feed_blocks(&blocks, true);
	ret = receive(&blocks, SIZE_MAX, &err);
	assert_refused(check, "channel 5, packet 1: ", ret, &err);
	feed_done(&blocks);
}

/* A good packet with one field of its header set. */
#define SPOIL(check, method, field, value) do { \
	good_packet(method); \
	packet.wire.field = value; \
	expect_packet(check); \
} while (0)

TEST(headers)
{
	SPOIL(RECV_MAGIC, MFD_METHOD_NONE, magic, htobe32(0x11223345));
	SPOIL(RECV_VERSION, MFD_METHOD_NONE, version, htobe32(2));
	SPOIL(RECV_DEVICE_STATE, MFD_METHOD_NONE, flags, htobe32(MZP_WIRE_DEVICE_STATE));
	SPOIL(RECV_DEVICE_STATE_SYNC, MFD_METHOD_NONE, flags,
	      htobe32(MZP_WIRE_DEVICE_STATE | MZP_WIRE_SYNC));
	SPOIL(RECV_FLAGS, MFD_METHOD_NONE, flags, htobe32(0x80));
	SPOIL(RECV_METHOD, MFD_METHOD_NONE, flags, htobe32(MZP_WIRE_ZLIB));
	SPOIL(RECV_METHOD, MFD_METHOD_ZLIB, flags, htobe32(MZP_WIRE_ZSTD));
	SPOIL(RECV_METHOD, MFD_METHOD_ZLIB, flags, htobe32(MZP_WIRE_NONE));
	SPOIL(RECV_METHOD, MFD_METHOD_ZSTD, flags, htobe32(MZP_WIRE_ZSTD | MZP_WIRE_ZLIB));
	SPOIL(RECV_PAGES_ALLOC, MFD_METHOD_NONE, pages_alloc, htobe32(129));
	SPOIL(RECV_NORMAL_PAGES, MFD_METHOD_NONE, pages_alloc, htobe32(1));
	SPOIL(RECV_NORMAL_PAGES, MFD_METHOD_NONE, normal_pages, htobe32(UINT32_MAX));
	SPOIL(RECV_ZERO_PAGES, MFD_METHOD_NONE, zero_pages, htobe32(127));
	SPOIL(RECV_ZERO_PAGES, MFD_METHOD_NONE, zero_pages, htobe32(UINT32_MAX));
	SPOIL(RECV_IDSTR, MFD_METHOD_NONE, idstr[3], '1');
	SPOIL(RECV_IDSTR, MFD_METHOD_NONE, idstr[0], '\0');
	SPOIL(RECV_OFFSET_ALIGN, MFD_METHOD_NONE, offset[1], htobe64(PAGE + 8));
	SPOIL(RECV_OFFSET_RANGE, MFD_METHOD_NONE, offset[0], htobe64(4 * PAGE));
	SPOIL(RECV_OFFSET_RANGE, MFD_METHOD_NONE, offset[0], htobe64(-(uint64_t)PAGE));
	SPOIL(RECV_OFFSET_RANGE, MFD_METHOD_NONE, offset[2], htobe64(4 * PAGE));
	SPOIL(RECV_PAYLOAD_SIZE, MFD_METHOD_NONE, payload_size, htobe32(PAGE));
	SPOIL(RECV_PAYLOAD_SIZE, MFD_METHOD_ZSTD, payload_size, 0);
	SPOIL(RECV_PAYLOAD_BOUND, MFD_METHOD_ZLIB, payload_size, htobe32(MFD_RECV_PAYLOAD_MAX + 1));
	SPOIL(RECV_PAYLOAD_BOUND, MFD_METHOD_ZSTD, payload_size, htobe32(UINT32_MAX));
}

TEST(a_name_without_an_end)
{
	good_packet(MFD_METHOD_NONE);
	memset(packet.wire.idstr, 'r', sizeof(packet.wire.idstr));
	expect_packet(RECV_IDSTR_END);
}

/* What is left in the header of an old source's SYNC is refused only if it must not be. */
TEST(a_size_without_pages)
{
	struct mfd_recv_blocks blocks;
	struct mfd_error err = { .size = sizeof(err) };

	good_packet(MFD_METHOD_ZLIB);
	packet.wire.flags = htobe32(MZP_WIRE_SYNC);
	packet.wire.normal_pages = 0;
	packet.wire.zero_pages = 0;
	packet.payload_size = 0;
	feed_blocks(&blocks, true);
	assert_int_equal(receive(&blocks, SIZE_MAX, &err), 0);
	feed_done(&blocks);
	packet.rules.no_stale_size = true;
	expect_packet(RECV_PAYLOAD_ALONE);
	packet.wire.payload_size = 0;
	feed_blocks(&blocks, true);
	assert_int_equal(receive(&blocks, SIZE_MAX, &err), 0);
	feed_done(&blocks);
}

TEST(ends_inside_a_packet)
{
	size_t size;

	good_packet(MFD_METHOD_NONE);
	size = sizeof(packet.wire) + packet.payload_size;
	for (packet.cut = 1; packet.cut < size; packet.cut += 97)
		expect_packet(RECV_PACKET_EOF);
	packet.cut = size - 1;
	expect_packet(RECV_PACKET_EOF);
	good_packet(MFD_METHOD_ZLIB);
	packet.cut = 1;
	expect_packet(RECV_PACKET_EOF);
}

TEST(payloads)
{
	static const uint8_t more[2 * PAGE + 1];
	struct mfd_recv_blocks blocks;
	enum mfd_method method;
	struct mfd_error err = { .size = sizeof(err) };

	for (method = MFD_METHOD_ZLIB; method <= MFD_METHOD_ZSTD; method++) {
		good_packet(method);
		packet.payload[0] ^= 0x55;
		expect_packet(RECV_DECODE);
		good_packet(method);
		fill(pages, sizeof(pages) - 1, false);
		expect_packet(RECV_DECODE_SHORT);
		fill(more, sizeof(more), false);
		expect_packet(RECV_DECODE_LONG);
		/* a stream that ends: of zstd's frames, one may where a packet does */
		if (method == MFD_METHOD_ZLIB) {
			fill(more, sizeof(pages), true);
			expect_packet(RECV_DECODE_END);
		} else {
			fill(more, PAGE, true);
			packet.payload_size += pack(method, packet.payload + packet.payload_size,
						    PAGE, more, PAGE, false);
			packet.wire.payload_size = htobe32(packet.payload_size);
			expect_packet(RECV_DECODE_END);
			fill(pages, sizeof(pages), true);
			feed_blocks(&blocks, true);
			assert_int_equal(receive(&blocks, SIZE_MAX, &err), 0);
			feed_done(&blocks);
		}
		/* a second stream, where the first should go on */
		good_packet(method);
		packet.payload_size += pack(method, packet.payload + packet.payload_size, PAGE,
					    more, 1, false);
		packet.wire.payload_size = htobe32(packet.payload_size);
		expect_packet(RECV_DECODE);
	}
	/* a zlib stream must not need a dictionary */
	good_packet(MFD_METHOD_ZLIB);
	memcpy(packet.payload, "\x78\x20\x12\x34\x56\x78", 6);
	expect_packet(RECV_DECODE);
	/* a window of 2^28 bytes is more than QEMU's levels need */
	good_packet(MFD_METHOD_ZSTD);
	memcpy(packet.payload, "\x28\xb5\x2f\xfd\x00\x90", 6);
	expect_packet(RECV_DECODE);
}

/* --- first messages */

static void expect_hello(enum mfd_recv_check check, const void *bytes, size_t size)
{
	struct mfd_recv_params params = { .size = sizeof(params), .channels = 3 };
	struct mfd_recv_hello hello = { .used = 0 };
	struct mfd_error err = { .size = sizeof(err) };
	enum mfd_recv_kind kind;
	unsigned int id;
	int ret;

	while ((ret = mfd_recv_hello_parse(&hello, &params, &kind, &id, &err)) > 0) {
		assert_true(hello.used + ret <= size);
		memcpy(hello.bytes + hello.used, (const char *)bytes + hello.used, ret);
		hello.used += ret;
	}
	if (check == RECV_NR_CHECKS)
		assert_int_equal(ret, 0);
	else
		assert_refused(check, "", ret, &err);
}

TEST(first_messages)
{
	struct mzp_wire_init init = {
		.magic = htobe32(MZP_WIRE_MAGIC), .version = htobe32(MZP_WIRE_VERSION), .id = 2,
	};

	expect_hello(RECV_NR_CHECKS, &init, sizeof(init));
	expect_hello(RECV_NR_CHECKS, "QEVM", 4);
	expect_hello(RECV_MAGIC, "GET ", 4);
	expect_hello(RECV_TLS, "\x16\x03\x01\x02", 4);
	init.id = 3;
	expect_hello(RECV_CHANNEL_ID, &init, sizeof(init));
	init.id = 2;
	init.uuid[15] = 1;
	expect_hello(RECV_UUID, &init, sizeof(init));
	init.uuid[15] = 0;
	init.version = htobe32(2);
	expect_hello(RECV_VERSION, &init, sizeof(init));
}

/* --- the main connection */

/* Hex digits, and text in 'quotes'. */
static size_t bytes_of(const char *text, uint8_t *bytes, size_t room)
{
	unsigned int value;
	size_t n = 0;

	for (; *text; text++) {
		assert_true(n < room);
		if (*text == ' ')
			continue;
		if (*text == '\'') {
			while (*++text != '\'')
				bytes[n++] = *text;
			continue;
		}
		assert_int_equal(sscanf(text, "%2x", &value), 1);
		bytes[n++] = value;
		text++;
	}
	return n;
}

static int flush_fine(struct mfd_recv_main *in, struct mfd_error *err)
{
	(void)in;
	(void)err;
	return 0;
}

#define FILE_3		"00000003 "
#define CONFIG		"07 00000004 'none' "
#define HEAD		FILE_3 CONFIG
#define SETUP		"01 00000001 03 'ram' 00000000 00000004 "
#define RAM0		"04 'ram0' 0000000000004000 "
#define B		"01 'b' 0000000000001000 "
#define LIST		"0000000000005004 " RAM0 B
#define FLUSH		"0000000000000200 "
#define END		"0000000000000010 "
#define FOOTER		"7e 00000001 "
#define ZERO		"0000000000001002 04 'ram0' 00 "
#define ZERO_AGAIN	"0000000000002022 00 "
#define START		HEAD SETUP LIST END FOOTER
#define PART		"02 00000001 "
#define LAST		"03 00000001 "
#define RAM		START PART ZERO ZERO_AGAIN END FOOTER LAST END FOOTER
#define FINISH		"00 06 00000002 '{}' "
#define DEVICE		"04 00000002 05 'timer' 00000000 00000002 'state' 7e 00000002 "
#define OPEN		"08 0001 0000 "
#define PING		"08 0002 0004 deadbeef "
/* virtio-mem with 64, and with 65 blocks of 2 MiB */
#define EARLY_HEAD	"04 00000005 1d 'dev/0/virtio-mem-device-early' 00000000 00000001 "
#define EARLY_64	"0000000100000000 0000000008000000 0000000000200000 00000000 " \
			"0000000000200000 "
#define EARLY_65	"0000000100000000 0000000008200000 0000000000200000 00000000 " \
			"0000000008200000 "
#define EARLY_FOOTER	"7e 00000005 "
#define ROUND_START	HEAD SETUP LIST FLUSH END FOOTER

static const uint8_t *ram0;	/* what the last stream left in it */

/* The source's other end of a return path, and what is behind its stream. */
static struct {
	uint8_t said[256];
	size_t size;
	bool acknowledge;		/* parameter */
	bool open;			/* it does not close its connection */
} source;

static int listen_to(struct mfd_recv_main *in, const void *data, size_t size,
		     struct mfd_error *err)
{
	(void)in;
	(void)err;
	assert_true(size <= sizeof(source.said) - source.size);
	memcpy(source.said + source.size, data, size);
	source.size += size;
	return 0;
}

static struct {
	uint8_t bytes[1024];
	size_t size;
} devices;			/* what was handed over */

static int take_devices(const void *data, size_t size, void *opaque)
{
	assert_ptr_equal(opaque, &devices);
	assert_true(size <= sizeof(devices.bytes) - devices.size);
	memcpy(devices.bytes + devices.size, data, size);
	devices.size += size;
	return 0;
}

/* Return: 0 or the error; with @known, the source is said to be of that version. */
static int run_bytes(const uint8_t *bytes, size_t size, unsigned int known, size_t piece,
		     struct mfd_error *err)
{
	static const uint8_t uuid[16] = { 1 };
	struct mfd_recv_main *in = calloc(1, sizeof(*in));
	struct mfd_recv_blocks blocks;
	struct mfd_compat compat = { .size = sizeof(compat) };
	struct feed feed;
	int ret;

	assert_non_null(in);
	feed_blocks(&blocks, true);
	ram0 = mfd_recv_blocks_find(&blocks, "ram0")->memory;
	feed_init(&feed, bytes, size, piece);
	mfd_compat_version(&compat, known, 0);
	in->input = &feed.input;
	in->blocks = &blocks;
	in->machine = "none";
	in->uuid = uuid;
	in->compat = known ? &compat : NULL;
	in->flush = flush_fine;
	in->switchover_ack = source.acknowledge;
	in->reply = listen_to;
	in->device_state = take_devices;
	in->opaque = &devices;
	feed.open = source.open;
	source.size = 0;
	devices.size = 0;
	ret = mfd_recv_main_run(in, err);
	if (!ret) {
		assert_int_equal(feed.left, 0);
		assert_false(feed.stuck);
	}
	free(in);
	feed_done(&blocks);
	return ret;
}

static int run_main(const char *text, unsigned int known, size_t piece, struct mfd_error *err)
{
	static uint8_t bytes[16384];

	return run_bytes(bytes, bytes_of(text, bytes, sizeof(bytes)), known, piece, err);
}

TEST(good_streams)
{
	static const char *const streams[] = {
		RAM FINISH,
		RAM DEVICE FINISH,
		RAM DEVICE DEVICE "00 06 00000003 '{' 7d '}' ",
		RAM "08 000b 0000 " DEVICE FINISH,
		ROUND_START LAST FLUSH END FOOTER FINISH,
		HEAD "05 12 'configuration/uuid' 00000001 01000000000000000000000000000000 "
			SETUP LIST END FOOTER LAST END FOOTER FINISH,
		HEAD "05 1e 'configuration/target-page-bits' 00000001 0000000c "
			SETUP LIST END FOOTER LAST END FOOTER FINISH,
	};
	struct mfd_error err = { .size = sizeof(err) };
	size_t i;

	for (i = 0; i < sizeof(streams) / sizeof(*streams); i++)
		if (run_main(streams[i], 0, SIZE_MAX, &err) || run_main(streams[i], 0, 1, &err))
			fail_msg("stream %zu: %s", i, err.text);
	assert_int_equal(run_main(RAM FINISH, 7, SIZE_MAX, &err), 0);
	assert_int_equal(run_main(ROUND_START LAST END FOOTER FINISH, 10, SIZE_MAX, &err), 0);
}

static void expect_main(enum mfd_recv_check check, const char *text, unsigned int known)
{
	struct mfd_error err = { .size = sizeof(err) };
	int ret = run_main(text, known, SIZE_MAX, &err);

	assert_refused(check, "main connection, byte ", ret, &err);
}

TEST(main_connection)
{
	static const struct { enum mfd_recv_check check; const char *text; } cases[] = {
		{ RECV_MAIN_VERSION, "00000004 " },
		{ RECV_NO_CONFIGURATION, FILE_3 SETUP },
		{ RECV_MACHINE_NAME, FILE_3 "07 00000100 " },
		{ RECV_MACHINE, FILE_3 "07 00000002 'pc' " },
		{ RECV_SUBSECTION, HEAD "05 1a 'configuration/capabilities' " },
		{ RECV_PAGE_SIZE, HEAD "05 1e 'configuration/target-page-bits' 00000001 0000000d " },
		{ RECV_PAGE_SIZE, HEAD "05 1e 'configuration/target-page-bits' 00000001 0000002c " },
		{ RECV_UUID, HEAD "05 12 'configuration/uuid' 00000001 "
			"02000000000000000000000000000000 " },
		{ RECV_NAME_NUL, HEAD "01 00000001 04 'ram' 00 " },
		{ RECV_PING, HEAD "08 0002 0004 12345678 " },
		{ RECV_COMMAND_SIZE, HEAD "08 0001 0004 " },
		{ RECV_COMMAND_SIZE, HEAD OPEN "08 0002 0000 " },
		{ RECV_COMMAND, HEAD "08 0003 0010 " },
		{ RECV_COMMAND, HEAD "08 ffff 0010 " },
		{ RECV_COMMAND_SIZE, START "08 000b 0001 " },
		{ RECV_SECTION_TYPE, START "09 " },
		{ RECV_SECTION_TYPE, HEAD CONFIG },
		{ RECV_SECTION_ID, HEAD PART },
		{ RECV_SECTION_ID, START "02 00000002 " },
		{ RECV_SECTION_EARLY, HEAD "01 00000001 06 'bitmap' 00000000 00000001 " },
		{ RECV_SECTION_EARLY, START DEVICE },
		{ RECV_EARLY_FORMAT, HEAD "04 00000005 17 'virtio-mem-device-early' 00000000 "
			"00000002 " },
		{ RECV_EARLY_FORMAT, HEAD EARLY_HEAD "0000000100000000 0000000000000000 "
			"0000000000200000 00000000 0000000000000000 " },
		{ RECV_EARLY_FORMAT, HEAD EARLY_HEAD "0000000100000000 0000000000200001 "
			"0000000000200000 00000000 0000000000000000 " },
		{ RECV_EARLY_FORMAT, HEAD EARLY_HEAD "0000000100000000 0000000000200000 "
			"0000000000000001 00000000 0000000000000000 " },
		{ RECV_EARLY_FORMAT, HEAD EARLY_HEAD "0000000100000000 0000000000600000 "
			"0000000000300000 00000000 0000000000000000 " },
		{ RECV_EARLY_FORMAT, HEAD EARLY_HEAD "0000000100000000 0000000000200000 "
			"0000000000200000 00000000 0000000000400000 " },
		{ RECV_SECTION_FOOTER, HEAD EARLY_HEAD EARLY_64 "0000000000000001 7e 00000006 " },
		{ RECV_SECTION_FOOTER, HEAD EARLY_HEAD EARLY_65 "0000000000000001 7e 00000005 "
			"000000 0000000000 " },
		{ RECV_SECTION_FOOTER, HEAD SETUP LIST END "7e 00000002 " },
		{ RECV_SECTION_FOOTER, START PART END "02 00000001 " },
		{ RECV_RAM_FORMAT, HEAD "01 00000001 03 'ram' 00000000 00000005 " },
		{ RECV_RAM_FORMAT, HEAD "01 00000001 03 'ram' 00000001 00000004 " },
		{ RECV_RAM_TWICE, START SETUP },
		{ RECV_RAM_TWICE, RAM SETUP },
		{ RECV_RAM_ENDED, RAM PART },
		{ RECV_RAM_UNENDED, START FINISH },
		{ RECV_RAM_UNENDED, HEAD FINISH },
		{ RECV_RECORD, START PART "0000000000001006 " },
		{ RECV_RECORD, START PART "0000000000000000 " },
		{ RECV_RECORD, START PART "0000000000000030 " },
		{ RECV_RECORD_UNSUPPORTED, START PART "0000000000001040 " },
		{ RECV_RECORD_UNSUPPORTED, START PART "0000000000001080 " },
		{ RECV_RECORD_UNSUPPORTED, START PART "0000000000001120 " },
		{ RECV_RECORD_CONTINUE, START PART ZERO_AGAIN },
		{ RECV_ZERO_FILL, START PART "0000000000001002 04 'ram0' 01 " },
		{ RECV_IDSTR, START PART "0000000000001002 04 'ram1' 00 " },
		{ RECV_IDSTR, HEAD SETUP "0000000000005004 04 'ram1' 0000000000004000 " },
		{ RECV_OFFSET_RANGE, START PART "0000000000001002 01 'b' 00 " },
		{ RECV_OFFSET_RANGE, START PART "0000000000004008 04 'ram0' " },
		{ RECV_OFFSET_RANGE, START PART "fffffffffffff002 01 'b' 00 " },
		{ RECV_BLOCKS_LATE, HEAD SETUP ZERO },
		{ RECV_BLOCKS_TWICE, START PART LIST },
		{ RECV_BLOCKS_TOTAL, HEAD SETUP "0000000000003004 " RAM0 },
		{ RECV_BLOCKS_ABSENT, HEAD SETUP "0000000000004004 " RAM0 },
		{ RECV_BLOCKS_ABSENT, HEAD SETUP "0000000000000004 " },
		{ RECV_BLOCKS_NONE, HEAD SETUP END },
		{ RECV_BLOCK_TWICE, HEAD SETUP "0000000000009004 " RAM0 RAM0 },
		{ RECV_BLOCK_LENGTH, HEAD SETUP "0000000000005004 04 'ram0' 0000000000003000 " },
		{ RECV_BLOCK_LENGTH, HEAD SETUP "0000000000005004 04 'ram0' 0000000000005000 " },
		{ RECV_BLOCK_LENGTH, HEAD SETUP "0000000000005004 04 'ram0' 0000000000000000 " },
		{ RECV_FLUSH_LATE, START PART FLUSH },
		{ RECV_DESCRIPTION, RAM "00 07 " },
		{ RECV_TRAILING, RAM FINISH "00 " },
		{ RECV_DEVICE_END, RAM DEVICE },
		{ RECV_DEVICE_END, RAM DEVICE "00 06 00000003 '{}' " },
		{ RECV_DEVICE_END, RAM DEVICE FINISH "00 " },
		{ RECV_DEVICE_END, RAM DEVICE "00 06 00000002 '{]' " },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_main(cases[i].check, cases[i].text, 0);
	expect_main(RECV_FLUSH, START PART, 10);
	expect_main(RECV_FLUSH, ROUND_START PART, 7);
}

/* What is told on the return path, in the end not by the parser. */
static void expect_replies(const char *text, unsigned int acknowledge, const char *replies)
{
	struct mfd_error err = { .size = sizeof(err) };
	uint8_t bytes[256];
	size_t piece;

	source.acknowledge = acknowledge;
	for (piece = 1; piece < 1000; piece += 111) {
		if (run_main(text, 0, piece, &err))
			fail_msg("%s", err.text);
		assert_int_equal(source.size, bytes_of(replies, bytes, sizeof(bytes)));
		assert_memory_equal(source.said, bytes, source.size);
	}
	source.acknowledge = false;
}

#define PONG		"0002 0004 deadbeef "
#define ACK		"0007 0000 "
#define ROUNDS		SETUP LIST FLUSH END FOOTER LAST FLUSH END FOOTER
#define SECTIONS	SETUP LIST END FOOTER LAST END FOOTER

TEST(return_path)
{
	expect_replies(HEAD OPEN PING SECTIONS FINISH, false, PONG);
	expect_replies(HEAD OPEN PING SECTIONS FINISH, true, PONG ACK);
	expect_replies(HEAD OPEN PING ROUNDS FINISH, false, PONG);
	expect_replies(HEAD OPEN OPEN ROUNDS PING FINISH, true, ACK PONG);
	/* without one, nobody listens */
	expect_replies(HEAD ROUNDS FINISH, true, "");
}

/* The source waits for an answer, and so does not end its connection. */
TEST(ends_that_are_no_end_of_the_connection)
{
	struct mfd_error err = { .size = sizeof(err) };
	int ret;

	source.open = true;
	expect_replies(HEAD OPEN SECTIONS FINISH, false, "");
	expect_replies(HEAD OPEN SECTIONS DEVICE DEVICE FINISH, false, "");
	ret = run_main(HEAD OPEN SECTIONS FINISH "00 ", 0, SIZE_MAX, &err);
	assert_refused(RECV_TRAILING, "main connection, byte ", ret, &err);
	ret = run_main(HEAD OPEN SECTIONS FINISH "00 ", 0, 1, &err);
	assert_refused(RECV_TRAILING, "main connection, byte ", ret, &err);
	ret = run_main(HEAD OPEN SECTIONS DEVICE FINISH "00 ", 0, 1, &err);
	assert_refused(RECV_DEVICE_END, "main connection, byte ", ret, &err);
	/* what looks like the end within a device is none, since more is there */
	expect_replies(HEAD OPEN SECTIONS DEVICE "04 00000003 01 'd' 00000000 00000001 "
		       FINISH "7e 00000003 " FINISH, false, "");
	source.open = false;
}

/* It is handed over to the byte, wherever it is, and then the rest. */
TEST(early_sections)
{
	static const char early[] = EARLY_HEAD EARLY_64 "00000000000000ff " EARLY_FOOTER,
		larger[] = EARLY_HEAD EARLY_65 "7e000000057e0000 057e000000057e00 " EARLY_FOOTER;
	struct mfd_error err = { .size = sizeof(err) };
	uint8_t expected[1024];
	char *text, *told;
	size_t piece;

	assert_true(asprintf(&text, "%s%s%s%s%s%s", HEAD, early, SETUP LIST END FOOTER, larger,
			     LAST END FOOTER, DEVICE FINISH) > 0);
	assert_true(asprintf(&told, "%s%s%s", early, larger, DEVICE FINISH) > 0);
	for (piece = 1; piece < 1000; piece += 111) {
		if (run_main(text, 0, piece, &err))
			fail_msg("%s", err.text);
		assert_int_equal(devices.size, bytes_of(told, expected, sizeof(expected)));
		assert_memory_equal(devices.bytes, expected, devices.size);
	}
	free(text);
	free(told);
}

/* Who is refused is told what it is that the source wants. */
TEST(wants_are_called_by_their_names)
{
	static const struct { const char *text, *name; } wants[] = {
		{ HEAD "08 0003 0010 ", "capability postcopy-ram" },
		{ START "08 0007 0004 ", "postcopy" },
		{ START "08 0008 0000 ", "COLO" },
		{ START "08 0009 0000 ", "resume postcopy" },
		{ START "08 000a 0005 ", "resume postcopy" },
		{ START "08 000c 0000 ", "unknown, command 12" },
		{ START "01 00000003 0c 'dirty-bitmap' 00000000 00000001 ",
		  "capability dirty-bitmaps" },
		{ START "01 00000003 06 'a/vfio' 00000000 00000001 ", "precopy" },
		{ START PART "0000000000001001 ", "flags 0x1" },
		{ START PART "0000000000001040 ", "capability xbzrle" },
		{ START PART "0000000000001080 ", "RDMA" },
		{ START PART "0000000000001100 ", "capability compress" },
	};
	struct mfd_error err = { .size = sizeof(err) };
	size_t i;

	for (i = 0; i < sizeof(wants) / sizeof(*wants); i++) {
		assert_int_equal(run_main(wants[i].text, 0, SIZE_MAX, &err), -EPROTO);
		if (!strstr(err.text, wants[i].name))
			fail_msg("'%s' is not in '%s'", wants[i].name, err.text);
	}
}

TEST(plain_pages)
{
	struct mfd_error err = { .size = sizeof(err) };
	char *text, page[2 * PAGE + 1];

	memset(page, '7', sizeof(page));
	page[2 * PAGE] = '\0';
	assert_true(asprintf(&text, "%s%s%s", ROUND_START PART "0000000000001008 04 'ram0' ", page,
			     FLUSH END FOOTER LAST END FOOTER FINISH) > 0);
	assert_int_equal(run_main(text, 0, 1000, &err), 0);
	assert_memory_equal(ram0 + PAGE, "wwww", 4);
	assert_memory_equal(ram0 + 2 * PAGE - 4, "wwww", 4);
	assert_int_equal(ram0[PAGE - 1], 0);
	assert_int_equal(ram0[2 * PAGE], 0);
	free(text);
	/* and then the same page is zero */
	assert_true(asprintf(&text, "%s%s%s", ROUND_START PART "0000000000001008 04 'ram0' ", page,
			     FLUSH END FOOTER LAST "0000000000001022 00 " END FOOTER FINISH) > 0);
	assert_int_equal(run_main(text, 0, 1000, &err), 0);
	assert_int_equal(ram0[PAGE], 0);
	assert_int_equal(ram0[2 * PAGE - 1], 0);
	free(text);
}

/* However it is cut off, it is not complete. */
TEST(main_connection_ends_early)
{
	struct mfd_error err = { .size = sizeof(err) };
	uint8_t bytes[1024];
	size_t size = bytes_of(RAM FINISH, bytes, sizeof(bytes));
	int ret;

	assert_int_equal(run_bytes(bytes, size, 0, SIZE_MAX, &err), 0);
	while (size--) {
		ret = run_bytes(bytes, size, 0, SIZE_MAX, &err);
		assert_refused(RECV_MAIN_EOF, "main connection, byte ", ret, &err);
	}
}

/* The rules about how connections go together are in test_recv_peer.c. */
TEST(no_rule_is_forgotten)
{
	static const enum mfd_recv_check peers[] = {
		RECV_HANDSHAKE, RECV_CHANNEL_TWICE, RECV_MAIN_TWICE, RECV_CONNECTIONS,
		RECV_SYNC_MISSING, RECV_SYNC_EXTRA, RECV_DEAF,
	};
	size_t i;

	for (i = 0; i < sizeof(peers) / sizeof(*peers); i++)
		tried[peers[i]] = true;
	for (i = 0; i < RECV_NR_CHECKS; i++)
		if (!tried[i])
			fail_msg("no test of the rule: %s", mfd_recv_check_text(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_packets_arrive),
		cmocka_unit_test(pages_become_zero),
		cmocka_unit_test(headers),
		cmocka_unit_test(a_name_without_an_end),
		cmocka_unit_test(a_size_without_pages),
		cmocka_unit_test(ends_inside_a_packet),
		cmocka_unit_test(payloads),
		cmocka_unit_test(first_messages),
		cmocka_unit_test(good_streams),
		cmocka_unit_test(main_connection),
		cmocka_unit_test(return_path),
		cmocka_unit_test(ends_that_are_no_end_of_the_connection),
		cmocka_unit_test(early_sections),
		cmocka_unit_test(wants_are_called_by_their_names),
		cmocka_unit_test(plain_pages),
		cmocka_unit_test(main_connection_ends_early),
		cmocka_unit_test(no_rule_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
