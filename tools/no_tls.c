// SPDX-License-Identifier: GPL-2.0-only
/* Programs that were built without GnuTLS. */
#include <stdio.h>

#include "tls.h"

int tls_source(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err)
{
	*credentials = NULL;
	if (!tls_wanted(tls))
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "--tls-…: this program was built without TLS (make TLS=1)");
	return PROGRAM_USAGE;
}

int tls_destination(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err)
{
	return tls_source(tls, credentials, err);
}

void tls_close(struct mfd_tls *credentials)
{
	(void)credentials;
}

bool tls_describe(struct mfd_tls *credentials, char *text, size_t size)
{
	(void)credentials;
	(void)text;
	(void)size;
	return false;
}

bool tls_describe_destination(struct mfd_tls *credentials, char *text, size_t size)
{
	return tls_describe(credentials, text, size);
}
