// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Asking a running destination about itself through its QMP socket.
 *
 * QMP is JSON objects, one after the other: a greeting, then a reply for each
 * command, and events at any time. A monitor serves one client at a time; the
 * next one connects at once but gets its greeting only when the first has left.
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "mfd_qmp.h"
#include "sized.h"

/* how often a full queue of a socket is tried again */
#define RETRY_MS 100

struct qmp {
	const char *path;
	uint64_t deadline;	/* ns */
	int fd;
	struct json_tokener *tokener;
	size_t used, size;	/* what of @buffer has been parsed, what has been read */
	char buffer[4096];
};

static int qmp_error(const struct qmp *qmp, int code, struct mfd_error *err)
{
	return mfd_error_errno(err, code, "%.108s", qmp->path);
}

static int qmp_odd(const struct qmp *qmp, struct mfd_error *err)
{
	return mfd_error_set(err, EPROTO, "%.108s: this is not QEMU's QMP", qmp->path);
}

/* The time that is left, or 0. */
static int left_ms(const struct qmp *qmp)
{
	uint64_t now = mfd_now();

	return now < qmp->deadline ? (qmp->deadline - now) / 1000000 + 1 : 0;
}

static int no_answer(const struct qmp *qmp, struct mfd_error *err)
{
	return mfd_error_set(err, ETIMEDOUT,
			     "%.108s: no answer; QMP serves one client at a time: is another one connected?",
			     qmp->path);
}

static int wait_for(const struct qmp *qmp, short events, struct mfd_error *err)
{
	struct pollfd fd = { .fd = qmp->fd, .events = events };
	int ready = poll(&fd, 1, left_ms(qmp));

	if (ready < 0 && errno != EINTR)
		return qmp_error(qmp, errno, err);
	return ready ? 0 : no_answer(qmp, err);
}

static int qmp_connect(struct qmp *qmp, struct mfd_error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(qmp->path) >= sizeof(un.sun_path))
		return qmp_error(qmp, ENAMETOOLONG, err);
	strcpy(un.sun_path, qmp->path);
	qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (qmp->fd < 0)
		return qmp_error(qmp, errno, err);
	while (connect(qmp->fd, (struct sockaddr *)&un, sizeof(un))) {
		/* as many wait already as may, and poll() cannot tell when one leaves */
		if (errno != EAGAIN && errno != EINTR)
			return qmp_error(qmp, errno, err);
		if (!left_ms(qmp))
			return no_answer(qmp, err);
		poll(NULL, 0, left_ms(qmp) < RETRY_MS ? left_ms(qmp) : RETRY_MS);
	}
	return 0;
}

static int qmp_write(struct qmp *qmp, const char *text, struct mfd_error *err)
{
	size_t left = strlen(text);
	ssize_t n;
	int ret;

	while (left) {
		ret = wait_for(qmp, POLLOUT, err);
		if (ret)
			return ret;
		n = send(qmp->fd, text, left, MSG_NOSIGNAL);
		if (n > 0) {
			text += n;
			left -= n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return qmp_error(qmp, errno, err);
		}
	}
	return 0;
}

static int qmp_fill(struct qmp *qmp, struct mfd_error *err)
{
	ssize_t n;
	int ret;

	qmp->used = 0;
	qmp->size = 0;
	while (!qmp->size) {
		ret = wait_for(qmp, POLLIN, err);
		if (ret)
			return ret;
		n = recv(qmp->fd, qmp->buffer, sizeof(qmp->buffer), 0);
		if (n > 0)
			qmp->size = n;
		else if (!n)
			return qmp_error(qmp, ECONNRESET, err);
		else if (errno != EAGAIN && errno != EINTR)
			return qmp_error(qmp, errno, err);
	}
	return 0;
}

/* The next object, the caller's to put. */
static int qmp_read(struct qmp *qmp, struct json_object **object, struct mfd_error *err)
{
	enum json_tokener_error state;
	int ret;

	for (;;) {
		*object = json_tokener_parse_ex(qmp->tokener, qmp->buffer + qmp->used,
						qmp->size - qmp->used);
		state = json_tokener_get_error(qmp->tokener);
		qmp->used += json_tokener_get_parse_end(qmp->tokener);
		if (json_object_is_type(*object, json_type_object))
			return 0;
		json_object_put(*object);
		if (state != json_tokener_continue)
			return qmp_odd(qmp, err);
		ret = qmp_fill(qmp, err);
		if (ret)
			return ret;
	}
}

/* QEMU's own words why a command has failed. */
static int qmp_refused(const struct qmp *qmp, struct json_object *error, struct mfd_error *err)
{
	struct json_object *text;

	if (!json_object_object_get_ex(error, "desc", &text) ||
	    !json_object_is_type(text, json_type_string))
		return qmp_odd(qmp, err);
	return mfd_error_set(err, EPROTO, "%.108s: QEMU says: %.120s", qmp->path,
			     json_object_get_string(text));
}

/*
 * The next object that has the member @key, which is handed out; the rest is
 * put.
 */
static int qmp_expect(struct qmp *qmp, const char *key, struct json_object **value,
		      struct mfd_error *err)
{
	struct json_object *object, *member;
	int ret;

	for (;;) {
		ret = qmp_read(qmp, &object, err);
		if (ret)
			return ret;
		if (json_object_object_get_ex(object, key, &member)) {
			*value = json_object_get(member);
			json_object_put(object);
			return 0;
		}
		if (json_object_object_get_ex(object, "error", &member)) {
			ret = qmp_refused(qmp, member, err);
			json_object_put(object);
			return ret;
		}
		json_object_put(object);	/* an event */
	}
}

