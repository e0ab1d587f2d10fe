// SPDX-License-Identifier: GPL-2.0-only
/* kmod/cursor.c against a list of the pages that are meant. */
#include "unit.h"

#include "cursor.h"

#define MAX_PAGES 5000

struct model {
	u64 pages[MAX_PAGES];
	unsigned int nr;
};

/* How many of the model's pages lie in @from to @to - 1. */
static u64 model_count(const struct model *model, u64 from, u64 to)
{
	unsigned int i;
	u64 n = 0;

	for (i = 0; i < model->nr; i++)
		n += model->pages[i] >= from && model->pages[i] < to;
	return n;
}

/*
 * A skip hands out pages from where the cursor is, none at or behind @to, at
 * least one if there is one; and the cursor moves over no others.
 */
static u64 skip_to(struct mzp_cursor *cursor, const struct model *model, u64 to)
{
	u64 before = cursor->next, n = mzp_cursor_skip(cursor, to);

	assert_int_equal(n, model_count(model, before, cursor->next));
	assert_int_equal(n, model_count(model, before, min(to, cursor->next)));
	assert_int_equal(!n, !model_count(model, before, to));
	return n;
}

/*
 * Take everything in portions of random size, now and then skipping a part:
 * exactly the model's pages.
 */
static void walk(struct mzp_cursor *cursor, const struct model *model)
{
	u64 end = cursor->window.first + cursor->window.count;
	unsigned int at = 0, n, want, i;
	u64 page[300], to;

	while (!mzp_cursor_done(cursor)) {
		if (unit_random() % 5 == 0) {
			to = cursor->next + unit_random() % 100;
			to = min(to, end);
			at += skip_to(cursor, model, to);
			assert_int_equal(mzp_cursor_done(cursor), at == model->nr);
			continue;
		}
		want = 1 + unit_random() % 300;
		memset(page, 0xff, sizeof(page));
		n = mzp_cursor_take(cursor, page, want);
		assert_int_equal(n, min(want, model->nr - at));
		for (i = 0; i < n; i++)
			assert_int_equal(page[i], model->pages[at + i]);
		for (; i < 300; i++)
			assert_int_equal(page[i], ~0ull);
		at += n;
		/* The end is known as soon as the last page is taken. */
		assert_int_equal(mzp_cursor_done(cursor), at == model->nr);
	}
	assert_int_equal(at, model->nr);
	assert_int_equal(mzp_cursor_take(cursor, page, 300), 0);
}

TEST(window)
{
	static struct model model;
	unsigned int i, round;

	for (round = 0; round < 200; round++) {
		struct mzp_cursor cursor = { 0 };

		cursor.window.first = unit_random() % 3 ? unit_random() % 100000 : 0;
		cursor.window.count = 1 + unit_random() % (MAX_PAGES - 1);
		cursor.next = cursor.window.first;
		model.nr = cursor.window.count;
		for (i = 0; i < model.nr; i++)
			model.pages[i] = cursor.window.first + i;
		walk(&cursor, &model);
	}
}

TEST(bitmap)
{
	static struct model model;
	unsigned int i, round;

	for (round = 0; round < 500; round++) {
		struct mzp_cursor cursor = { 0 };
		unsigned int odds = 1u << (unit_random() % 11);
		unsigned long *bits;

		cursor.window.first = unit_random() % 3 ? unit_random() % 100000 : 0;
		cursor.window.count = 1 + unit_random() % (MAX_PAGES - 1);
		cursor.next = cursor.window.first;
		/* as long as the window needs, so that reading on is seen */
		bits = calloc((cursor.window.count + 63) / 64, sizeof(*bits));
		assert_non_null(bits);
		model.nr = 0;
		for (i = 0; i < cursor.window.count; i++) {
			if (odds < 1024 && unit_random() % odds)
				continue;
			if (odds == 1024)
				break;
			bits[i / 64] |= 1ul << (i % 64);
			model.pages[model.nr++] = cursor.window.first + i;
		}
		cursor.bitmap = bits;
		walk(&cursor, &model);
		free(bits);
	}
}

