// SPDX-License-Identifier: LGPL-2.1-or-later
/* Blocks: they come, and some go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "device.h"
#include "dirty.h"
#include "error.h"
#include "job.h"

/*
 * QEMU's main connection names all blocks once, at its start. Without one, they may come
 * at any time.
 */
static int expect_place(struct mfd_session *session, struct mfd_error *err)
{
	if (session && session->state == MFD_CONNECTED && !mfd_has_main(session))
		return mfd_session_expect(session, MFD_CONNECTED, "adding a block", err);
	return mfd_session_expect(session, MFD_SET_UP, "adding a block", err);
}

static struct mfd_block *new_block(struct mfd_session *session, const char *idstr,
				   const struct mzp_block_add *add)
{
	struct mfd_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	block->session = session;
	block->length = add->length;
	memcpy(block->idstr, idstr, add->idstr_len);
	return block;
}

static int add_block(struct mfd_session *session, const char *idstr,
		     struct mzp_block_add *add, struct mfd_block **out, struct mfd_error *err)
{
	struct mfd_block *block;
	int ret = expect_place(session, err);

	if (ret)
		return ret;
	if (!idstr || !out)
		return mfd_error_set(err, EINVAL, "a block has a name, and a place where it goes");
	add->size = sizeof(*add);
	add->idstr = (uintptr_t)idstr;
	add->idstr_len = strnlen(idstr, sizeof(block->idstr));
	if (add->idstr_len == sizeof(block->idstr))
		return mfd_error_set(err, EINVAL, "block %.64s…: a name has at most 255 bytes",
				     idstr);
	block = new_block(session, idstr, add);
	if (!block)
		return mfd_error_errno(err, ENOMEM, "block %.64s", idstr);
	ret = mfd_device_call(session, MZP_IOC_BLOCK_ADD, add, err);
	if (ret) {
		mfd_block_free(block);
		mfd_error_prefix(err, "block %.64s", idstr);
		return ret;
	}
	block->id = add->block_id;
	*session->blocks_end = block;
	session->blocks_end = &block->next;
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

/* What has been handed over of it is to be done before it goes. */
static int finish_jobs(struct mfd_session *session, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;

	if (session->state != MFD_CONNECTED)
		return 0;
	return mfd_session_result(session, mfd_jobs_wait(session, &why), &why, err);
}

static void unlink_block(struct mfd_session *session, struct mfd_block *block)
{
	struct mfd_block **link = &session->blocks;

	while (*link != block)
		link = &(*link)->next;
	*link = block->next;
	if (session->blocks_end == &block->next)
		session->blocks_end = link;
}

int mfd_block_remove(struct mfd_block *block, struct mfd_error *err)
{
	struct mzp_block_remove remove = { .size = sizeof(remove) };
	struct mfd_session *session = block ? block->session : NULL;
	int ret;

	ret = mfd_session_expect(session, session && session->state == MFD_CONNECTED ?
				 MFD_CONNECTED : MFD_SET_UP, "removing a block", err);
	if (!ret)
		ret = finish_jobs(session, err);
	if (ret)
		return ret;
	remove.block_id = block->id;
	ret = mfd_device_call(session, MZP_IOC_BLOCK_REMOVE, &remove, err);
	if (ret) {
		mfd_error_prefix(err, "block %.64s", block->idstr);
		return ret;
	}
	unlink_block(session, block);
	mfd_block_free(block);
	return 0;
}

void mfd_block_free(struct mfd_block *block)
{
	mfd_dirty_free(block);
	free(block);
}

void mfd_blocks_free(struct mfd_session *session)
{
	struct mfd_block *block;

	while ((block = session->blocks)) {
		session->blocks = block->next;
		mfd_block_free(block);
	}
	session->blocks_end = &session->blocks;
}
