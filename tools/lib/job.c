// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Jobs: what the module has been asked to do and nobody has waited for yet.
 *
 * Zero pages of legacy detection are announced on the main connection when the
 * job that found them is waited for. This keeps a page's zero record and its
 * contents in the right order for the following reason. Let F(n) be the place
 * in the main connection where the destination waits for the SYNC of round n on
 * all channels; the channels stop at that SYNC until the main connection is
 * past F(n). All jobs of round n are waited for between F(n - 1) and F(n), so
 * their records are there too.
 *
 *  - Contents of round n - 1 or older, then zero in round n: the contents are
 *    before the SYNC that the destination has waited for at F(n - 1), so they are
 *    in its memory before it reads the record.
 *  - Zero in round n, contents in round n + 1 or later: these are behind
 *    the SYNC of round n, where the channel stops until F(n), which is behind the
 *    record.
 *  - Within a round, a page is handed over once, so it is one or the other.
 *
 * Nor can it get stuck: when round n is waited for, F(n - 1) has been written
 * and flushed, the SYNC that it waits for is in the rings ahead of everything
 * of round n, and the pumps empty the rings whatever this thread does. If
 * writing a record blocks, the destination is still busy before F(n), and all
 * that it waits for there is on its way likewise.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "device.h"
#include "error.h"
#include "job.h"

struct mfd_job {
	struct mfd_job *next;
	struct mfd_block *block;	/* NULL: a SYNC */
	uint64_t id;
	uint64_t first_page;
	uint64_t page_count;
};

static bool wants_zero_bitmap(const struct mfd_job *job, const struct mfd_session *session)
{
	return job->block && session->params.detection == MFD_DETECTION_LEGACY;
}

static int grow_zero_bitmap(struct mfd_session *session, uint64_t words,
			    struct mfd_error *err)
{
	uint64_t *bitmap;

	if (words <= session->zero_words)
		return 0;
	bitmap = reallocarray(session->zero_bitmap, words, sizeof(*bitmap));
	if (!bitmap)
		return mfd_error_errno(err, ENOMEM, "bitmap of zero pages");
	session->zero_bitmap = bitmap;
	session->zero_words = words;
	return 0;
}

