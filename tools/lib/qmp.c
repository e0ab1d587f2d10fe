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
#include <unistd.h>

#include "dial.h"
#include "error.h"
#include "mfd_qmp.h"
#include "sized.h"

/* how often a migration that has not ended is asked about */
#define ASK_AGAIN_MS 50

struct qmp {
	const char *address;
	struct mfd_wait wait;
	int fd;
	struct json_tokener *tokener;
	size_t used, size;	/* what of @buffer has been parsed, what has been read */
	char buffer[4096];
};

static int qmp_error(const struct qmp *qmp, int code, struct mfd_error *err)
{
	return mfd_error_errno(err, code, "%.108s", qmp->address);
}

static int qmp_odd(const struct qmp *qmp, struct mfd_error *err)
{
	return mfd_error_set(err, EPROTO, "%.108s: this is not QEMU's QMP", qmp->address);
}

static int no_answer(const struct qmp *qmp, struct mfd_error *err)
{
	return mfd_error_set(err, ETIMEDOUT,
			     "%.108s: no answer; QMP serves one client at a time: is another one connected?",
			     qmp->address);
}

/* Return: 0 when there is something, or an error. */
static int wait_for(const struct qmp *qmp, short events, struct mfd_error *err)
{
	struct pollfd fd = { .fd = qmp->fd, .events = events };
	int ready;

	while (!(ready = poll(&fd, 1, mfd_wait_tick(&qmp->wait))))
		if (mfd_wait_over(&qmp->wait))
			return no_answer(qmp, err);
	if (ready < 0 && errno != EINTR)
		return qmp_error(qmp, errno, err);
	return 0;
}

/* A path alone is a UNIX socket's. */
static int parse(const char *text, struct mfd_address *address, struct mfd_error *err)
{
	char path[sizeof("unix:") + MFD_PATH_SIZE + 1];

	if (!strncmp(text, "tcp:", 4) || !strncmp(text, "unix:", 5) ||
	    !strncmp(text, "vsock:", 6))
		return mfd_address_parse(address, text, err);
	snprintf(path, sizeof(path), "unix:%s%s", *text == '@' ? "./" : "", text);
	return mfd_address_parse(address, path, err);
}

