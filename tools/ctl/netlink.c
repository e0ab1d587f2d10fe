// SPDX-License-Identifier: GPL-2.0-only
/* Requests to the module, and what comes back, over generic netlink. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>

#include <linux/multifd_zp_netlink.h>

#include "netlink.h"
#include "lib/error.h"

/* Events that wait to be read, in bytes: what a moment's delay may take. */
#define EVENT_BUFFER (1 << 20)

/**
 * struct ctl_link - a socket to the module
 * @sock: the socket
 * @family: number that the kernel gave to the module's interface
 * @message: called for what arrives
 * @opaque: for @message
 * @ended: the answer to the request is complete
 * @error: errno of the answer, negative, or 0
 * @said: the kernel's explanation, empty if it has none
 * @gone: of one that listens: the module was unloaded
 */
struct ctl_link {
	struct nl_sock *sock;
	int family;
	ctl_message message;
	void *opaque;
	bool ended;
	int error;
	char said[192];
	bool gone;
};

struct ctl_request {
	struct ctl_link *link;
	struct nl_msg *msg;
	bool incomplete;
};

/* --- what arrives */

/* A family was registered, or is gone. */
static int on_family(struct ctl_link *link, struct nlmsghdr *header)
{
	const struct nlattr *name = nlmsg_find_attr(header, GENL_HDRLEN, CTRL_ATTR_FAMILY_NAME);

	if (name && genlmsg_hdr(header)->cmd == CTRL_CMD_DELFAMILY &&
	    !nla_strcmp(name, MZP_GENL_NAME))
		link->gone = true;
	return NL_OK;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct ctl_link *link = arg;
	struct genlmsghdr *genl;

	if (header->nlmsg_type == GENL_ID_CTRL && genlmsg_valid_hdr(header, 0))
		return on_family(link, header);
	if (header->nlmsg_type != link->family || !genlmsg_valid_hdr(header, 0))
		return NL_SKIP;
	genl = genlmsg_hdr(header);
	if (link->message)
		link->message(genl->cmd, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0),
			      link->opaque);
	return NL_OK;
}

/* What the kernel says beyond an errno, in attributes behind @skip bytes of payload. */
static void listen_to(struct ctl_link *link, struct nlmsghdr *header, int skip)
{
	static const char module[] = MZP_GENL_NAME ": ";
	const struct nlattr *attr = nlmsg_find_attr(header, skip, NLMSGERR_ATTR_MSG);
	const char *text;

	if (!attr)
		return;
	text = nla_data(attr);
	snprintf(link->said, sizeof(link->said), "%.*s", nla_len(attr), text);
	/* It goes without saying who says it. */
	if (!strncmp(link->said, module, strlen(module)))
		memmove(link->said, link->said + strlen(module),
			strlen(link->said + strlen(module)) + 1);
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *answer, void *arg)
{
	struct nlmsghdr *header = (struct nlmsghdr *)((char *)answer - NLMSG_HDRLEN);
	struct ctl_link *link = arg;
	int skip = sizeof(*answer);

	(void)from;
	link->error = answer->error;
	link->ended = true;
	/* the request comes back too, unless it was capped */
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += nlmsg_datalen(&answer->msg);
	if (header->nlmsg_flags & NLM_F_ACK_TLVS)
		listen_to(link, header, skip);
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct ctl_link *link = arg;

	(void)msg;
	link->ended = true;
	return NL_STOP;
}

/* The end of a dump, which may be an error, too. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct ctl_link *link = arg;
	int error = 0;

	if (nlmsg_datalen(header) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(header), sizeof(error));
	if (error < 0) {
		link->error = error;
		if (header->nlmsg_flags & NLM_F_ACK_TLVS)
			listen_to(link, header, sizeof(error));
	}
	link->ended = true;
	return NL_STOP;
}

/* --- the link */

static int no_family(struct mfd_error *err)
{
	if (access("/sys/module/multifd_zp", F_OK))
		return mfd_error_set(err, ENOENT,
				     "the kernel module is not loaded (modprobe multifd_zp, or insmod multifd_zp.ko)");
	return mfd_error_set(err, ENOENT,
			     "the kernel module is loaded, but cannot be spoken to over netlink: it is another version, or is not visible in this network namespace");
}

static int find_family(struct ctl_link *link, struct mfd_error *err)
{
	link->family = genl_ctrl_resolve(link->sock, MZP_GENL_NAME);
	if (link->family == -NLE_OBJ_NOTFOUND)
		return no_family(err);
	if (link->family < 0)
		return mfd_error_set(err, EIO, "generic netlink: %s",
				     nl_geterror(link->family));
	return 0;
}

