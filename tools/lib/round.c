// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rounds: what is handed over between one SYNC and the next. */
#include <errno.h>

#include <linux/multifd_zp.h>

#include "block.h"
#include "error.h"
#include "job.h"
#include "main_conn.h"
#include "session.h"
#include "sized.h"

_Static_assert((int)MFD_SEND_FRESH == MZP_SEND_FRESH, "flags");
_Static_assert(sizeof(struct mfd_range) == sizeof(struct mzp_range), "range");

/*
 * A whole block is handed over in jobs of this many pages (4 GiB), so that the
 * zero bitmap stays small, and zero pages are announced while the round goes on.
 */
#define PAGES_PER_JOB	(1u << 20)

static int expect_connected(struct mfd_session *session, struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_CONNECTED, "sending pages", err);

	if (!ret && session->ram_ended)
		ret = mfd_error_set(err, EINVAL,
				    "sending pages: the state of devices has been sent, which comes behind RAM");
	return ret;
}

static int expect_block(struct mfd_block *block, unsigned int flags, struct mfd_error *err)
{
	if (!block)
		return mfd_error_set(err, EINVAL, "sending pages: there is no block");
	if (flags & ~MFD_SEND_FRESH)
		return mfd_error_set(err, EINVAL, "sending pages: unknown flags 0x%x", flags);
	return expect_connected(block->session, err);
}

/* Is this an error of an argument, or of the moment? Then nothing was handed over. */
static bool harmless(int ret)
{
	switch (-ret) {
	case EINVAL:
	case ERANGE:
	case EFAULT:
	case ENOMEM:
		return true;
	}
	return false;
}

static void open_round(struct mfd_session *session)
{
	if (session->round_open)
		return;
	session->round_open = true;
	session->round_started = mfd_now();
}

static int send_job(struct mfd_block *block, struct mzp_send *send, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret;

	ret = mfd_job_send(block, send, &why);
	if (!ret)
		open_round(block->session);
	if (harmless(ret))
		return mfd_session_refuse(ret, &why, err);
	return mfd_session_result(block->session, ret, &why, err);
}

int mfd_send_all(struct mfd_block *block, unsigned int flags, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	uint64_t pages, first;
	int ret = expect_block(block, flags, err);

	if (ret)
		return ret;
	pages = mfd_block_pages(block);
	for (first = 0; !ret && first < pages; first += PAGES_PER_JOB) {
		struct mzp_send send = {
			.flags = flags,
			.format = MZP_SEND_ALL,
			.first_page = first,
			.page_count = pages - first < PAGES_PER_JOB ? pages - first :
								      PAGES_PER_JOB,
		};

		ret = send_job(block, &send, &why);
		/* a part of it has been handed over, and the caller cannot know which */
		if (ret && first)
			return mfd_session_result(block->session, ret, &why, err);
	}
	return mfd_session_refuse(ret, &why, err);
}

int mfd_send_bitmap(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
		    const uint64_t *bitmap, unsigned int flags, struct mfd_error *err)
{
	struct mzp_send send = {
		.flags = flags,
		.format = MZP_SEND_BITMAP,
		.first_page = first_page,
		.page_count = page_count,
		.input = (uintptr_t)bitmap,
	};
	int ret = expect_block(block, flags, err);

	if (ret || !page_count)
		return ret;
	if (first_page + page_count < page_count || first_page + page_count > mfd_block_pages(block))
		return mfd_error_set(err, ERANGE,
				     "block %.64s: a bitmap for pages beyond its end", block->idstr);
	return send_job(block, &send, err);
}

/*
 * The part of the block that @ranges lie in: the module keeps a bitmap as long as
 * that for each job whose zero pages it has to tell. If they do not lie in it, it
 * is all of the block, and the module says what is wrong.
 */
static void set_window(struct mzp_send *send, const struct mfd_block *block,
		       const struct mfd_range *ranges, uint32_t nr_ranges)
{
	uint64_t page = block->session->page_size;
	uint64_t start = ranges[0].start - send->ranges_base;
	uint64_t end = ranges[nr_ranges - 1].end - send->ranges_base;

	send->page_count = block->length / page;
	if (start >= end || end > block->length)
		return;
	send->first_page = start / page;
	send->page_count = (end + page - 1) / page - send->first_page;
}

int mfd_send_ranges(struct mfd_block *block, const struct mfd_range *ranges,
		    uint32_t nr_ranges, uint64_t base, unsigned int flags,
		    struct mfd_error *err)
{
	struct mzp_send send = {
		.flags = flags,
		.format = MZP_SEND_RANGES,
		.input = (uintptr_t)ranges,
		.nr_ranges = nr_ranges,
		.ranges_base = base,
	};
	int ret = expect_block(block, flags, err);

	if (ret || !nr_ranges)
		return ret;
	if (!ranges)
		return mfd_error_set(err, EINVAL, "sending pages: there are no ranges");
	set_window(&send, block, ranges, nr_ranges);
	return send_job(block, &send, err);
}

static int finish_round(struct mfd_session *session, struct mfd_error *err)
{
	int ret = mfd_job_sync(session, true, err);

	if (!ret)
		ret = mfd_jobs_wait(session, err);
	return ret || !mfd_has_main(session) ? ret : mfd_main_round(session, err);
}

static void count_round(struct mfd_session *session, struct mfd_round *round)
{
	struct mfd_progress base = session->round_base, now = { .size = sizeof(now) };
	struct mfd_round own;

	session->rounds++;
	mfd_progress(session, &now);
	session->round_base = now;
	own = (struct mfd_round) {
		.number = now.rounds,
		.pages = now.submitted - base.submitted,
		.normal = now.normal - base.normal,
		.zero = now.zero - base.zero,
		.absent = now.absent - base.absent,
		.bytes = now.bytes - base.bytes,
		.ns = mfd_now() - session->round_started,
	};
	session->last_round = own;
	if (round)
		mfd_sized_give(round, &own, sizeof(own));
}

int mfd_round_finish(struct mfd_session *session, struct mfd_round *round,
		     struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = expect_connected(session, err);

	if (ret)
		return ret;
	open_round(session);
	ret = mfd_session_result(session, finish_round(session, &why), &why, err);
	if (ret)
		return ret;
	count_round(session, round);
	session->round_open = false;
	return 0;
}
