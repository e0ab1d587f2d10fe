// SPDX-License-Identifier: GPL-2.0-only
/*
 * libmfd in a static program of another C library. It ends well with or without the
 * module; without, the library has to say that this is what is missing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mfd.h>

#define EXPECT(what)								\
	do {									\
		if (!(what)) {							\
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);	\
			exit(1);						\
		}								\
	} while (0)

static void helpers(void)
{
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_compat compat = { .size = sizeof(compat) };
	struct mfd_error err = { .size = sizeof(err) };
	uint8_t uuid[16];

	EXPECT(!mfd_params_init(&params));
	EXPECT(params.size == sizeof(params) && params.channels == 2);
	EXPECT(!mfd_compat_parse(&compat, "8.2", &err));
	EXPECT(compat.major == 8 && compat.minor == 2 && compat.flush == MFD_FLUSH_ROUND);
	EXPECT(mfd_compat_parse(&compat, "eight", &err) == -EINVAL);
	EXPECT(err.code == EINVAL && err.kind == MFD_ERROR_USAGE && strstr(err.text, "eight"));
	EXPECT(!mfd_uuid_parse(uuid, "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39", &err));
	EXPECT(uuid[0] == 0x6f && uuid[15] == 0x39);
}

static void open_and_close(void)
{
	struct mfd_info info = { .size = sizeof(info) };
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_session *session;
	int ret = mfd_open(&session, NULL, &err);

	if (ret) {
		printf("%s\n", err.text);
		EXPECT(ret == -err.code && err.kind == MFD_ERROR_MODULE && err.text[0]);
		return;
	}
	EXPECT(!mfd_info(session, &info, &err) && info.page_size);
	mfd_close(session);
}

int main(void)
{
	EXPECT(atoi(mfd_version()) == MFD_VERSION_MAJOR);
	helpers();
	open_and_close();
	return 0;
}