TEST(spans)
{
	static struct model model;
	unsigned int round;

	for (round = 0; round < 500; round++) {
		struct mzp_cursor cursor = { 0 };
		u64 at, end, n, gap;
		struct mzp_span *span;
		unsigned int room = 1 + unit_random() % 60;

		cursor.window.first = unit_random() % 3 ? unit_random() % 100000 : 0;
		cursor.window.count = 1 + unit_random() % (MAX_PAGES - 1);
		cursor.next = cursor.window.first;
		at = cursor.window.first;
		end = at + cursor.window.count;
		span = calloc(room, sizeof(*span));
		assert_non_null(span);
		cursor.span = span;
		model.nr = 0;
		while (cursor.nr_spans < room) {
			gap = unit_random() % 3 ? unit_random() % 70 : 0;
			n = 1 + (unit_random() % 3 ? unit_random() % 200 : 0);
			if (at + gap + n > end)
				break;
			at += gap;
			span[cursor.nr_spans].first = at;
			span[cursor.nr_spans++].count = n;
			for (; n; n--)
				model.pages[model.nr++] = at++;
		}
		walk(&cursor, &model);
		free(span);
	}
}

TEST(last_page_of_the_address_space)
{
	struct mzp_cursor cursor = {
		.window = { .first = (1ull << 52) - 3, .count = 3 },
		.next = (1ull << 52) - 3,
	};
	u64 page[4];

	assert_int_equal(mzp_cursor_take(&cursor, page, 4), 3);
	assert_int_equal(page[2], (1ull << 52) - 1);
	assert_true(mzp_cursor_done(&cursor));
}

TEST(big_window_is_not_walked_to_be_skipped)
{
	struct mzp_cursor cursor = { .window = { .first = 5, .count = 1ull << 50 }, .next = 5 };
	struct mzp_span span[2] = { { 7, 1ull << 48 }, { 1ull << 49, 1ull << 49 } };
	u64 end = 5 + (1ull << 50);

	assert_int_equal(mzp_cursor_skip(&cursor, 1ull << 49), (1ull << 49) - 5);
	assert_int_equal(mzp_cursor_skip(&cursor, end), end - (1ull << 49));
	assert_true(mzp_cursor_done(&cursor));

	cursor.next = 5;
	cursor.span = span;
	cursor.nr_spans = 2;
	assert_int_equal(mzp_cursor_skip(&cursor, end), 1ull << 48);
	assert_int_equal(mzp_cursor_skip(&cursor, end), 1ull << 49);
	assert_true(mzp_cursor_done(&cursor));
}

/* Long empty stretches may end a call early, but neither pages nor the walk are lost. */
TEST(sparse_bitmap)
{
	const u64 pages = 70000000;
	struct mzp_cursor cursor = { .window = { .first = 3, .count = pages }, .next = 3 };
	static const u64 set[] = { 0, 1, 20000000, 20000001, 69999998 };
	unsigned int at = 0, n, i, calls = 0;
	u64 page[2];

	cursor.bitmap = calloc(pages / 64 + 1, 8);
	assert_non_null(cursor.bitmap);
	for (i = 0; i < ARRAY_SIZE(set); i++)
		cursor.bitmap[set[i] / 64] |= 1ul << (set[i] % 64);
	while (!mzp_cursor_done(&cursor)) {
		assert_in_range(++calls, 1, 1000);
		n = mzp_cursor_take(&cursor, page, 2);
		for (i = 0; i < n; i++)
			assert_int_equal(page[i], 3 + set[at++]);
	}
	assert_int_equal(at, ARRAY_SIZE(set));
	free(cursor.bitmap);
}

TEST(ended)
{
	struct mzp_cursor cursor = { .window = { .first = 10, .count = 20 }, .next = 10 };
	u64 page[8];

	assert_int_equal(mzp_cursor_take(&cursor, page, 8), 8);
	mzp_cursor_end(&cursor);
	assert_true(mzp_cursor_done(&cursor));
	assert_int_equal(mzp_cursor_take(&cursor, page, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window),
		cmocka_unit_test(bitmap),
		cmocka_unit_test(spans),
		cmocka_unit_test(last_page_of_the_address_space),
		cmocka_unit_test(big_window_is_not_walked_to_be_skipped),
		cmocka_unit_test(sparse_bitmap),
		cmocka_unit_test(ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
