// SPDX-License-Identifier: GPL-2.0-only
/* mfddemo: the state of KVM's guest as sections, and back. */
#include "unit.h"

#include "demo/state.c"

/* --- what a session would send */

static uint8_t sent[2 * sizeof(struct state) + 1024];
static size_t sent_size;
static uint32_t sections;

static void put(const void *data, size_t size)
{
	assert_true(size <= sizeof(sent) - sent_size);
	memcpy(sent + sent_size, data, size);
	sent_size += size;
}

static void put_8(uint8_t value)
{
	put(&value, 1);
}

static void put_32(uint32_t value)
{
	value = htonl(value);
	put(&value, sizeof(value));
}

int mfd_device_section(struct mfd_session *session, const char *idstr, uint32_t instance,
		       uint32_t version, const void *data, size_t size, struct mfd_error *err)
{
	(void)session, (void)err;
	put_8(0x04);
	put_32(++sections);
	put_8(strlen(idstr));
	put(idstr, strlen(idstr));
	put_32(instance);
	put_32(version);
	put(data, size);
	put_8(0x7e);
	put_32(sections);
	return 0;
}

/* --- tests */

static struct state filled(void)
{
	struct state state = { .msrs.nr = STATE_MSRS, .tsc.nr = 1 };
	unsigned int i;
	size_t at;

	for (i = 0; i < NR_PARTS; i++)
		for (at = 0; at < parts[i].size; at++)
			((uint8_t *)&state)[parts[i].at + at] = unit_random();
	return state;
}

static void send_all(const struct state *state)
{
	sent_size = sections = 0;
	assert_int_equal(state_send(state, NULL, NULL), 0);
}

static int take_first(size_t size, struct state *state, struct mfd_error *err)
{
	*err = (struct mfd_error){ .size = sizeof(*err) };
	/* so that the sanitizer sees what is read behind it */
	uint8_t *copy = malloc(size ? size : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, sent, size);
	ret = state_take(state, copy, size, err);
	free(copy);
	return ret;
}

/* It may come in pieces that end anywhere. */
TEST(any_piece)
{
	struct state state = filled(), got;
	struct mfd_error err;
	size_t size;
	unsigned int i;

	send_all(&state);
	put_8(0);
	put("{}", 2);
	for (size = 0; size < sent_size - 2; size++)
		assert_int_equal(take_first(size, &got, &err), 0);
	for (; size <= sent_size; size++) {
		memset(&got, 0, sizeof(got));
		assert_int_equal(take_first(size, &got, &err), 1);
		for (i = 0; i < NR_PARTS; i++)
			assert_memory_equal((char *)&got + parts[i].at,
					    (char *)&state + parts[i].at, parts[i].size);
	}
}

static void refused(const char *why)
{
	struct state got;
	struct mfd_error err;

	if (take_first(sent_size, &got, &err) != -EPROTO || !strstr(err.text, why))
		fail_msg("'%s' was expected, not '%s'", why, err.text);
}

/* Each byte that is not a part's data says something that must be right. */
TEST(wrong_bytes)
{
	struct state state = filled(), got;
	size_t at, head, all;
	struct mfd_error err;
	unsigned int i;

	send_all(&state);
	put_8(0);
	all = sent_size;
	for (at = i = 0; i < NR_PARTS; i++) {
		/* without its id, which may be any */
		head = 1 + 4 + 1 + strlen(parts[i].idstr) + 4 + 4 + 4;
		for (size_t byte = 0; byte < head; byte++) {
			if (byte >= 1 && byte < 5)
				continue;
			sent[at + byte] ^= 0x40;
			assert_true(take_first(all, &got, &err) <= 0);
			if (byte + 12 >= head)
				refused("not mfddemo's");
			sent[at + byte] ^= 0x40;
		}
		at += head + parts[i].size;
		for (size_t byte = 0; byte < 5; byte++) {
			sent[at + byte] ^= 0x40;
			refused("does not end");
			sent[at + byte] ^= 0x40;
		}
		at += 5;
	}
	assert_int_equal(at + 1, all);
	assert_int_equal(take_first(all, &got, &err), 1);
}

TEST(missing_and_doubled)
{
	struct state state = filled();

	sent_size = sections = 0;
	put_8(0);
	refused("is missing");
	send_all(&state);
	sent_size -= parts[NR_PARTS - 1].size + strlen(parts[NR_PARTS - 1].idstr) + 23;
	put_8(0);
	refused("is missing");
	send_all(&state);
	assert_int_equal(state_send(&state, NULL, NULL), 0);
	refused("not mfddemo's");
	send_all(&state);
	put_8(0x01);
	refused("something else");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_piece),
		cmocka_unit_test(wrong_bytes),
		cmocka_unit_test(missing_and_doubled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
