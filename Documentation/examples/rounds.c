/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rounds until a pause would be short enough, or there have been too many. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <mfd.h>

struct vm {
	/* fetch the dirty logs, mark their pages with mfd_dirty_…, clear the logs */
	int (*mark_dirty)(struct vm *vm, struct mfd_error *err);
	void (*throttle)(struct vm *vm, unsigned int round);
	void (*stop)(struct vm *vm);
};

/* [rounds] */
int rounds(struct vm *vm, struct mfd_session *session, uint32_t downtime_ms,
	   unsigned int max_rounds, struct mfd_error *err)
{
	struct mfd_convergence now = { .size = sizeof(now) };
	unsigned int n;
	int ret;

	/* the first round has been finished: everything, fresh */
	for (n = 0; n < max_rounds; n++) {
		ret = vm->mark_dirty(vm, err);
		if (!ret)
			ret = mfd_convergence(session, mfd_dirty_count(session), downtime_ms,
					      &now, err);
		if (ret)
			return ret;
		if (now.converged)
			break;
		vm->throttle(vm, n);
		ret = mfd_send_dirty(session, 0, err);
		if (!ret)
			ret = mfd_round_finish(session, NULL, err);
		if (ret)
			return ret;
	}
	if (!now.converged)
		return -ETIME;		/* give up: mfd_close, and the guest runs on here */
	vm->stop(vm);
	ret = vm->mark_dirty(vm, err);	/* what it wrote since; the rest is still marked */
	if (!ret)
		ret = mfd_send_dirty(session, 0, err);
	return ret;			/* then the devices' state, and mfd_finish */
}
/* [end] */
