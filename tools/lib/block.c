// SPDX-License-Identifier: LGPL-2.1-or-later
/* A RAM block: a named stretch of the guest's memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "session.h"

static int add_block(struct mfd_session *session, const char *idstr,
		     struct mzp_block_add *add, struct mfd_block **out, struct mfd_error *err)
{
	struct mfd_block *block;
	int ret = mfd_session_expect(session, MFD_SET_UP, "adding a block", err);

	if (ret)
		return ret;
	block = calloc(1, sizeof(*block));
	if (!block)
		return mfd_error_errno(err, ENOMEM, "block %.64s", idstr);
	add->size = sizeof(*add);
	add->idstr = (uintptr_t)idstr;
	add->idstr_len = strnlen(idstr, sizeof(block->idstr));
	ret = mfd_device_call(session, MZP_IOC_BLOCK_ADD, add, err);
	if (ret) {
		free(block);
		mfd_error_prefix(err, "block %.64s", idstr);
		return ret;
	}
	block->session = session;
	block->id = add->block_id;
	block->length = add->length;
	memcpy(block->idstr, idstr, add->idstr_len);
	STAILQ_INSERT_TAIL(&session->blocks, block, next);
	*out = block;
	return 0;
}

int mfd_block_add(struct mfd_session *session, const char *idstr, const void *addr,
		  uint64_t length, struct mfd_block **out, struct mfd_error *err)
{
	struct mzp_block_add add = {
		.length = length,
		.addr = (uintptr_t)addr,
	};

	return add_block(session, idstr, &add, out, err);
}

int mfd_block_add_fd(struct mfd_session *session, const char *idstr, int fd,
		     uint64_t offset, uint64_t length, struct mfd_block **out,
		     struct mfd_error *err)
{
	struct mzp_block_add add = {
		.flags = MZP_BLOCK_FD,
		.length = length,
		.fd = fd,
		.offset = offset,
	};
	int ret = add_block(session, idstr, &add, out, err);

	if (ret == -EOPNOTSUPP)
		mfd_error_set(err, EOPNOTSUPP, "block %.64s: not a memfd, nor a file on tmpfs "
			      "or hugetlbfs; map it and give its address instead", idstr);
	return ret;
}
