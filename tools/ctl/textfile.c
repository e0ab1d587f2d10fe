// SPDX-License-Identifier: GPL-2.0-only
/* A file that others read at any time: it is there whole, or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"
#include "lib/error.h"

int ctl_textfile_open(struct ctl_textfile *text, const char *path, struct mfd_error *err)
{
	int fd;

	*text = (struct ctl_textfile) { .path = path };
	/* beside it, since a file can only be moved within a file system */
	if (asprintf(&text->name, "%s.XXXXXX", path) < 0) {
		text->name = NULL;
		return mfd_error_set(err, ENOMEM, "out of memory");
	}
	fd = mkostemp(text->name, O_CLOEXEC);
	if (fd >= 0)
		text->file = fdopen(fd, "w");
	if (text->file)
		return 0;
	mfd_error_errno(err, errno, "%s", text->name);
	if (fd >= 0) {
		close(fd);
		unlink(text->name);
	}
	free(text->name);
	return -err->code;
}

int ctl_textfile_publish(struct ctl_textfile *text, struct mfd_error *err)
{
	/* whatever the umask is: who reads it is another user */
	bool good = !fchmod(fileno(text->file), 0644) && !ferror(text->file);
	int ret = 0;

	good = !fclose(text->file) && good;
	if (!good || rename(text->name, text->path)) {
		ret = mfd_error_errno(err, errno, "%s", text->path);
		unlink(text->name);
	}
	free(text->name);
	return ret;
}
