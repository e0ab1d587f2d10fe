// SPDX-License-Identifier: GPL-2.0-only
#include "genl.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

static uint16_t family;

static struct nlmsghdr *header_of(struct genl_request *r)
{
	return (struct nlmsghdr *)r->bytes;
}

static void begin(struct genl_request *r, uint16_t type, uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *nl = header_of(r);
	struct genlmsghdr *genl = NLMSG_DATA(nl);

	memset(r->bytes, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	r->length = NLMSG_HDRLEN + GENL_HDRLEN;
	nl->nlmsg_len = r->length;
	nl->nlmsg_type = type;
	nl->nlmsg_flags = NLM_F_REQUEST | flags;
	genl->cmd = cmd;
	genl->version = MZP_GENL_VERSION;
}

void genl_begin(struct genl_request *r, uint8_t cmd, bool dump)
{
	begin(r, family, cmd, dump ? NLM_F_DUMP : NLM_F_ACK);
}

void genl_put(struct genl_request *r, uint16_t type, const void *data, size_t size)
{
	struct nlattr *attr = (struct nlattr *)(r->bytes + r->length);

	must(r->length + NLA_HDRLEN + NLA_ALIGN(size) <= sizeof(r->bytes));
	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + size;
	memset(attr + 1, 0, NLA_ALIGN(size));
	memcpy(attr + 1, data, size);
	r->length += NLA_HDRLEN + NLA_ALIGN(size);
	header_of(r)->nlmsg_len = r->length;
}

void genl_put_u32(struct genl_request *r, uint16_t type, uint32_t value)
{
	genl_put(r, type, &value, sizeof(value));
}

void genl_put_u64(struct genl_request *r, uint16_t type, uint64_t value)
{
	genl_put(r, type, &value, sizeof(value));
}

static const void *find(const uint8_t *attrs, size_t size, uint16_t type, size_t want)
{
	while (size >= NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)attrs;
		size_t step = NLA_ALIGN(attr->nla_len);

		must(attr->nla_len >= NLA_HDRLEN && step <= size);
		if (attr->nla_type == type) {
			must(attr->nla_len >= NLA_HDRLEN + want);
			return attr + 1;
		}
		attrs += step;
		size -= step;
	}
	must(0, "no attribute %u", type);
	return NULL;
}

uint32_t genl_u32(const uint8_t *attrs, size_t size, uint16_t type)
{
	uint32_t value;

	memcpy(&value, find(attrs, size, type, sizeof(value)), sizeof(value));
	return value;
}

uint64_t genl_u64(const uint8_t *attrs, size_t size, uint16_t type)
{
	uint64_t value;

	memcpy(&value, find(attrs, size, type, sizeof(value)), sizeof(value));
	return value;
}

/* One buffer of an answer. Return: an errno, or -1 if there is more to come. */
static int take(const uint8_t *buf, size_t got,
		void (*fn)(const uint8_t *attrs, size_t size, void *arg), void *arg)
{
	const struct nlmsghdr *nl = (const void *)buf;

	for (; NLMSG_OK(nl, got); nl = NLMSG_NEXT(nl, got)) {
		const uint8_t *attrs = (const uint8_t *)NLMSG_DATA(nl) + GENL_HDRLEN;

		/* Both begin with 0 or a negative errno. */
		if (nl->nlmsg_type == NLMSG_ERROR || nl->nlmsg_type == NLMSG_DONE)
			return -*(const int *)NLMSG_DATA(nl);
		if (fn)
			fn(attrs, nl->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, arg);
	}
	return -1;
}

int genl_ask(int fd, const struct genl_request *r,
	     void (*fn)(const uint8_t *attrs, size_t size, void *arg), void *arg)
{
	uint8_t buf[32768] __attribute__((aligned(4)));
	ssize_t got;
	int err;

	if (send(fd, r->bytes, r->length, 0) < 0)
		return errno;
	do {
		got = recv(fd, buf, sizeof(buf), 0);
		if (got < 0)
			return errno;
		err = take(buf, got, fn, arg);
	} while (err < 0);
	return err;
}

static void take_family(const uint8_t *attrs, size_t size, void *arg)
{
	(void)arg;
	memcpy(&family, find(attrs, size, CTRL_ATTR_FAMILY_ID, sizeof(family)), sizeof(family));
}

static int ask_family(int fd)
{
	struct genl_request r;

	begin(&r, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	genl_put(&r, CTRL_ATTR_FAMILY_NAME, MZP_GENL_NAME, sizeof(MZP_GENL_NAME));
	return genl_ask(fd, &r, take_family, NULL);
}

static int genl_socket(void)
{
	return sys(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
}

int genl_open(void)
{
	int fd = genl_socket();

	if (!family)
		works(ask_family(fd));
	return fd;
}

bool genl_known(void)
{
	int fd = genl_socket(), err = ask_family(fd);

	must(!err || err == ENOENT, "%s", kit_errno(err));
	close(fd);
	return !err;
}

static void take_sessions(const uint8_t *attrs, size_t size, void *arg)
{
	*(unsigned int *)arg = genl_u32(attrs, size, MZP_A_INFO_SESSIONS);
}

unsigned int genl_sessions(void)
{
	int fd = genl_open();
	struct genl_request r;
	unsigned int nr = ~0u;

	genl_begin(&r, MZP_NL_CMD_INFO_GET, false);
	works(genl_ask(fd, &r, take_sessions, &nr));
	close(fd);
	return nr;
}

uint64_t session_number(int fd)
{
	return fd_number(fd, "mzp-session:");
}
