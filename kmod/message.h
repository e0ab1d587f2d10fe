/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_MESSAGE_H
#define MZP_MESSAGE_H

#include <linux/types.h>

struct mzp_channel;
struct mzp_host;
struct mzp_info;
struct mzp_record;
struct mzp_round;
struct mzp_session;
struct mzp_totals;
struct pid_namespace;
struct sk_buff;
struct user_namespace;

/**
 * struct mzp_reader - who is going to read a message
 * @users: the user namespace in which it understands users
 * @pids: the PID namespace in which it understands processes
 */
struct mzp_reader {
	struct user_namespace *users;
	struct pid_namespace *pids;
};

bool mzp_message_info(struct sk_buff *skb, const struct mzp_info *info, bool events);
bool mzp_message_owner(struct sk_buff *skb, const struct mzp_session *session,
		       const struct mzp_reader *reader);
bool mzp_message_session(struct sk_buff *skb, const struct mzp_session *session,
			 const struct mzp_reader *reader);
bool mzp_message_round(struct sk_buff *skb, const struct mzp_round *round);
bool mzp_message_channel(struct sk_buff *skb, const struct mzp_channel *channel);
bool mzp_message_worker(struct sk_buff *skb, unsigned int cpu);
bool mzp_message_totals(struct sk_buff *skb, const struct mzp_totals *totals);
bool mzp_message_host(struct sk_buff *skb, const struct mzp_host *host);
bool mzp_message_record(struct sk_buff *skb, const struct mzp_record *record);

#endif /* MZP_MESSAGE_H */
