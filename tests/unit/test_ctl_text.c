// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl: numbers and names as people read and write them. */
#include "unit.h"

#include <errno.h>

#include "ctl/text.h"
#include "error.h"

#define S 1000000000ull

TEST(rates)
{
	static const struct {
		const char *text;
		uint64_t rate;
	} right[] = {
		{ "none", 0 }, { "1", 1 }, { "1000", 1000 }, { "500k", 500000 }, { "500K", 500000 },
		{ "1Ki", 1024 }, { "100M", 100000000 }, { "1.5G", 1500000000 },
		{ "1.5Gi", 1610612736 }, { "2T", 2000000000000 }, { "1Ti", 1ull << 40 },
		{ "10MB", 10000000 }, { "10MiB/s", 10 << 20 }, { "10M/s", 10000000 },
		{ "7B/s", 7 }, { "0.001M", 1000 }, { "18000000T", 18000000000000000000ull },
	};
	static const char *const wrong[] = {
		"", "0", "0.5", "-1", "+1", " 1", "1 ", "1e3", "0x10", "inf", "nan", "1.", ".5",
		"1.2.3", "5x", "1MM", "1iM", "1Mb", "1M/m", "1M/s/s", "M", "None", "i", "1i",
		"20000000T", "99999999999999999999999", "1,5M",
	};
	struct mfd_error err = { .size = sizeof(err) };
	uint64_t rate;
	size_t i;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(ctl_parse_rate(right[i].text, &rate, &err), 0);
		assert_int_equal(rate, right[i].rate);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		err.text[0] = '\0';
		if (ctl_parse_rate(wrong[i], &rate, &err) != -EINVAL || !err.text[0])
			fail_msg("'%s' was taken for a rate, %ju", wrong[i], (uintmax_t)rate);
	}
}

TEST(ids_and_seconds)
{
	struct mfd_error err = { .size = sizeof(err) };
	double seconds;
	uint64_t id;

	assert_int_equal(ctl_parse_id("0", &id, &err), 0);
	assert_int_equal(ctl_parse_id("18446744073709551615", &id, &err), 0);
	assert_true(id == UINT64_MAX);
	assert_int_equal(ctl_parse_id("18446744073709551616", &id, &err), -EINVAL);
	assert_int_equal(ctl_parse_id("", &id, &err), -EINVAL);
	assert_int_equal(ctl_parse_id("-1", &id, &err), -EINVAL);
	assert_int_equal(ctl_parse_id("1x", &id, &err), -EINVAL);

	assert_int_equal(ctl_parse_seconds("-d", "0.1", &seconds, &err), 0);
	assert_int_equal(ctl_parse_seconds("-d", "86400", &seconds, &err), 0);
	assert_int_equal(ctl_parse_seconds("-d", "0.05", &seconds, &err), -EINVAL);
	assert_int_equal(ctl_parse_seconds("-d", "86401", &seconds, &err), -EINVAL);
	assert_int_equal(ctl_parse_seconds("-d", "1s", &seconds, &err), -EINVAL);
	assert_int_equal(ctl_parse_seconds("-d", "inf", &seconds, &err), -EINVAL);
}

TEST(numbers)
{
	assert_string_equal(ctl_bytes(0).s, "0 B");
	assert_string_equal(ctl_bytes(999).s, "999 B");
	assert_string_equal(ctl_bytes(1000).s, "1.00 kB");
	assert_string_equal(ctl_bytes(9994).s, "9.99 kB");
	assert_string_equal(ctl_bytes(9996).s, "10.0 kB");
	assert_string_equal(ctl_bytes(99960).s, "100 kB");
	assert_string_equal(ctl_bytes(999499).s, "999 kB");
	assert_string_equal(ctl_bytes(999500).s, "1.00 MB");
	assert_string_equal(ctl_bytes(1.5e12).s, "1.50 TB");
	assert_string_equal(ctl_bytes(18446744073709551615.0).s, "18.4 EB");
	assert_string_equal(ctl_number(0).s, "0");
	assert_string_equal(ctl_number(9999).s, "9999");
	assert_string_equal(ctl_number(9999.7).s, "10.0 k");
	assert_string_equal(ctl_number(12345678).s, "12.3 M");
	assert_string_equal(ctl_count(1, "page").s, "1 page");
	assert_string_equal(ctl_count(0, "page").s, "0 pages");

	/* all and nothing are not said lightly */
	assert_string_equal(ctl_percent(0, 1000).s, "0%");
	assert_string_equal(ctl_percent(1, 1000).s, "<1%");
	assert_string_equal(ctl_percent(500, 1000).s, "50%");
	assert_string_equal(ctl_percent(999, 1000).s, ">99%");
	assert_string_equal(ctl_percent(1000, 1000).s, "100%");
	assert_string_equal(ctl_percent(0, 0).s, "-");
}

