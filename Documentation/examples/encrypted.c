/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session whose connections are encrypted: what is done before mfd_setup. */
#include <stdbool.h>

#include <mfd_tls.h>

/* [encrypted] */
/* Once: the files are read here. */
struct mfd_tls *read_certificates(const char *dir, struct mfd_error *err)
{
	struct mfd_tls_params params = { .size = sizeof(params) };
	struct mfd_tls *tls;

	mfd_tls_params_init(&params);
	params.dir = dir;			/* or psk_file, and psk_user */
	params.mode = MFD_TLS_KERNEL;		/* rather none than one that sees all pages */
	return mfd_tls_source(&tls, &params, err) ? NULL : tls;
}

/* For each migration; mfd_tls_free(tls) after mfd_close of the last one. */
bool set_up(struct mfd_session *session, struct mfd_tls *tls, struct mfd_error *err)
{
	struct mfd_params params = { .size = sizeof(params) };

	mfd_params_init(&params);
	params.tls = tls;
	return !mfd_setup(session, &params, err);
}

/* [end] */
