// SPDX-License-Identifier: GPL-2.0-only
/* What the command line says of encryption. */
#include <errno.h>

#include "tls.h"

int tls_option(struct tls *tls, int option, const char *arg)
{
	switch (option) {
	case OPT_TLS_CREDS:
		tls->creds = arg;
		return 0;
	case OPT_TLS_PSK:
		tls->psk = arg;
		return 0;
	case OPT_TLS_HOSTNAME:
		tls->hostname = arg;
		return 0;
	case OPT_TLS_MODE:
		tls->mode = arg;
		return 0;
	case OPT_TLS_PRIORITY:
		tls->priority = arg;
		return 0;
	case OPT_TLS_KEY_RECORDS:
		tls->key_records = arg;
		return 0;
	}
	return -ENOENT;
}

bool tls_wanted(const struct tls *tls)
{
	return tls->creds || tls->psk || tls->hostname || tls->mode || tls->priority ||
	       tls->key_records;
}
