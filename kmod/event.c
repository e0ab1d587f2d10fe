// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events in the lives of sessions, told to whoever listens in the initial
 * network namespace. They are told under the session's queue lock, which
 * puts a session's events in order.
 */
#include <linux/lockdep.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "event.h"
#include "message.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "session.h"

static bool mzp_event_put(struct sk_buff *skb, const struct mzp_session *session,
			  const struct mzp_round *round)
{
	const struct mzp_reader host = { .users = &init_user_ns, .pids = &init_pid_ns };

	if (!round)
		return mzp_message_session(skb, session, &host);
	return mzp_message_owner(skb, session, &host) && mzp_message_round(skb, round);
}

static struct sk_buff *mzp_event_new(const struct mzp_session *session, u8 cmd,
				     const struct mzp_round *round)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_NOWAIT | __GFP_NOWARN);
	void *header;

	if (!skb)
		return NULL;
	header = genlmsg_put(skb, 0, 0, &mzp_genl_family, 0, cmd);
	if (header && mzp_event_put(skb, session, round)) {
		genlmsg_end(skb, header);
		return skb;
	}
	nlmsg_free(skb);
	return NULL;
}

/*
 * Nobody is waited for: a listener whose queue is full, or for whom there is no
 * memory now, is told by netlink that it has missed something.
 */
static void mzp_event_tell(const struct mzp_session *session, u8 cmd, const struct mzp_round *round)
{
	struct sk_buff *skb;

	lockdep_assert_held(&session->queue_lock);
	if (!genl_has_listeners(&mzp_genl_family, &init_net, MULTIFD_ZP_NLGRP_EVENTS))
		return;
	skb = mzp_event_new(session, cmd, round);
	if (skb)
		genlmsg_multicast(&mzp_genl_family, skb, 0, MULTIFD_ZP_NLGRP_EVENTS,
				  GFP_NOWAIT | __GFP_NOWARN);
	else
		genl_set_err(&mzp_genl_family, &init_net, 0, MULTIFD_ZP_NLGRP_EVENTS, -ENOBUFS);
}

/**
 * mzp_event_created - tell that a session was set up
 * @session: the session
 *
 * Context: the session's queue lock is held; does not wait.
 */
void mzp_event_created(const struct mzp_session *session)
{
	mzp_event_tell(session, MZP_NL_CMD_SESSION_CREATED, NULL);
}

/**
 * mzp_event_synced - tell that a round is complete
 * @session: the session
 * @round: the round
 *
 * Context: the session's queue lock is held; does not wait.
 */
void mzp_event_synced(const struct mzp_session *session, const struct mzp_round *round)
{
	mzp_event_tell(session, MZP_NL_CMD_SESSION_SYNCED, round);
}

/**
 * mzp_event_failed - tell that a session is over before its time
 * @session: the session
 *
 * Context: the session's queue lock is held; does not wait.
 */
void mzp_event_failed(const struct mzp_session *session)
{
	mzp_event_tell(session, MZP_NL_CMD_SESSION_FAILED, NULL);
}

/**
 * mzp_event_ended - tell that a session has ended well
 * @session: the session
 *
 * Context: the session's queue lock is held; does not wait.
 */
void mzp_event_ended(const struct mzp_session *session)
{
	mzp_event_tell(session, MZP_NL_CMD_SESSION_ENDED, NULL);
}