static int prepare(struct ctl_link *link, struct mfd_error *err)
{
	int on = 1, ret;

	if (!link->sock)
		return mfd_error_set(err, ENOMEM, "out of memory");
	ret = genl_connect(link->sock);
	if (ret)
		return mfd_error_set(err, EIO, "generic netlink: %s", nl_geterror(ret));
	/* Only for better messages, so no matter if the kernel knows neither. */
	setsockopt(nl_socket_get_fd(link->sock), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl_socket_get_fd(link->sock), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	ret = find_family(link, err);
	if (ret)
		return ret;
	nl_socket_modify_cb(link->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, link);
	nl_socket_modify_cb(link->sock, NL_CB_ACK, NL_CB_CUSTOM, on_ack, link);
	nl_socket_modify_cb(link->sock, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, link);
	nl_socket_modify_err_cb(link->sock, NL_CB_CUSTOM, on_error, link);
	return 0;
}

int ctl_link_open(struct ctl_link **link, struct mfd_error *err)
{
	int ret;

	*link = calloc(1, sizeof(**link));
	if (!*link)
		return mfd_error_set(err, ENOMEM, "out of memory");
	(*link)->sock = nl_socket_alloc();
	ret = prepare(*link, err);
	if (ret) {
		ctl_link_close(*link);
		*link = NULL;
	}
	return ret;
}

void ctl_link_close(struct ctl_link *link)
{
	if (!link)
		return;
	if (link->sock)
		nl_socket_free(link->sock);
	free(link);
}

/* --- requests */

struct ctl_request *ctl_request_new(struct ctl_link *link, uint8_t cmd)
{
	struct ctl_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->link = link;
	request->msg = nlmsg_alloc();
	if (!request->msg ||
	    !genlmsg_put(request->msg, NL_AUTO_PORT, NL_AUTO_SEQ, link->family, 0, 0, cmd,
			 MZP_GENL_VERSION))
		request->incomplete = true;
	return request;
}

void ctl_request_u32(struct ctl_request *request, int attr, uint32_t value)
{
	if (request && !request->incomplete)
		request->incomplete = nla_put_u32(request->msg, attr, value);
}

void ctl_request_u64(struct ctl_request *request, int attr, uint64_t value)
{
	if (request && !request->incomplete)
		request->incomplete = nla_put_u64(request->msg, attr, value);
}

void ctl_request_text(struct ctl_request *request, int attr, const char *text)
{
	if (request && !request->incomplete)
		request->incomplete = nla_put_string(request->msg, attr, text);
}

static int send_request(struct ctl_request *request, int flags, struct mfd_error *err)
{
	int ret;

	if (!request)
		return mfd_error_set(err, ENOMEM, "out of memory");
	if (request->incomplete) {
		ret = mfd_error_set(err, EMSGSIZE, "the request does not fit into a message");
	} else {
		nlmsg_hdr(request->msg)->nlmsg_flags |= flags;
		ret = nl_send_auto(request->link->sock, request->msg);
		if (ret < 0)
			ret = mfd_error_set(err, EIO, "netlink: %s", nl_geterror(ret));
	}
	nlmsg_free(request->msg);
	free(request);
	return ret < 0 ? ret : 0;
}

/* The answer as an error for people. */
static int answer(const struct ctl_link *link, struct mfd_error *err)
{
	switch (-link->error) {
	case 0:
		return 0;
	case EPERM:
		return mfd_error_set(err, EPERM, "%s: this needs CAP_NET_ADMIN (root, usually)",
				     *link->said ? link->said : "not permitted");
	case ENOENT:
	case EPROTONOSUPPORT:
		/*
		 * That is what the kernel says once the module is gone, and while it goes; the
		 * module has a sentence for whatever else it does not find.
		 */
		if (!*link->said)
			return mfd_error_set(err, ENOENT,
					     "the kernel module was unloaded, or loaded anew, meanwhile");
		/* fall through */
	default:
		if (*link->said)
			return mfd_error_set(err, -link->error, "%s", link->said);
		return mfd_error_set(err, -link->error, "%s", strerror(-link->error));
	}
}

/* Receive until the answer is complete. Sets *@torn if a dump was not consistent. */
static int receive(struct ctl_link *link, bool *torn, struct mfd_error *err)
{
	int ret;

	while (!link->ended) {
		ret = nl_recvmsgs_default(link->sock);
		if (ret == -NLE_DUMP_INTR)
			*torn = true;
		else if (ret < 0 && !link->ended)
			return mfd_error_set(err, EIO, "netlink: %s", nl_geterror(ret));
	}
	return answer(link, err);
}

static int talk(struct ctl_request *request, int flags, ctl_message reply, void *opaque,
		bool *torn, struct mfd_error *err)
{
	struct ctl_link *link = request ? request->link : NULL;
	int ret;

	*torn = false;
	ret = send_request(request, flags, err);
	if (ret)
		return ret;
	link->message = reply;
	link->opaque = opaque;
	link->ended = false;
	link->error = 0;
	link->said[0] = '\0';
	return receive(link, torn, err);
}

int ctl_request(struct ctl_request *request, ctl_message reply, void *opaque,
		struct mfd_error *err)
{
	bool torn;

	return talk(request, NLM_F_REQUEST, reply, opaque, &torn, err);
}

int ctl_dump(struct ctl_request *request, ctl_message reply, void *opaque,
	     struct mfd_error *err)
{
	bool torn;
	int ret = talk(request, NLM_F_REQUEST | NLM_F_DUMP, reply, opaque, &torn, err);

	return ret || !torn ? ret : -EAGAIN;
}

/* --- events */

static int join(const struct ctl_link *link, int group, struct mfd_error *err)
{
	int fd = nl_socket_get_fd(link->sock);

	/* not libnl's function, since that hides which error it was */
	if (!setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return 0;
	if (errno == EPERM)
		return mfd_error_set(err, EPERM,
				     "events are for administrators: this needs CAP_NET_ADMIN (root, usually)");
	return mfd_error_errno(err, errno, "events");
}

/*
 * The module's family and its group, by a socket of its own: on the one that listens, an
 * event could be taken for the answer. Returns 0; -ENOENT, without an @err: there is none.
 */
static int look_up(int *family, int *group, struct mfd_error *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	int ret = sock ? genl_connect(sock) : -NLE_NOMEM;

	if (!ret)
		ret = genl_ctrl_resolve(sock, MZP_GENL_NAME);
	if (ret >= 0) {
		*family = ret;
		ret = genl_ctrl_resolve_grp(sock, MZP_GENL_NAME, MULTIFD_ZP_MCGRP_EVENTS);
	}
	*group = ret;
	if (sock)
		nl_socket_free(sock);
	if (ret == -NLE_OBJ_NOTFOUND)
		return -ENOENT;
	return ret < 0 ? mfd_error_set(err, EIO, "generic netlink: %s", nl_geterror(ret)) : 0;
}

int ctl_listen_again(struct ctl_link *link, struct mfd_error *err)
{
	int group, ret;

	link->message = NULL;
	while ((ret = look_up(&link->family, &group, err)) == -ENOENT) {
		/* the coming of a family is told; which one it is, is looked up */
		ret = nl_recvmsgs_default(link->sock);
		if (ret < 0 && ret != -NLE_NOMEM)
			return mfd_error_set(err, EIO, "netlink: %s", nl_geterror(ret));
	}
	link->gone = false;
	return ret ? ret : join(link, group, err);
}

int ctl_listen(struct ctl_link *link, struct mfd_error *err)
{
	int notify = genl_ctrl_resolve_grp(link->sock, "nlctrl", "notify");
	int group, ret;

	if (notify < 0)
		return mfd_error_set(err, EIO, "generic netlink: %s", nl_geterror(notify));
	nl_socket_disable_seq_check(link->sock);
	nl_socket_set_buffer_size(link->sock, EVENT_BUFFER, 0);
	/* first, so that a module that goes meanwhile is noticed */
	ret = join(link, notify, err);
	if (!ret)
		ret = look_up(&link->family, &group, err);
	if (ret == -ENOENT)
		return no_family(err);
	return ret ? ret : join(link, group, err);
}

int ctl_events(struct ctl_link *link, ctl_message event, void *opaque, struct mfd_error *err)
{
	int ret;

	link->message = event;
	link->opaque = opaque;
	ret = nl_recvmsgs_default(link->sock);
	if (link->gone)
		return -ENODEV;
	/* which is what libnl makes of ENOBUFS */
	if (ret == -NLE_NOMEM)
		return -ENOBUFS;
	return ret < 0 ? mfd_error_set(err, EIO, "netlink: %s", nl_geterror(ret)) : 0;
}
