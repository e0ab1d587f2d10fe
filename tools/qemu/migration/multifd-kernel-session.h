/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: the session, for those files that make it up
 */

#ifndef QEMU_MIGRATION_MULTIFD_KERNEL_SESSION_H
#define QEMU_MIGRATION_MULTIFD_KERNEL_SESSION_H

#include <linux/multifd_zp.h>
#include "multifd-kernel.h"

/**
 * struct MultiFDKernelChannel - a channel of the session
 * @fd: where its bytes come out of
 * @pump: to put them into a socket; its bytes go up while the thread is in the driver
 * @counted: what of these is in the session's untold ones, or was told; migration thread
 */
typedef struct MultiFDKernelChannel {
    int fd;
    struct mzp_pump pump;
    uint64_t counted;
} MultiFDKernelChannel;

typedef struct KernelBlock {
    uint32_t id;
    unsigned long sent_to;      /* no page from here on was handed over */
} KernelBlock;

/* With zero-page-detection=legacy: what was handed over, to be asked for its zero pages */
typedef struct KernelJob {
    QSIMPLEQ_ENTRY(KernelJob) next;
    uint64_t id;
    RAMBlock *rb;
    unsigned long start, npages;
} KernelJob;

typedef struct KernelSession {
    int dev;
    uint32_t detection;
    int nr_channels;
    MultiFDKernelChannel *channels;
    QemuSemaphore ended;        /* a channel's thread has */
    bool over;                  /* the stream has been sent, and they all have */
    bool stopping;              /* they are told to */

    GHashTable *blocks;         /* of RAMBlock */
    QSIMPLEQ_HEAD(, KernelJob) jobs;
    int nr_jobs;

    struct mzp_status seen;     /* what is in the statistics */
    uint64_t backlog;           /* bytes in packets that no socket has taken */
    bool looked;                /* for pages that were written to, since all was out */
    uint64_t max_pages;
    int64_t measured_ns;        /* since then ... */
    uint64_t measured_pages;    /* ... so many pages with data went out */
    uint64_t rate;              /* bytes per second that the driver was told */
    uint64_t untold;            /* bytes that are in sockets, but not in the statistics yet */
    int64_t told_ns;            /* when the statistics were last told */
    unsigned int next_channel;  /* for device state */
} KernelSession;

/* For so long somebody may wait before looking whether the migration ends. */
#define KERNEL_TICK_MS 50

/* NULL: none */
extern KernelSession *kernel_session;

/* Returns 0 or a negative errno. */
int kernel_ioctl(unsigned long command, void *arg);

/* Nobody is to wait for it any more. */
void kernel_cancel(void);

/* Bytes that channels have sent go into the statistics, as fast as the limit allows; all of
 * them, if there is none, as when the guest has stopped.  Migration thread. */
void kernel_count_bytes(void);

/* The migration has failed, or is cancelled. */
bool kernel_migration_ends(void);

#endif