TEST(durations)
{
	assert_string_equal(ctl_duration(0).s, "0.000 s");
	assert_string_equal(ctl_duration(123456789).s, "0.123 s");
	assert_string_equal(ctl_duration(S - 1).s, "0.999 s");
	assert_string_equal(ctl_duration(S).s, "1.0 s");
	assert_string_equal(ctl_duration(60 * S - 1).s, "59.9 s");
	assert_string_equal(ctl_duration(60 * S).s, "1 min 00 s");
	assert_string_equal(ctl_duration(3600 * S - 1).s, "59 min 59 s");
	assert_string_equal(ctl_duration(3600 * S).s, "1 h 00 min");
	assert_string_equal(ctl_duration(24 * 3600 * S - 1).s, "23 h 59 min");
	assert_string_equal(ctl_duration(51 * 3600 * S).s, "2 d 03 h");
	assert_string_equal(ctl_duration(UINT64_MAX).s, "213503 d 23 h");
}

static const char *utf8(const char *from, size_t room)
{
	static char to[64];

	memset(to, 'x', sizeof(to));
	ctl_utf8(to, room, from, strlen(from));
	assert_true(strlen(to) < room);
	return to;
}

TEST(text_becomes_utf8)
{
	assert_string_equal(utf8("qemu", 16), "qemu");
	assert_string_equal(utf8("k\xc3\xa4se \xe2\x82\xac \xf0\x9f\x90\xa7", 32),
			    "k\xc3\xa4se \xe2\x82\xac \xf0\x9f\x90\xa7");
	/* cut off, alone, too long, a surrogate, too large */
	assert_string_equal(utf8("a\xe2\x82", 32), "a\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(utf8("\xa4z", 32), "\xef\xbf\xbdz");
	assert_string_equal(utf8("\xc0\x80", 32), "\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(utf8("\xed\xa0\x80", 32), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(utf8("\xf4\x90\x80\x80", 32),
			    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	/* never half a character */
	assert_string_equal(utf8("ab\xe2\x82\xac", 5), "ab");
	assert_string_equal(utf8("ab\xe2\x82\xac", 6), "ab\xe2\x82\xac");
	assert_string_equal(utf8("abc", 1), "");
}

static const char *put(const char *text, unsigned int width)
{
	static char out[128];
	FILE *to = fmemopen(out, sizeof(out), "w");

	ctl_put(to, text, width);
	fputc('\0', to);
	fclose(to);
	return out;
}

TEST(foreign_text_does_nothing_to_the_terminal)
{
	assert_string_equal(put("qemu-system", 0), "qemu-system");
	assert_string_equal(put("a\033[2Jb\r\n\tc\x7f", 0), "a?[2Jb???c?");
	/* CSI as one character of C1 */
	assert_string_equal(put("\xc2\x9b" "2J", 0), "?2J");
	assert_string_equal(put("k\xc3\xa4se", 3), "k\xc3\xa4s");
	assert_string_equal(put("k\xc3\xa4", 5), "k\xc3\xa4   ");
	assert_string_equal(put("\xff\xfe", 0), "??");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(ids_and_seconds),
		cmocka_unit_test(numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(text_becomes_utf8),
		cmocka_unit_test(foreign_text_does_nothing_to_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
