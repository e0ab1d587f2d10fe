/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel
 *
 * The driver behind /dev/multifd_zp reads guest pages, finds out which are zero, makes
 * multifd packets of them and puts them into the channels' sockets.  QEMU keeps all the
 * rest: the dirty bitmap, the main connection, devices, when to switch over.
 */

#ifndef QEMU_MIGRATION_MULTIFD_KERNEL_H
#define QEMU_MIGRATION_MULTIFD_KERNEL_H

#include "hw/qdev-properties.h"
#include "qapi/qapi-types-migration.h"
#include "migration.h"
#include "multifd.h"

/* of packets */
#define MULTIFD_KERNEL_MAGIC 0x11223344U
#define MULTIFD_KERNEL_VERSION 1

#define MULTIFD_KERNEL_DEVICE "/dev/multifd_zp"

/* multifd-kernel-params.c: what the user has chosen.  Main thread. */

struct Monitor;

extern const PropertyInfo qdev_prop_multifd_ram_backend;

#define DEFINE_PROP_MULTIFD_RAM_BACKEND(_name, _state, _field, _default) \
    DEFINE_PROP_SIGNED(_name, _state, _field, _default, \
                       qdev_prop_multifd_ram_backend, MultiFDRAMBackend)

/* Is this migration one that the driver can send?  If not, say why. */
bool multifd_kernel_check(Error **errp);

const char *multifd_kernel_device(void);
void multifd_kernel_params_query(MigrationParameters *to,
                                 const MigrationParameters *from);
void multifd_kernel_params_print(struct Monitor *mon,
                                 const MigrationParameters *params);

/* multifd-kernel.c: the session with the driver */

/*
 * Before a migration begins: open the device and set up a session, if the parameters ask
 * for it.  Returns false if it cannot be had and nothing else is allowed; nothing has been
 * done then.  Main thread.
 */
bool multifd_kernel_prepare(Error **errp);

/* Is there a session, so that the driver sends RAM?  Any thread. */
bool multifd_kernel_active(void);

/*
 * All RAM and all device state were handed over: end the stream, and wait until channels'
 * threads have sent it.  Before the main connection says so to the destination: that closes
 * the channels when it has the guest, and to a thread that is still there, this would look
 * like a failure.  Returns 0 or a negative errno.  Migration thread.
 */
int multifd_kernel_end(void);

/* If the stream has not been ended, cancel it, so that threads return.  Main thread. */
void multifd_kernel_stop(void);

/*
 * Give the session up, if there is one: all channel threads are gone, or it has come to
 * nothing before there were any.  Main thread.
 */
void multifd_kernel_cleanup(void);

void multifd_kernel_print(struct Monitor *mon);

/* multifd-kernel-pages.c.  Migration thread, where nothing else is said. */

/*
 * Hand over the pages of a window whose bits are set in the block's bmap.  @start is a
 * multiple of BITS_PER_LONG.  The caller has cleared the dirty log of these pages before,
 * and clears the bits afterwards.  Returns how many pages, or a negative errno.
 */
int64_t multifd_kernel_send(RAMBlock *rb, unsigned long start,
                            unsigned long npages);

/* A SYNC packet on each channel, behind all that was handed over.  Does not wait. */
int multifd_kernel_sync(void);

/*
 * With zero-page-detection=legacy: tell @zero the zero pages of what has been done, in the
 * order in which it was handed over; with @all, wait until everything is.  Returns 0 or a
 * negative errno.
 */
typedef void MultiFDKernelZero(void *opaque, RAMBlock *rb, unsigned long page);
int multifd_kernel_collect(bool all, MultiFDKernelZero *zero, void *opaque);

/**
 * struct MultiFDKernelProgress - how far the driver is
 * @done: pages dealt with since the last time
 * @pages: handed over, and not dealt with
 * @bytes: in packets that no socket has taken
 */
typedef struct MultiFDKernelProgress {
    uint64_t done;
    uint64_t pages;
    uint64_t bytes;
} MultiFDKernelProgress;

/*
 * Bring the migration's statistics up to date.  Returns 0 or a negative errno: the session
 * has failed, or was cancelled.
 */
int multifd_kernel_account(MultiFDKernelProgress *progress);

/* Wait until not more is under way, or the time is over. */
int multifd_kernel_wait(uint64_t max_pages, uint64_t max_bytes, int timeout_ms);

/* max-bandwidth, as it is by now */
void multifd_kernel_set_rate(void);

/* How many pages may be under way: what goes out in a quarter of a second. */
uint64_t multifd_kernel_max_pages(void);

/*
 * What is under way, for QEMU's two questions of what is pending.  When the estimate is below
 * the threshold, QEMU looks for pages that were written to, and switches over if what it finds
 * and what is left together are below it.  If they are not, what it has found waits behind
 * what is left, and may be written to again before it is sent: so that there is no use in
 * another look before all is out.  @left: bytes of pages that are not dealt with.
 */
uint64_t multifd_kernel_estimate(uint64_t left);
uint64_t multifd_kernel_look(void);

/* Bytes that count as nothing: they go out while QEMU looks for the next round's pages. */
uint64_t multifd_kernel_bridge(void);

/* multifd-kernel-channel.c */

/* Send until the stream ends: the body of a channel's thread.  Returns 0 or -1. */
int multifd_kernel_channel_run(MultiFDSendParams *p, Error **errp);

/* Device state into one of the channels.  Any thread. */
bool multifd_kernel_send_device_state(MultiFDSendData *send_data);

/* multifd-kernel-ram.c.inc, in ram.c */

struct RAMState;
struct PageSearchStatus;

int ram_kernel_window(struct RAMState *rs, struct PageSearchStatus *pss);
int ram_kernel_sync(void);
int ram_kernel_iterate(struct RAMState *rs, QEMUFile *f);
int ram_kernel_complete(struct RAMState *rs, QEMUFile *f);

#endif