static int wait_for(struct mfd_session *session, struct mzp_wait *wait, struct mfd_error *err)
{
	int ret;

	while ((ret = mfd_device_call(session, MZP_IOC_WAIT, wait, err))) {
		if (ret != -ETIMEDOUT && ret != -EINTR)
			return ret;
		ret = mfd_session_check(session, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int job_error(const struct mfd_job *job, const struct mzp_wait *wait,
		     struct mfd_error *err)
{
	const char *why = wait->error == EFAULT ? "no readable memory there" :
			  wait->error == EHWPOISON ? "the memory is broken" : NULL;
	int code = wait->error;

	if (code == ECANCELED || !job->block || !wait->error_block)
		return mfd_error_errno(err, code, "the module's session has ended");
	if (why)
		mfd_error_set(err, code, "block %.64s, page at 0x%llx: %s", job->block->idstr,
			      (unsigned long long)wait->error_offset, why);
	else
		mfd_error_errno(err, code, "block %.64s, page at 0x%llx", job->block->idstr,
				(unsigned long long)wait->error_offset);
	mfd_error_of(err, MFD_ERROR_MEMORY);
	mfd_error_page(err, job->block->idstr, wait->error_offset);
	return -code;
}

static void announce_word(struct mfd_session *session, const struct mfd_job *job,
			  uint64_t first_page, uint64_t word)
{
	if (!session->stream.in_section)
		mfd_stream_section_begin(&session->stream, false);
	for (; word; word &= word - 1)
		mfd_stream_zero_page(&session->stream, job->block->idstr,
				     (first_page + __builtin_ctzll(word)) * session->page_size);
}

static void announce_zero_pages(struct mfd_session *session, const struct mfd_job *job)
{
	uint64_t i;

	for (i = 0; i < job->page_count; i += 64)
		if (session->zero_bitmap[i / 64])
			announce_word(session, job, job->first_page + i,
				      session->zero_bitmap[i / 64]);
}

/*
 * Failures and a cancel end the wait by themselves. Only progress, and a
 * destination that is silent for too long, have to be looked for.
 */
static unsigned int wait_ms(const struct mfd_session *session)
{
	return session->params.progress ? MFD_TICK_MS : MFD_LONG_TICK_MS;
}

static int finish_job(struct mfd_session *session, struct mfd_job *job,
		      struct mfd_error *err)
{
	struct mzp_wait wait = {
		.size = sizeof(wait),
		.job_id = job->id,
		.timeout_ns = wait_ms(session) * 1000000ll,
	};
	bool legacy = wants_zero_bitmap(job, session);
	uint64_t words = (job->page_count + 63) / 64;
	int ret;

	if (legacy) {
		ret = grow_zero_bitmap(session, words, err);
		if (ret)
			return ret;
		wait.zero_bitmap = (uintptr_t)session->zero_bitmap;
		wait.zero_bitmap_pages = words * 64;
	}
	ret = wait_for(session, &wait, err);
	if (ret)
		return ret;
	if (wait.error)
		return job_error(job, &wait, err);
	if (legacy && wait.zero + wait.absent)
		announce_zero_pages(session, job);
	return session->stream.failure.code ? mfd_stream_flush(&session->stream, err) : 0;
}

static void append(struct mfd_session *session, struct mfd_job *job)
{
	*session->jobs_end = job;
	session->jobs_end = &job->next;
}

static struct mfd_job *take_oldest(struct mfd_session *session)
{
	struct mfd_job *job = session->jobs;

	session->jobs = job->next;
	if (!session->jobs)
		session->jobs_end = &session->jobs;
	return job;
}

static int wait_oldest(struct mfd_session *session, struct mfd_error *err)
{
	struct mfd_job *job = take_oldest(session);
	int ret;

	ret = finish_job(session, job, err);
	free(job);
	return ret ? ret : mfd_session_check(session, err);
}

int mfd_jobs_wait(struct mfd_session *session, struct mfd_error *err)
{
	int ret = 0;

	while (!ret && session->jobs)
		ret = wait_oldest(session, err);
	return ret;
}

void mfd_jobs_forget(struct mfd_session *session)
{
	while (session->jobs)
		free(take_oldest(session));
}

/*
 * An ioctl that makes a job; as long as there are too many, wait for one. If that one has
 * failed, the migration has.
 */
static int call(struct mfd_session *session, unsigned long command, void *argument,
		struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret;

	while ((ret = mfd_device_call(session, command, argument, err)) == -EAGAIN &&
	       session->jobs) {
		ret = mfd_session_result(session, wait_oldest(session, &why), &why, err);
		if (ret)
			break;
	}
	return ret;
}

int mfd_job_send(struct mfd_block *block, struct mzp_send *send, struct mfd_error *err)
{
	struct mfd_session *session = block->session;
	struct mfd_job *job = calloc(1, sizeof(*job));
	int ret;

	if (!job)
		return mfd_error_errno(err, ENOMEM, "cannot send pages");
	send->size = sizeof(*send);
	send->block_id = block->id;
	ret = call(session, MZP_IOC_SEND, send, err);
	if (ret) {
		free(job);
		return ret;
	}
	job->block = block;
	job->id = send->job_id;
	job->first_page = send->first_page;
	job->page_count = send->page_count;
	append(session, job);
	return 0;
}

int mfd_job_sync(struct mfd_session *session, bool round, struct mfd_error *err)
{
	struct mzp_sync sync = { .size = sizeof(sync) };
	struct mfd_job *job = calloc(1, sizeof(*job));
	int ret;

	if (!job)
		return mfd_error_errno(err, ENOMEM, "cannot synchronise the channels");
	/* a module without it counts one more, which is no reason not to migrate */
	if (!round && session->info.features & MZP_FEATURE_NO_ROUND)
		sync.flags = MZP_SYNC_NO_ROUND;
	ret = call(session, MZP_IOC_SYNC, &sync, err);
	if (ret) {
		free(job);
		return ret;
	}
	job->id = sync.job_id;
	append(session, job);
	return 0;
}
