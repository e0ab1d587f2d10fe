// SPDX-License-Identifier: GPL-2.0-only
/*
 * The destination: a guest that comes from another mfddemo.
 *
 * Its memory goes to where it belongs by itself. The state of its vCPU and device is what
 * follows memory in the stream. It is given to the vCPU as soon as it is complete, while
 * the library can still tell the source that it has failed: then the guest goes on there.
 */
#include <stdlib.h>

#include "fail.h"
#include "incoming.h"
#include "signals.h"

/* More than mfddemo ever sends. */
#define MAX_STATE (64 << 10)

struct arrival {
	const struct incoming *incoming;
	struct mfd_error why;		/* that the state was refused */
	bool complete;
	size_t used;
	char state[MAX_STATE];
};

static int take(const void *data, size_t size, void *opaque)
{
	struct arrival *arrival = opaque;
	struct guest *guest = arrival->incoming->guest;
	int ret;

	if (arrival->complete)
		return 0;
	if (size > sizeof(arrival->state) - arrival->used)
		return demo_wrong(&arrival->why, EPROTO, "there is too much state: did it come from mfddemo?");
	memcpy(arrival->state + arrival->used, data, size);
	arrival->used += size;
	ret = guest->ops->take_state(guest, arrival->state, arrival->used, &arrival->why);
	arrival->complete = ret > 0;
	return ret < 0 ? ret : 0;
}

/* To the line that all programs draw. */
static void show_progress(const struct mfd_recv_progress *now, void *opaque)
{
	struct arrival *arrival = opaque;
	struct mfd_progress progress = {
		.done = now->normal + now->zero,
		.normal = now->normal,
		.zero = now->zero,
		.bytes = now->bytes,
	};

	if (now->state != MFD_RECV_RECEIVING)
		return;
	if (!arrival->incoming->report->begun)
		report_begin(arrival->incoming->report);
	report_progress(&progress, arrival->incoming->report);
}

static void cancel(void *recv)
{
	mfd_recv_cancel(recv);
}

static int receive(struct mfd_recv *recv, const struct incoming *incoming, struct mfd_error *err)
{
	const struct ram *ram = &incoming->guest->ram;
	int ret = mfd_recv_block_add(recv, incoming->idstr, ram->base, ram->size, MFD_RECV_FRESH,
				     err);

	if (!ret)
		ret = mfd_recv_listen(recv, incoming->listen, err);
	if (ret)
		return ret;
	fprintf(stderr, "%s: listening at %s\n", incoming->report->program,
		mfd_recv_address(recv));
	report_wait(incoming->report, "waiting for the source");
	return mfd_recv_run(recv, err);
}

static int receive_state(struct arrival *arrival, struct mfd_error *err)
{
	struct mfd_recv_params params = *arrival->incoming->params;
	struct mfd_recv *recv;
	int ret;

	params.device_state = take;
	params.progress = show_progress;
	params.opaque = arrival;
	ret = mfd_recv_open(&recv, &params, err);
	if (ret)
		return ret;
	signals_act(cancel, recv);
	ret = receive(recv, arrival->incoming, err);
	signals_act(NULL, NULL);
	mfd_recv_close(recv);
	if (ret)
		signals_explain(err);
	if (arrival->why.code)
		*err = arrival->why;
	else if (!ret && !arrival->complete)
		ret = demo_wrong(err, EPROTO, "memory has come, but no state: did it come from mfddemo --guest kvm?");
	return ret;
}

int incoming_receive(const struct incoming *incoming, struct mfd_error *err)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	int ret;

	if (!arrival)
		return demo_fail(err, "state");
	arrival->incoming = incoming;
	arrival->why.size = sizeof(arrival->why);
	ret = receive_state(arrival, err);
	free(arrival);
	return ret;
}
