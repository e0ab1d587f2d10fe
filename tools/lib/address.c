// SPDX-License-Identifier: LGPL-2.1-or-later
/* Addresses in QEMU's notation: tcp:HOST:PORT and unix:PATH. */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "error.h"

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

static int parse_unix(struct mfd_address *address, const char *path, struct mfd_error *err)
{
	address->local = true;
	if (!*path)
		return mfd_error_set(err, EINVAL, "unix: needs a path");
	if (copy(address->path, sizeof(address->path), path, path + strlen(path)))
		return mfd_error_set(err, ENAMETOOLONG,
				     "the path of a UNIX socket has at most %zu bytes",
				     sizeof(address->path) - 1);
	return 0;
}

static int parse_tcp(struct mfd_address *address, const char *text, struct mfd_error *err)
{
	const char *host = text, *end, *port;

	address->local = false;
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
	return 0;
}

int mfd_address_parse(struct mfd_address *address, const char *text, struct mfd_error *err)
{
	memset(address, 0, sizeof(*address));
	if (!strncmp(text, "tcp:", 4))
		return parse_tcp(address, text + 4, err);
	if (!strncmp(text, "unix:", 5))
		return parse_unix(address, text + 5, err);
	return mfd_error_set(err, EINVAL,
			     "'%.128s' is neither tcp:HOST:PORT nor unix:PATH", text);
}
