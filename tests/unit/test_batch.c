// SPDX-License-Identifier: GPL-2.0-only
/* kmod/batch.c: the partition, and who holds which reference. */
#include "unit.h"

#include "shim/kernel.h"
#include "batch.h"

static struct page *page_of(struct folio *folio, unsigned int n)
{
	get_page(&folio->page[n]);
	return &folio->page[n];
}

TEST(partition)
{
	struct mzp_batch batch = { 0 };
	struct folio *folio = shim_folio(MZP_WIRE_PAGES, 1);
	unsigned int i, normal = 0, zero = 0;

	for (i = 0; i < MZP_WIRE_PAGES; i++) {
		assert_int_equal(mzp_batch_pages(&batch), i);
		if (unit_random() % 2) {
			mzp_batch_add_zero(&batch, i * PAGE_SIZE);
			assert_int_equal(batch.zero[zero++], i * PAGE_SIZE);
		} else {
			mzp_batch_add_normal(&batch, i * PAGE_SIZE, page_of(folio, i));
			assert_int_equal(batch.normal[normal], i * PAGE_SIZE);
			assert_ptr_equal(batch.page[normal++], &folio->page[i]);
		}
	}
	assert_int_equal(batch.nr_normal, normal);
	assert_int_equal(batch.nr_zero, zero);
	assert_int_equal(folio->refs, 1 + normal);
	mzp_batch_drop(&batch);
	assert_int_equal(mzp_batch_pages(&batch), 0);
	assert_int_equal(folio->refs, 1);
	put_page(folio->page);
	assert_int_equal(shim_folios, 0);
}

/* The batch of normal pages that @pages names; -1 ends it. */
static void batch_of(struct mzp_batch *batch, struct folio **folio, const int (*pages)[2])
{
	unsigned int n = 0;

	memset(batch, 0, sizeof(*batch));
	for (; (*pages)[0] >= 0; pages++)
		mzp_batch_add_normal(batch, n++ * PAGE_SIZE,
				     page_of(folio[(*pages)[0]], (*pages)[1]));
}

TEST(buffers)
{
	/* { folio, page }: a run, a break, backwards, a repeat, another folio */
	static const int pages[][2] = {
		{ 0, 0 }, { 0, 1 }, { 0, 2 }, { 0, 4 }, { 0, 3 }, { 0, 3 }, { 1, 4 }, { 1, 5 },
		{ -1, -1 }
	};
	static const struct {
		int folio, page, pages;
	} expected[] = { { 0, 0, 3 }, { 0, 4, 1 }, { 0, 3, 1 }, { 0, 3, 1 }, { 1, 4, 2 } };
	struct folio *folio[2] = { shim_folio(8, 1), shim_folio(8, 2) };
	struct mzp_batch batch;
	struct bio_vec buf[8];
	unsigned int n, i;

	batch_of(&batch, folio, pages);
	assert_int_equal(folio[0]->refs, 1 + 6);
	n = mzp_batch_take_pages(&batch, buf);
	assert_int_equal(n, ARRAY_SIZE(expected));
	for (i = 0; i < n; i++) {
		assert_ptr_equal(buf[i].bv_page, &folio[expected[i].folio]->page[expected[i].page]);
		assert_int_equal(buf[i].bv_offset, 0);
		assert_int_equal(buf[i].bv_len, expected[i].pages * PAGE_SIZE);
	}
	/* one reference a buffer */
	assert_int_equal(folio[0]->refs, 1 + 4);
	assert_int_equal(folio[1]->refs, 1 + 1);
	/* offsets are still there for the header */
	assert_int_equal(batch.nr_normal, 8);
	for (i = 0; i < 8; i++)
		assert_int_equal(batch.normal[i], i * PAGE_SIZE);
	for (i = 0; i < n; i++)
		put_page(buf[i].bv_page);
	put_page(folio[0]->page);
	put_page(folio[1]->page);
	assert_int_equal(shim_folios, 0);
}

/* Neighbouring struct pages of different folios must not become one buffer. */
TEST(neighbours_in_different_folios)
{
	struct folio *whole = shim_folio(4, 1);
	struct folio other = { .refs = 1, .nr = 2 };
	struct mzp_batch batch = { 0 };
	struct bio_vec buf[4];
	unsigned int i;

	whole->page[2].folio = &other;
	whole->page[3].folio = &other;
	for (i = 0; i < 4; i++)
		mzp_batch_add_normal(&batch, i * PAGE_SIZE, page_of(whole, i));
	assert_int_equal(mzp_batch_take_pages(&batch, buf), 2);
	assert_int_equal(buf[0].bv_len, 2 * PAGE_SIZE);
	assert_int_equal(buf[1].bv_len, 2 * PAGE_SIZE);
	assert_int_equal(whole->refs, 2);
	assert_int_equal(other.refs, 2);
	put_page(buf[0].bv_page);
	put_page(whole->page);
	assert_int_equal(shim_folios, 0);
}

TEST(full_of_one_folio)
{
	struct folio *folio = shim_folio(MZP_WIRE_PAGES, 1);
	struct mzp_batch batch = { 0 };
	struct bio_vec buf[MZP_WIRE_PAGES];
	unsigned int i;

	for (i = 0; i < MZP_WIRE_PAGES; i++)
		mzp_batch_add_normal(&batch, i * PAGE_SIZE, page_of(folio, i));
	put_page(folio->page);
	assert_int_equal(mzp_batch_take_pages(&batch, buf), 1);
	assert_int_equal(buf[0].bv_len, MZP_WIRE_PAGES * PAGE_SIZE);
	assert_int_equal(shim_folios, 1);
	put_page(buf[0].bv_page);
	assert_int_equal(shim_folios, 0);
}

TEST(only_zero_pages)
{
	struct mzp_batch batch = { 0 };
	struct bio_vec buf;

	mzp_batch_add_zero(&batch, 0);
	assert_int_equal(mzp_batch_take_pages(&batch, &buf), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partition),
		cmocka_unit_test(buffers),
		cmocka_unit_test(neighbours_in_different_folios),
		cmocka_unit_test(full_of_one_folio),
		cmocka_unit_test(only_zero_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
