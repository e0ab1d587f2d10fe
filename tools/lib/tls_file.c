// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files of certificates and keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "tls_file.h"

/* More than any file of keys has; who names another by mistake shall be told. */
#define MAX_SIZE (1 << 20)

static int failed(const struct mfd_tls_file *file, int code, struct mfd_error *err)
{
	mfd_error_errno(err, code, "TLS: %.150s", file->path);
	mfd_error_of(err, MFD_ERROR_USAGE);
	return -code;
}

static int check(const struct mfd_tls_file *file, int fd, bool secret, size_t *size,
		 struct mfd_error *err)
{
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return failed(file, errno, err);
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_SIZE)
		return mfd_error_set(err, EINVAL, "TLS: %.150s is no file of certificates or keys",
				     file->path);
	if (secret && st.st_mode & (S_IROTH | S_IWOTH)) {
		ret = mfd_error_set(err, EACCES,
				    "TLS: everybody can read the key in %.128s, or change it: chmod o-rw",
				    file->path);
		mfd_error_of(err, MFD_ERROR_USAGE);
		return ret;
	}
	*size = st.st_size;
	return 0;
}

/* Who writes to it meanwhile gets an error of what he has made of it, later. */
static int slurp(struct mfd_tls_file *file, int fd, struct mfd_error *err)
{
	size_t used = 0;
	ssize_t n;

	file->text = calloc(1, file->size + 1);
	if (!file->text)
		return failed(file, ENOMEM, err);
	while (used < file->size) {
		n = read(fd, file->text + used, file->size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(file, errno, err);
		if (!n)
			break;
		used += n;
	}
	file->size = used;
	return 0;
}

int mfd_tls_file_read(struct mfd_tls_file *file, const char *dir, const char *name,
		      bool secret, struct mfd_error *err)
{
	int fd, ret;

	*file = (struct mfd_tls_file) { .text = NULL };
	ret = snprintf(file->path, sizeof(file->path), "%s%s%s", dir ? dir : "",
		       dir ? "/" : "", name);
	if ((size_t)ret >= sizeof(file->path))
		return failed(file, ENAMETOOLONG, err);
	/* a FIFO without a writer is refused, not waited for */
	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return failed(file, errno, err);
	ret = check(file, fd, secret, &file->size, err);
	if (!ret)
		ret = slurp(file, fd, err);
	close(fd);
	if (ret)
		mfd_tls_file_wipe(file);
	return ret;
}

void mfd_tls_file_wipe(struct mfd_tls_file *file)
{
	if (file->text)
		explicit_bzero(file->text, file->size);
	free(file->text);
	file->text = NULL;
	file->size = 0;
}
