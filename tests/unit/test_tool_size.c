// SPDX-License-Identifier: GPL-2.0-only
/* Sizes and rates, as people write them. */
#include "unit.h"

#include "size.h"

TEST(sizes)
{
	assert_int_equal(size_parse("4096"), 4096);
	assert_int_equal(size_parse("4K"), 4096);
	assert_int_equal(size_parse("64m"), 64 << 20);
	assert_int_equal(size_parse("64M"), 64 << 20);
	assert_int_equal(size_parse("64Mi"), 64 << 20);
	assert_int_equal(size_parse("64MiB"), 64 << 20);
	assert_int_equal(size_parse("1.5G"), 3ull << 29);
	assert_int_equal(size_parse("2T"), 2ull << 40);
	/* exactly, also where a double is not */
	assert_int_equal(size_parse("9007199254745088"), 9007199254745088ull);
	assert_int_equal(size_parse("9223372036854771712"), 9223372036854771712ull);
}

TEST(no_sizes)
{
	static const char *const texts[] = {
		"", "M", "0", "4095", "1.5", "1K", "64MB", "64MiBs", "64M ", " 64M", "+64M", "-64M",
		"64X", "1e6", "0x1000", ".5G", "1.G", "inf", "nan", "8388608T", "99999999999999999999",
		"64i", "64iB", "64B",
	};
	unsigned int i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (size_parse(texts[i]))
			fail_msg("'%s' is %ju", texts[i], (uintmax_t)size_parse(texts[i]));
}

TEST(rates)
{
	assert_true(rate_parse("0") == 0);
	assert_true(rate_parse("1000") == 1000);
	assert_true(rate_parse("100M") == 1e8);
	assert_true(rate_parse("100m") == 1e8);
	assert_true(rate_parse("1.5Gi") == 1.5 * (1 << 30));
	assert_true(rate_parse("250kB/s") == 250000);
	assert_true(rate_parse("250KB") == 250000);
	assert_true(rate_parse("5B/s") == 5);
	assert_true(rate_parse("5/s") == 5);
	assert_true(rate_parse("1TiB/s") == 1099511627776.0);
}

TEST(no_rates)
{
	static const char *const texts[] = {
		"", "fast", "M", "-1", "1e3", "1MM", "1M/m", "1iB", "1 M", "1M/s/s", "1/sB",
	};
	unsigned int i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (rate_parse(texts[i]) >= 0)
			fail_msg("'%s' is %f", texts[i], rate_parse(texts[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(no_sizes),
		cmocka_unit_test(rates),
		cmocka_unit_test(no_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
