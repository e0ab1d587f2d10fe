// SPDX-License-Identifier: LGPL-2.1-or-later
/* A RAM block: a named stretch of the guest's memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "session.h"

int mfd_block_add(struct mfd_session *session, const char *idstr, const void *addr,
		  uint64_t length, struct mfd_block **out, struct mfd_error *err)
{
	struct mzp_block_add add = {
		.size = sizeof(add),
		.idstr = (uintptr_t)idstr,
		.idstr_len = strnlen(idstr, 256),
		.length = length,
		.addr = (uintptr_t)addr,
	};
	struct mfd_block *block;
	int ret = mfd_session_expect(session, MFD_SET_UP, "adding a block", err);

	if (ret)
		return ret;
	block = calloc(1, sizeof(*block));
	if (!block)
		return mfd_error_errno(err, ENOMEM, "block %.64s", idstr);
	ret = mfd_device_call(session, MZP_IOC_BLOCK_ADD, &add, err);
	if (ret) {
		free(block);
		mfd_error_prefix(err, "block %.64s", idstr);
		return ret;
	}
	block->session = session;
	block->id = add.block_id;
	block->length = length;
	memcpy(block->idstr, idstr, add.idstr_len);
	STAILQ_INSERT_TAIL(&session->blocks, block, next);
	*out = block;
	return 0;
}
