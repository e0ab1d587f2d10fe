/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_SESSION_H
#define MFD_PRIVATE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <linux/multifd_zp.h>

#include "clock.h"
#include "link.h"
#include "mfd.h"
#include "return_path.h"
#include "stream.h"

struct mfd_pump;
struct mfd_job;

enum mfd_state { MFD_OPEN, MFD_SET_UP, MFD_CONNECTED, MFD_FINISHED };

/*
 * One migration. The thread that calls the library's functions owns everything
 * but what is said to be atomic or under the lock. Pumps, mfd_cancel,
 * mfd_progress and mfd_dirty_… come from other threads.
 *
 * The device's fd, the sockets and the array of pumps are only ever opened and
 * closed by the owner. It does so under the lock where others may be looking,
 * so that mfd_session_fail never acts on a number that means another file by
 * now.
 *
 * A child after fork(2) has a copy, of which another thread may just have held the
 * lock, and the same files. So it may do nothing but close them (mfd_session_inherited).
 */
struct mfd_session {
	pid_t process;			/* whose it is */
	enum mfd_state state;
	struct mfd_params params;
	char machine[256];
	char host[256];			/* of the address, or "" */
	struct mzp_info info;		/* what the module can do */
	uint32_t page_size;
	struct mfd_block *blocks, **blocks_end;	/* in the order in which they were added */
	pthread_mutex_t dirty_lock;	/* of what blocks know of dirty pages */

	struct mfd_job *jobs, **jobs_end;	/* not yet waited for, oldest first */
	uint64_t *zero_bitmap;		/* grown on demand */
	uint64_t zero_words;
	bool round_open;
	bool ram_ended;			/* the main connection is past RAM */
	uint32_t device_sections;	/* that have been sent */
	uint64_t started;		/* ns */
	uint64_t round_started;		/* ns */
	struct mfd_progress round_base;	/* the counters when it started */
	struct mfd_round last_round;	/* that was finished */
	uint64_t told;			/* when the progress function was last called, ns */

	struct mfd_link main;		/* its fd under @lock */
	struct mfd_stream stream;	/* into it */
	struct mfd_return_path return_path;	/* out of it */

	pthread_mutex_t lock;
	pthread_cond_t pump_ended;
	int dev;			/* under @lock */
	struct mzp_status status;	/* as far as it is known; under @lock */
	struct mfd_error failure;	/* the first one; under @lock */
	bool concluded;			/* the destination has the guest; under @lock */
	struct mfd_pump *pumps;		/* params.channels of them; under @lock */

	_Atomic uint64_t rounds;
	_Atomic uint64_t main_bytes;
};

/*
 * How often a waiting function looks around, and calls the progress function.
 */
#define MFD_TICK_MS 100
/* The same where nobody wants to see progress: as fine as params.timeout is. */
#define MFD_LONG_TICK_MS 1000

/*
 * Has the destination taken longer than it may, since @since (ns)? It may take for
 * ever if stall_ms is 0.
 */
static inline bool mfd_stalled(const struct mfd_session *session, uint64_t since)
{
	uint64_t patience = session->params.stall_ms * 1000000ull;

	return patience && mfd_now() > since + patience;
}

/* Is there a main connection at all? */
static inline bool mfd_has_main(const struct mfd_session *session)
{
	return !(session->params.flags & MFD_PARAMS_NO_MAIN);
}

/* Is this a copy of another process's session, from fork(2)? */
bool mfd_session_inherited(const struct mfd_session *session);

/*
 * Make the migration fail, for the reason in @why unless there is one already:
 * the module's session is cancelled and all sockets are shut down, so that
 * nobody who waits for them waits any longer. Any thread. Too late once the destination
 * has said that it has the guest.
 */
void mfd_session_fail(struct mfd_session *session, const struct mfd_error *why);

/*
 * The destination has said that it has the guest, so the guest must not run on here: from
 * now on nothing makes the migration fail but mfd_session_contradict(). Return: whether
 * nothing has before; then the sockets are as they were.
 */
bool mfd_session_conclude(struct mfd_session *session);

/* It has not, after all. */
void mfd_session_contradict(struct mfd_session *session);

/*
 * For functions that wait, at least every MFD_TICK_MS. Return: 0, or the error
 * that the migration has failed with.
 */
int mfd_session_check(struct mfd_session *session, struct mfd_error *err);

/* The same for threads that must not call the program's functions. */
int mfd_session_failure(struct mfd_session *session, struct mfd_error *err);

/*
 * For the end of an error's text: a destination that expects TLS closes connections without
 * it, early, and does not say why. Empty where that cannot be it.
 */
const char *mfd_session_suspects_tls(const struct mfd_session *session);

/*
 * Is @state the session's state? Otherwise say that it is too early or too late
 * for @what.
 */
int mfd_session_expect(struct mfd_session *session, enum mfd_state state,
		       const char *what, struct mfd_error *err);

/*
 * The end of a public function: a negative @ret with its reason in @why makes
 * the migration fail. Return: what to return, with *@err filled in.
 */
int mfd_session_result(struct mfd_session *session, int ret,
		       const struct mfd_error *why, struct mfd_error *err);

/* The same if the migration can go on: it only tells the caller. */
int mfd_session_refuse(int ret, const struct mfd_error *why, struct mfd_error *err);

/* Call the progress function if it is time for that. */
void mfd_progress_tell(struct mfd_session *session);

/* Ask the module how far it is, while the device is open. Call with the lock. */
void mfd_progress_update(struct mfd_session *session);

#endif /* MFD_PRIVATE_SESSION_H */
