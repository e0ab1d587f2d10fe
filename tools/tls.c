// SPDX-License-Identifier: GPL-2.0-only
/* What connections are encrypted with, from the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination.h"
#include "lib/mfd_tls.h"
#include "tls.h"

static int wrong(struct mfd_error *err, const char *what, const char *text)
{
	err->code = EINVAL;
	snprintf(err->text, sizeof(err->text), "%s, not '%.64s'", what, text);
	return PROGRAM_USAGE;
}

static int set_mode(const char *text, struct mfd_tls_params *params, struct mfd_error *err)
{
	static const char *const modes[] = {
		[MFD_TLS_AUTO] = "auto", [MFD_TLS_KERNEL] = "kernel", [MFD_TLS_USER] = "user",
	};
	unsigned int i;

	if (!text)
		return 0;
	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (!strcmp(text, modes[i])) {
			params->mode = i;
			return 0;
		}
	}
	return wrong(err, "--tls-mode: one of auto, kernel, user is wanted", text);
}

/* FILE:USER, which is taken apart in @room; a destination's is FILE alone. */
static int set_psk(const char *text, bool with_user, char room[4096],
		   struct mfd_tls_params *params, struct mfd_error *err)
{
	char *colon;

	if (!text)
		return 0;
	params->psk_file = text;
	if (!with_user)
		return 0;
	if (strlen(text) >= 4096)
		return wrong(err, "--tls-psk: FILE:USER is wanted", text);
	strcpy(room, text);
	colon = strrchr(room, ':');
	if (!colon || colon == room || !colon[1])
		return wrong(err, "--tls-psk: FILE:USER is wanted", text);
	*colon = '\0';
	params->psk_file = room;
	params->psk_user = colon + 1;
	return 0;
}

static int set_key_records(const char *text, struct mfd_tls_params *params, struct mfd_error *err)
{
	unsigned long number;

	if (!text)
		return 0;
	if (parse_number("tls-key-records", text, 16, 1ul << 24, &number, err))
		return PROGRAM_USAGE;
	params->key_records = number;
	return 0;
}

static int load(const struct tls *tls, bool server, struct mfd_tls **credentials,
		struct mfd_error *err)
{
	struct mfd_tls_params params = { .size = sizeof(params) };
	char room[4096];
	int ret;

	*credentials = NULL;
	if (!tls_wanted(tls))
		return 0;
	if (!tls->creds == !tls->psk) {
		err->code = EINVAL;
		snprintf(err->text, sizeof(err->text),
			 "--tls-creds DIR is wanted for TLS, or --tls-psk FILE%s, and not both",
			 server ? "" : ":USER");
		return PROGRAM_USAGE;
	}
	mfd_tls_params_init(&params);
	params.dir = tls->creds;
	params.hostname = tls->hostname;
	params.priority = tls->priority;
	ret = set_mode(tls->mode, &params, err);
	if (!ret)
		ret = set_psk(tls->psk, !server, room, &params, err);
	if (!ret)
		ret = set_key_records(tls->key_records, &params, err);
	if (ret)
		return ret;
	ret = server ? mfd_tls_destination(credentials, &params, err) :
		       mfd_tls_source(credentials, &params, err);
	return ret ? 1 : 0;
}

int tls_source(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err)
{
	return load(tls, false, credentials, err);
}

int tls_destination(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err)
{
	return load(tls, true, credentials, err);
}

void tls_close(struct mfd_tls *credentials)
{
	mfd_tls_free(credentials);
}

static bool get_info(struct mfd_tls *credentials, struct mfd_tls_info *info)
{
	return credentials && !mfd_tls_info(credentials, info) && info->connections;
}

bool tls_describe(struct mfd_tls *credentials, char *text, size_t size)
{
	struct mfd_tls_info info = { .size = sizeof(info) };

	if (!get_info(credentials, &info))
		return false;
	snprintf(text, size, "%s, %u of %u connections by the kernel, %u new keys", info.session,
		 info.kernel, info.connections, info.key_updates);
	return true;
}

bool tls_describe_destination(struct mfd_tls *credentials, char *text, size_t size)
{
	struct mfd_tls_info info = { .size = sizeof(info) };

	if (!get_info(credentials, &info))
		return false;
	snprintf(text, size, "%s, %u connections", info.session, info.connections);
	return true;
}
