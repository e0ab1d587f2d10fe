/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination of a migration, as a VMM has it:
 *
 *	receive unix:mig.sock memory
 *
 * The source is a QEMU with a block of 64 MiB called ram0.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <mfd_recv.h>

/* [receive] */
bool receive(int ram, uint64_t size, const char *address, struct mfd_error *err)
{
	struct mfd_recv *recv = NULL;
	struct mfd_recv_params params = { .size = sizeof(params) };
	bool ok;

	mfd_recv_params_init(&params);
	params.channels = 2;		/* the source's multifd-channels */
	ok = !mfd_recv_open(&recv, &params, err) &&
	     !mfd_recv_block_add_fd(recv, "ram0", ram, 0, size, err) &&
	     !mfd_recv_listen(recv, address, err) &&
	     !mfd_recv_run(recv, err);	/* here it comes */
	mfd_recv_close(recv);
	return ok;			/* if not, the guest must not be run */
}
/* [end] */

int main(int argc, char **argv)
{
	struct mfd_error err = { .size = sizeof(err) };
	int ram;

	if (argc != 3)
		return 2;
	ram = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (ram < 0 || ftruncate(ram, 64 << 20)) {
		perror(argv[2]);
		return 1;
	}
	if (!receive(ram, 64 << 20, argv[1], &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	return 0;
}