static int qmp_connect(struct qmp *qmp, struct mfd_error *err)
{
	struct mfd_address address;
	struct mfd_endpoint endpoint;
	int ret = parse(qmp->address, &address, err);

	if (!ret)
		ret = mfd_dial_address(&address, &qmp->wait, &endpoint, &qmp->fd, err);
	/* as many clients wait already as may */
	if (ret == -EAGAIN)
		return no_answer(qmp, err);
	if (ret)
		mfd_error_prefix(err, "%.108s", qmp->address);
	return ret;
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
			/* the same whether it left before or after this was written */
			return qmp_error(qmp, errno == EPIPE ? ECONNRESET : errno, err);
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
	return mfd_error_set(err, EPROTO, "%.108s: QEMU says: %.120s", qmp->address,
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

/* x.y.50 and up are on the way to the next version, and nobody knows how far. */
static bool is_release(struct json_object *qemu)
{
	uint32_t micro;

	return get_number(qemu, "micro", &micro) && micro < 50;
}

/* The member @key, which must be a string. */
static const char *get_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static int ask_version(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value, *qemu;
	int ret = qmp_command(qmp, "{\"execute\":\"query-version\"}\n", &value, err);

	if (ret)
		return ret;
	if (!json_object_object_get_ex(value, "qemu", &qemu) ||
	    !get_number(qemu, "major", &peer->major) || !get_number(qemu, "minor", &peer->minor)) {
		ret = qmp_odd(qmp, err);
	} else if (is_release(qemu)) {
		/* unless the machine type says otherwise, it is like itself */
		peer->compat_major = peer->major;
		peer->compat_minor = peer->minor;
	}
	json_object_put(value);
	return ret;
}

static void keep_machine(struct mfd_peer *peer, const char *type)
{
	static const char suffix[] = "-machine";
	struct mfd_compat compat = { .size = sizeof(compat) };
	size_t length;

	snprintf(peer->machine, sizeof(peer->machine), "%s", type);
	length = strlen(peer->machine);
	if (length >= strlen(suffix) &&
	    !strcmp(peer->machine + length - strlen(suffix), suffix))
		peer->machine[length - strlen(suffix)] = '\0';
	mfd_compat_machine(&compat, peer->machine, peer->compat_major, peer->compat_minor, NULL);
	peer->compat_major = compat.major;
	peer->compat_minor = compat.minor;
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

/* QEMU before 5.0 has no parameter for the method, since it has but one. */
static int ask_parameters(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	const char *method;
	int ret = qmp_command(qmp, "{\"execute\":\"query-migrate-parameters\"}\n", &value, err);

	if (ret)
		return ret;
	if (!get_number(value, "multifd-channels", &peer->channels))
		ret = qmp_odd(qmp, err);
	method = get_string(value, "multifd-compression");
	snprintf(peer->method, sizeof(peer->method), "%s", method ? method : "none");
	json_object_put(value);
	return ret;
}

static int ask_uuid(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	const char *uuid;
	int ret = qmp_command(qmp, "{\"execute\":\"query-uuid\"}\n", &value, err);

	if (ret)
		return ret;
	uuid = get_string(value, "UUID");
	if (!uuid || mfd_uuid_parse(peer->uuid, uuid, NULL))
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

/* Memory is new, unless it is a file. */
static int ask_memory(struct qmp *qmp, struct mfd_peer *peer, struct mfd_error *err)
{
	struct json_object *value;
	const char *type;
	size_t i;
	int ret = qmp_command(qmp,
			      "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/objects\"}}\n",
			      &value, err);

	if (ret)
		return ret;
	if (!json_object_is_type(value, json_type_array))
		ret = qmp_odd(qmp, err);
	for (i = 0; !ret && i < json_object_array_length(value); i++) {
		type = get_string(json_object_array_get_idx(value, i), "type");
		if (!type)
			ret = qmp_odd(qmp, err);
		else
			peer->memory_files += !strcmp(type, "child<memory-backend-file>");
	}
	json_object_put(value);
	return ret;
}

static int ask_all(struct qmp *qmp, void *data, struct mfd_error *err)
{
	struct mfd_peer *peer = data;
	int ret = ask_version(qmp, peer, err);

	if (!ret)
		ret = ask_machine(qmp, peer, err);
	if (!ret)
		ret = ask_parameters(qmp, peer, err);
	if (!ret)
		ret = ask_multifd(qmp, peer, err);
	if (!ret)
		ret = ask_uuid(qmp, peer, err);
	if (!ret)
		ret = ask_memory(qmp, peer, err);
	return ret;
}

/* All other words mean that it goes on. */
static uint32_t state_of(const char *status)
{
	if (!status || !strcmp(status, "none"))
		return MFD_OUTCOME_NONE;
	if (!strcmp(status, "completed"))
		return MFD_OUTCOME_COMPLETED;
	if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
		return MFD_OUTCOME_FAILED;
	return MFD_OUTCOME_ACTIVE;
}

static int ask_outcome(struct qmp *qmp, struct mfd_outcome *outcome, struct mfd_error *err)
{
	struct json_object *value;
	const char *reason;
	size_t length, cut;
	int ret = qmp_command(qmp, "{\"execute\":\"query-migrate\"}\n", &value, err);

	if (ret)
		return ret;
	outcome->state = state_of(get_string(value, "status"));
	reason = get_string(value, "error-desc") ?: "";
	/* of a long one the end is kept: what was wrong comes last */
	length = strlen(reason);
	cut = length < sizeof(outcome->reason) ? 0 : length + 1 - sizeof(outcome->reason);
	strcpy(outcome->reason, reason + cut);
	json_object_put(value);
	return 0;
}

static int await_outcome(struct qmp *qmp, void *outcome, struct mfd_error *err)
{
	const struct mfd_outcome *last = outcome;
	int ret;

	for (;;) {
		ret = ask_outcome(qmp, outcome, err);
		if (ret || last->state != MFD_OUTCOME_ACTIVE)
			return ret;
		poll(NULL, 0, ASK_AGAIN_MS);
		if (mfd_wait_over(&qmp->wait))
			return 0;
	}
}

/* Have a conversation with QEMU: @talk to it, between the formalities. */
static int converse(const char *address, uint32_t timeout_ms,
		    int (*talk)(struct qmp *qmp, void *data, struct mfd_error *err), void *data,
		    struct mfd_error *err)
{
	struct qmp qmp = {
		.address = address,
		.wait.deadline = mfd_wait_until(timeout_ms),
		.fd = -1,
	};
	int ret;

	if (!address)
		return mfd_error_set(err, EINVAL, "the address of QMP is NULL");
	qmp.tokener = json_tokener_new();
	if (!qmp.tokener)
		return mfd_error_errno(err, ENOMEM, "QMP");
	ret = qmp_connect(&qmp, err);
	if (!ret)
		ret = qmp_greeting(&qmp, err);
	if (!ret)
		ret = talk(&qmp, data, err);
	json_tokener_free(qmp.tokener);
	if (qmp.fd >= 0)
		close(qmp.fd);
	return ret;
}

int mfd_peer_query(struct mfd_peer *out, const char *address, uint32_t timeout_ms,
		   struct mfd_error *err)
{
	struct mfd_peer peer = { .size = sizeof(peer) };
	int ret = converse(address, timeout_ms, ask_all, &peer, err);

	if (!ret && mfd_sized_give(out, &peer, sizeof(peer)))
		ret = mfd_error_set(err, EINVAL, "struct mfd_peer has no size");
	return ret;
}

int mfd_peer_outcome(struct mfd_outcome *out, const char *address, uint32_t timeout_ms,
		     struct mfd_error *err)
{
	struct mfd_outcome outcome = { .size = sizeof(outcome) };
	int ret = converse(address, timeout_ms, await_outcome, &outcome, err);

	if (!ret && mfd_sized_give(out, &outcome, sizeof(outcome)))
		ret = mfd_error_set(err, EINVAL, "struct mfd_outcome has no size");
	return ret;
}
