/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_FILE_H
#define MFD_PRIVATE_TLS_FILE_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "mfd.h"

/* A file of credentials, read: text that ends in a NUL which @size does not count. */
struct mfd_tls_file {
	char path[4096];
	char *text;
	size_t size;
};

/*
 * Read @name in @dir (NULL: @name is the whole path). @secret: refuse it if everybody may
 * read or write it. After an error there is nothing to wipe.
 */
int mfd_tls_file_read(struct mfd_tls_file *file, const char *dir, const char *name,
		      bool secret, struct mfd_error *err);

/* Forget it, without a trace of it in memory. Any number of times. */
void mfd_tls_file_wipe(struct mfd_tls_file *file);

static inline gnutls_datum_t mfd_tls_file_datum(const struct mfd_tls_file *file)
{
	return (gnutls_datum_t) { (unsigned char *)file->text, file->size };
}

#endif /* MFD_PRIVATE_TLS_FILE_H */