static int qmp_command(struct qmp *qmp, const char *command, struct json_object **value,
		       struct mfd_error *err)
{
	int ret = qmp_write(qmp, command, err);

	return ret ? ret : qmp_expect(qmp, "return", value, err);
}

static int qmp_greeting(struct qmp *qmp, struct mfd_error *err)
{
	struct json_object *value;
	int ret = qmp_expect(qmp, "QMP", &value, err);

	if (ret)
		return ret;
	json_object_put(value);
	ret = qmp_command(qmp, "{\"execute\":\"qmp_capabilities\"}\n", &value, err);
	if (!ret)
		json_object_put(value);
	return ret;
}

/* The member @key, which must be a natural number. */
static bool get_number(struct json_object *object, const char *key, uint32_t *number)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int(value) < 0)
		return false;
	*number = json_object_get_int(value);
	return true;
}

static int ask_version(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value, *qemu;
	int ret = qmp_command(qmp, "{\"execute\":\"query-version\"}\n", &value, err);

	if (ret)
		return ret;
	if (!json_object_object_get_ex(value, "qemu", &qemu) ||
	    !get_number(qemu, "major", &peer->major) || !get_number(qemu, "minor", &peer->minor))
		ret = qmp_odd(qmp, err);
	json_object_put(value);
	return ret;
}

/*
 * A versioned machine type, such as pc-q35-8.0, makes a newer QEMU behave like
 * the version in its name. Machine types without one, such as none, are as new
 * as QEMU.
 */
static void compat_of_machine(struct mfd_peer *peer)
{
	const char *version = strrchr(peer->machine, '-');
	struct mfd_compat compat = { .size = sizeof(compat) };

	if (!version || mfd_compat_parse(&compat, version + 1, NULL))
		mfd_compat_version(&compat, peer->major, peer->minor);
	peer->compat_major = compat.major;
	peer->compat_minor = compat.minor;
}

static void keep_machine(struct mfd_peer *peer, const char *type)
{
	static const char suffix[] = "-machine";
	size_t length;

	snprintf(peer->machine, sizeof(peer->machine), "%s", type);
	length = strlen(peer->machine);
	if (length >= strlen(suffix) &&
	    !strcmp(peer->machine + length - strlen(suffix), suffix))
		peer->machine[length - strlen(suffix)] = '\0';
	compat_of_machine(peer);
}

static int ask_machine(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	int ret = qmp_command(qmp,
			      "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine\",\"property\":\"type\"}}\n",
			      &value, err);

	if (ret)
		return ret;
	if (json_object_is_type(value, json_type_string))
		keep_machine(peer, json_object_get_string(value));
	else
		ret = qmp_odd(qmp, err);
	json_object_put(value);
	return ret;
}

static int ask_channels(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	int ret = qmp_command(qmp, "{\"execute\":\"query-migrate-parameters\"}\n", &value, err);

	if (ret)
		return ret;
	if (!get_number(value, "multifd-channels", &peer->channels))
		ret = qmp_odd(qmp, err);
	json_object_put(value);
	return ret;
}

/* Return: 0; -EPROTO: @entry is no capability. */
static int look_at_capability(const struct qmp *qmp, struct json_object *entry,
			      struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *name, *state;

	if (!json_object_object_get_ex(entry, "capability", &name) ||
	    !json_object_is_type(name, json_type_string) ||
	    !json_object_object_get_ex(entry, "state", &state) ||
	    !json_object_is_type(state, json_type_boolean))
		return qmp_odd(qmp, err);
	if (!strcmp(json_object_get_string(name), "multifd"))
		peer->multifd = json_object_get_boolean(state);
	return 0;
}

static int ask_multifd(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	size_t i;
	int ret = qmp_command(qmp, "{\"execute\":\"query-migrate-capabilities\"}\n", &value,
			      err);

	if (ret)
		return ret;
	if (!json_object_is_type(value, json_type_array))
		ret = qmp_odd(qmp, err);
	for (i = 0; !ret && i < json_object_array_length(value); i++)
		ret = look_at_capability(qmp, json_object_array_get_idx(value, i), peer, err);
	json_object_put(value);
	return ret;
}

static int ask_all(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	int ret = qmp_connect(qmp, err);

	if (!ret)
		ret = qmp_greeting(qmp, err);
	if (!ret)
		ret = ask_version(qmp, peer, err);
	if (!ret)
		ret = ask_machine(qmp, peer, err);
	if (!ret)
		ret = ask_channels(qmp, peer, err);
	if (!ret)
		ret = ask_multifd(qmp, peer, err);
	return ret;
}

int mfd_peer_query(struct mfd_peer *out, const char *path, uint32_t timeout_ms,
		   struct mfd_error *err)
{
	struct mfd_peer peer = { .size = sizeof(peer) };
	struct qmp qmp = {
		.path = path,
		.deadline = mfd_now() + timeout_ms * 1000000ull,
		.fd = -1,
		.tokener = json_tokener_new(),
	};
	int ret;

	if (!qmp.tokener)
		return mfd_error_errno(err, ENOMEM, "QMP");
	ret = ask_all(&qmp, &peer, err);
	json_tokener_free(qmp.tokener);
	if (qmp.fd >= 0)
		close(qmp.fd);
	if (!ret && mfd_sized_give(out, &peer, sizeof(peer)))
		ret = mfd_error_set(err, EINVAL, "struct mfd_peer has no size");
	return ret;
}
