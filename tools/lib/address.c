// SPDX-License-Identifier: LGPL-2.1-or-later
/* Addresses in QEMU's notation: tcp:HOST:PORT, unix:PATH and vsock:CID:PORT. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/un.h>

#include "address.h"
#include "error.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == MFD_PATH_SIZE, "sun_path");

/* Copy [@from, @to) as a string if @size has room for it. */
static int copy(char *out, size_t size, const char *from, const char *to)
{
	size_t length = to - from;

	if (length >= size)
		return -ENAMETOOLONG;
	memcpy(out, from, length);
	out[length] = '\0';
	return 0;
}

/* unix:@NAME is an abstract socket, a file of that name unix:./@NAME. */
static int parse_unix(struct mfd_address *address, const char *path, struct mfd_error *err)
{
	address->local = true;
	address->abstract = *path == '@';
	path += address->abstract;
	if (!*path)
		return mfd_error_set(err, EINVAL, "unix: needs a path");
	if (copy(address->path, sizeof(address->path), path, path + strlen(path)))
		return mfd_error_set(err, ENAMETOOLONG,
				     "the path of a UNIX socket has at most %zu bytes",
				     sizeof(address->path) - 1);
	return 0;
}

/* A decimal number up to @max, and nothing else. */
static bool number(const char *text, uint32_t max, uint32_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		sum = sum * 10 + (*text - '0');
		if (sum > max)
			return false;
	}
	*value = sum;
	return true;
}

/* @address->port: what getaddrinfo() would take may be another port than is written. */
static int check_port(struct mfd_address *address, struct mfd_error *err)
{
	const char *port = address->port;
	uint32_t value;

	if (!port[strspn(port, DIGITS)]) {
		if (!number(port, UINT16_MAX, &value))
			return mfd_error_set(err, EINVAL, "there is no port %s: 65535 is the last",
					     port);
		address->any_port = !value;
		return 0;
	}
	if (port[strspn(port, LETTERS DIGITS "-_.+")] || !strpbrk(port, LETTERS) ||
	    !strchr(LETTERS DIGITS, *port))
		return mfd_error_set(err, EINVAL,
				     "'%s' is not a port: a number up to 65535, or a service",
				     port);
	return 0;
}

static int parse_tcp(struct mfd_address *address, const char *text, struct mfd_error *err)
{
	const char *host = text, *end, *port;

	if (*text == '[') {
		host++;
		end = strchr(host, ']');
		port = end ? end + 1 : NULL;
	} else {
		end = strchr(text, ':');
		port = end;
	}
	if (!port || *port != ':' || !port[1] || strchr(port + 1, ':'))
		return mfd_error_set(err, EINVAL,
				     "'tcp:%.128s' is not like tcp:HOST:PORT or tcp:[IPV6]:PORT",
				     text);
	port++;
	if (copy(address->host, sizeof(address->host), host, end) ||
	    copy(address->port, sizeof(address->port), port, port + strlen(port)))
		return mfd_error_set(err, ENAMETOOLONG, "the address is too long");
	return check_port(address, err);
}

static int parse_vsock(struct mfd_address *address, const char *text, struct mfd_error *err)
{
	const char *colon = strchr(text, ':');
	char cid[16];

	address->vsock = true;
	if (!colon || copy(cid, sizeof(cid), text, colon) ||
	    !number(cid, UINT32_MAX, &address->cid) ||
	    !number(colon + 1, UINT32_MAX, &address->vsock_port))
		return mfd_error_set(err, EINVAL,
				     "'vsock:%.128s' is not like vsock:CID:PORT, two numbers",
				     text);
	address->any_port = address->vsock_port == VMADDR_PORT_ANY;
	return 0;
}

static const struct {
	const char *prefix;
	int (*parse)(struct mfd_address *address, const char *text, struct mfd_error *err);
} kinds[] = {
	{ "tcp:", parse_tcp },
	{ "unix:", parse_unix },
	{ "vsock:", parse_vsock },
};

int mfd_address_parse(struct mfd_address *address, const char *text, struct mfd_error *err)
{
	size_t i, length;

	memset(address, 0, sizeof(*address));
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		length = strlen(kinds[i].prefix);
		if (!strncmp(text, kinds[i].prefix, length))
			return kinds[i].parse(address, text + length, err);
	}
	if (!strncmp(text, "fd:", 3))
		return mfd_error_set(err, EINVAL,
				     "'%.32s' is one connection, and multifd needs one more for each channel: give an address, for instance that of a UNIX socket that forwards them",
				     text);
	return mfd_error_set(err, EINVAL,
			     "'%.128s' is neither tcp:HOST:PORT nor unix:PATH nor vsock:CID:PORT",
			     text);
}

int mfd_address_reachable(const struct mfd_address *address, struct mfd_error *err)
{
	return address->any_port ? mfd_error_set(err, EINVAL, "nobody can be reached at that port") :
	       0;
}

int mfd_address_check(const char *text, struct mfd_error *err)
{
	struct mfd_address address;
	int ret;

	if (!text)
		return mfd_error_set(err, EINVAL, "the address is NULL");
	ret = mfd_address_parse(&address, text, err);
	if (ret)
		return ret;
	ret = mfd_address_reachable(&address, err);
	if (ret)
		mfd_error_prefix(err, "%.128s", text);
	return ret;
}

static socklen_t fill_unix(const struct mfd_address *address, struct sockaddr_un *un)
{
	size_t length = strlen(address->path), lead = address->abstract;

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path + lead, address->path, length);
	/* a file's name ends where the zeros begin, an abstract one where the address does */
	return address->abstract ? offsetof(struct sockaddr_un, sun_path) + 1 + length :
				   sizeof(*un);
}

static socklen_t fill_vsock(const struct mfd_address *address, struct sockaddr_vm *vm)
{
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = address->cid;
	vm->svm_port = address->vsock_port;
	return sizeof(*vm);
}

bool mfd_address_endpoint(const struct mfd_address *address, struct mfd_endpoint *endpoint)
{
	void *addr = &endpoint->addr;

	memset(endpoint, 0, sizeof(*endpoint));
	if (address->local)
		endpoint->size = fill_unix(address, addr);
	else if (address->vsock)
		endpoint->size = fill_vsock(address, addr);
	return endpoint->size;
}
