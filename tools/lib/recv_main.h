/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The main connection's stream: sections of RAM into guest memory, the rest to
 * the VMM. Knows neither sockets nor threads.
 */
#ifndef MFD_PRIVATE_RECV_MAIN_H
#define MFD_PRIVATE_RECV_MAIN_H

#include "recv_block.h"
#include "recv_input.h"
#include "recv_tail.h"

enum mfd_recv_ram { MFD_RECV_RAM_NONE, MFD_RECV_RAM_RUNNING, MFD_RECV_RAM_ENDED };

struct mfd_recv_main {
	struct mfd_recv_input *input;
	struct mfd_recv_blocks *blocks;
	const char *machine;		/* NULL: any */
	const uint8_t *uuid;
	const struct mfd_compat *compat;	/* NULL: unknown */
	bool switchover_ack;		/* as in struct mfd_recv_params */
	/* Wait until all channels are at their next SYNC, and let them go on. */
	int (*flush)(struct mfd_recv_main *in, struct mfd_error *err);
	/* Tell the source something, without waiting. */
	int (*reply)(struct mfd_recv_main *in, const void *data, size_t size,
		     struct mfd_error *err);
	/* As in struct mfd_recv_params; or NULL. */
	int (*device_state)(const void *data, size_t size, void *opaque);
	void *opaque;

	bool return_path;		/* the source listens to replies */
	enum mfd_recv_ram ram;
	uint32_t ram_id;
	bool listed;			/* the blocks are known */
	enum mfd_flush flush_by;	/* as the set-up section shows */
	struct mfd_recv_block *last;	/* of the record before, NULL: none */
	struct mfd_recv_tail tail;	/* of the state of devices */

	/* of struct mfd_recv_progress */
	_Atomic uint64_t syncs;
	_Atomic uint64_t normal;
	_Atomic uint64_t zero;
	_Atomic uint64_t cleared;
	_Atomic uint64_t device_bytes;

	uint64_t position;		/* bytes that were parsed */
	/* the beginning of the section under way, as it came */
	uint8_t section[1 + 4 + 1 + 255 + 4 + 4];
	size_t section_used;
	size_t begin, end;		/* what is in the buffer */
	uint8_t buffer[65536];
};

/*
 * Receive the stream, behind its magic, to its end. The members up to @opaque are
 * set, the others zero. Return: 0 or an error.
 */
int mfd_recv_main_run(struct mfd_recv_main *in, struct mfd_error *err);

/* Tell a source with a return path how all of the migration ended. Return: 0 or an error. */
int mfd_recv_main_shut(struct mfd_recv_main *in, bool failed, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_MAIN_H */
