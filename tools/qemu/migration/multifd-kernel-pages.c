/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: pages that are handed over, and what came of them
 */

#include "qemu/osdep.h"
#if __has_include("system/ramblock.h")
#include "system/memory.h"
#include "system/ramblock.h"
#else
#include "exec/memory.h"
#include "exec/ramblock.h"
#endif
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "migration-stats.h"
#include "multifd-kernel-session.h"
#include "ram.h"
#include "trace.h"

/* What is under way should go out in so long: a quarter of a second */
#define UNDER_WAY_NS (250 * SCALE_MS)

/* May be under way, in pages: at 4 KiB, from 16 MiB to 4 GiB */
#define MAX_PAGES_LEAST (1 << 12)
#define MAX_PAGES_MOST  (1 << 20)

/* Of the downtime limit: 10 ms of its usual 300 ms */
#define BRIDGE 32

/* Jobs whose zero pages nobody has asked for, at most */
#define MAX_JOBS 256

/*
 * A block's length does not change any more: that ends a migration.
 */
static KernelBlock *session_block(RAMBlock *rb)
{
    KernelBlock *block = g_hash_table_lookup(kernel_session->blocks, rb);
    struct mzp_block_add add = {
        .size = sizeof(add),
        .idstr = (uintptr_t)rb->idstr,
        .idstr_len = strlen(rb->idstr),
        .length = rb->used_length,
        .addr = (uintptr_t)rb->host,
    };
    int ret;

    if (block) {
        return block;
    }
    ret = kernel_ioctl(MZP_IOC_BLOCK_ADD, &add);
    if (ret) {
        error_report("multifd: the kernel does not take block %s: %s", rb->idstr,
                     strerror(-ret));
        errno = -ret;
        return NULL;
    }
    block = g_new0(KernelBlock, 1);
    block->id = add.block_id;
    g_hash_table_insert(kernel_session->blocks, rb, block);
    return block;
}

/*
 * A page that was never handed over, and holds no data, need not be sent where the
 * destination does not look at a page that is zero the first time: so with
 * zero-page-detection=multifd.  A ROM's page may hold something there.
 */
static bool fresh(const RAMBlock *rb, const KernelBlock *block, unsigned long start)
{
    return kernel_session->detection == MZP_DETECTION_MULTIFD && start >= block->sent_to &&
           !memory_region_is_rom(rb->mr);
}

static void session_remember_job(uint64_t id, RAMBlock *rb, unsigned long start,
                                 unsigned long npages)
{
    KernelJob *job = g_new(KernelJob, 1);

    *job = (KernelJob){ .id = id, .rb = rb, .start = start, .npages = npages };
    QSIMPLEQ_INSERT_TAIL(&kernel_session->jobs, job, next);
    kernel_session->nr_jobs++;
}

int64_t multifd_kernel_send(RAMBlock *rb, unsigned long start, unsigned long npages)
{
    bool legacy = kernel_session->detection == MZP_DETECTION_LEGACY;
    KernelBlock *block = session_block(rb);
    struct mzp_send send = {
        .size = sizeof(send),
        .flags = legacy ? 0 : MZP_SEND_NO_RESULT,
        .format = MZP_SEND_BITMAP,
        .first_page = start,
        .page_count = npages,
        .input = (uintptr_t)(rb->bmap + BIT_WORD(start)),
    };
    int ret;

    if (!block) {
        return -errno;
    }
    assert(!(start % BITS_PER_LONG));
    send.block_id = block->id;
    if (fresh(rb, block, start)) {
        send.flags |= MZP_SEND_FRESH;
    }
    ret = kernel_ioctl(MZP_IOC_SEND, &send);
    trace_multifd_kernel_send(rb->idstr, start, npages, send.pages, send.flags, ret);
    if (ret) {
        return ret;
    }
    block->sent_to = MAX(block->sent_to, start + npages);
    if (legacy) {
        session_remember_job(send.job_id, rb, start, npages);
    }
    return send.pages;
}

int multifd_kernel_sync(void)
{
    struct mzp_sync sync = { .size = sizeof(sync), .flags = MZP_SYNC_NO_RESULT };
    int ret;

    /* the one that the destination wants before the first page ends no round */
    if (!g_hash_table_size(kernel_session->blocks)) {
        sync.flags |= MZP_SYNC_NO_ROUND;
    }
    ret = kernel_ioctl(MZP_IOC_SYNC, &sync);
    trace_multifd_kernel_sync(ret);
    return ret;
}

/* --- what came of them */

/* Returns 0: it is done, and forgotten; -ETIMEDOUT: not yet; or another errno. */
static int job_collect(KernelJob *job, int timeout_ms, MultiFDKernelZero *zero, void *opaque)
{
    unsigned long nr_bits = ROUND_UP(job->npages, 64);
    g_autofree unsigned long *bitmap = bitmap_new(nr_bits);
    struct mzp_wait wait = {
        .size = sizeof(wait),
        .job_id = job->id,
        .timeout_ns = timeout_ms * SCALE_MS,
        .zero_bitmap = (uintptr_t)bitmap,
        .zero_bitmap_pages = nr_bits,
    };
    unsigned long bit;
    int ret = kernel_ioctl(MZP_IOC_WAIT, &wait);

    if (ret || wait.error) {
        return ret ? ret : -(int)wait.error;
    }
    for (bit = find_first_bit(bitmap, job->npages); bit < job->npages;
         bit = find_next_bit(bitmap, job->npages, bit + 1)) {
        zero(opaque, job->rb, job->start + bit);
    }
    return 0;
}

int multifd_kernel_collect(bool all, MultiFDKernelZero *zero, void *opaque)
{
    KernelJob *job;
    int ret;

    while ((job = QSIMPLEQ_FIRST(&kernel_session->jobs))) {
        bool wait = all || kernel_session->nr_jobs > MAX_JOBS;

        ret = job_collect(job, wait ? KERNEL_TICK_MS : 0, zero, opaque);
        if (ret == -ETIMEDOUT && (!wait || kernel_migration_ends())) {
            return wait ? -ECANCELED : 0;
        }
        if (ret == -ETIMEDOUT) {
            continue;
        }
        if (ret) {
            return ret;
        }
        QSIMPLEQ_REMOVE_HEAD(&kernel_session->jobs, next);
        kernel_session->nr_jobs--;
        g_free(job);
    }
    return 0;
}

static const char *block_name(uint32_t id)
{
    GHashTableIter iter;
    gpointer rb, block;

    g_hash_table_iter_init(&iter, kernel_session->blocks);
    while (g_hash_table_iter_next(&iter, &rb, &block)) {
        if (((KernelBlock *)block)->id == id) {
            return ((RAMBlock *)rb)->idstr;
        }
    }
    return "";
}

static void fail(const struct mzp_status *status)
{
    g_autoptr(Error) err = NULL;

    /* a channel's thread has failed before, or the user has cancelled it */
    if (status->error == ECANCELED && kernel_migration_ends()) {
        return;
    }
    if (status->error_block) {
        error_setg_errno(&err, status->error, "the kernel cannot send block %s, offset 0x%"
                         PRIx64, block_name(status->error_block),
                         (uint64_t)status->error_offset);
    } else {
        error_setg_errno(&err, status->error, "the kernel cannot go on");
    }
    migrate_set_error(migrate_get_current(), err);
}

/*
 * What goes out in UNDER_WAY_NS, by what went out in the last while.  Zero pages do not count:
 * they take no time, and the next ones may hold data.  A shorter while might be one in which
 * empty rings were filled.
 */
static void measure(uint64_t normal)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t took = now - kernel_session->measured_ns;
    double pages;

    kernel_session->measured_pages += normal;
    if (kernel_session->measured_ns && took < UNDER_WAY_NS) {
        return;
    }
    if (kernel_session->measured_ns) {
        pages = (double)kernel_session->measured_pages * UNDER_WAY_NS / took;
        kernel_session->max_pages = MIN(MAX(pages, MAX_PAGES_LEAST), MAX_PAGES_MOST);
    }
    kernel_session->measured_ns = now;
    kernel_session->measured_pages = 0;
}

/*
 * What of the bytes that sockets have taken may be told.  A packet is taken at once, and the
 * limit's time for it passes afterwards; from what is told in a tenth of a second QEMU sees
 * how fast it is, which is nothing where a packet takes longer than that.  So it is told as
 * the time passes.
 */
static uint64_t tell(uint64_t untold)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t passed = now - kernel_session->told_ns;

    kernel_session->told_ns = now;
    return kernel_session->rate ?
           MIN(untold, (double)kernel_session->rate * passed / NANOSECONDS_PER_SECOND) : untold;
}

void kernel_count_bytes(void)
{
    uint64_t bytes, told;
    int i;

    for (i = 0; i < kernel_session->nr_channels; i++) {
        MultiFDKernelChannel *channel = &kernel_session->channels[i];

        bytes = qatomic_read(&channel->pump.bytes);
        kernel_session->untold += bytes - channel->counted;
        channel->counted = bytes;
    }
    told = tell(kernel_session->untold);
    stat64_add(&mig_stats.multifd_bytes, told);
    kernel_session->untold -= told;
}

int multifd_kernel_account(MultiFDKernelProgress *progress)
{
    struct mzp_status *seen = &kernel_session->seen;
    struct mzp_status now = { .size = sizeof(now) };
    uint64_t normal, zero;
    int ret = kernel_ioctl(MZP_IOC_STATUS, &now);

    if (ret) {
        return ret;
    }
    normal = now.normal - seen->normal;
    zero = now.zero + now.absent - seen->zero - seen->absent;
    stat64_add(&mig_stats.normal_pages, normal);
    stat64_add(&mig_stats.zero_pages, zero);
    *seen = now;
    kernel_count_bytes();
    measure(normal);
    kernel_session->backlog = now.pending_bytes;
    *progress = (MultiFDKernelProgress) {
        .done = normal + zero,
        .pages = now.pending_pages,
        .bytes = now.pending_bytes,
    };
    trace_multifd_kernel_status(now.normal, now.zero, now.absent, now.pending_pages,
                                now.pending_bytes, now.error);
    if (now.error) {
        fail(&now);
    }
    return -(int)now.error;
}

int multifd_kernel_wait(uint64_t max_pages, uint64_t max_bytes, int timeout_ms)
{
    struct mzp_wait_pending wait = {
        .size = sizeof(wait),
        .max_pages = max_pages,
        .max_bytes = max_bytes,
        .timeout_ns = timeout_ms * SCALE_MS,
    };
    int ret = kernel_ioctl(MZP_IOC_WAIT_PENDING, &wait);

    return ret == -ETIMEDOUT ? 0 : ret;
}

uint64_t multifd_kernel_max_pages(void)
{
    return kernel_session->max_pages;
}

uint64_t multifd_kernel_bridge(void)
{
    return migrate_get_current()->threshold_size / BRIDGE;
}

uint64_t multifd_kernel_estimate(uint64_t left)
{
    uint64_t backlog;

    if (!kernel_session) {
        return 0;
    }
    backlog = kernel_session->backlog;
    if (!left && backlog <= multifd_kernel_bridge()) {
        kernel_session->looked = false;
    }
    return kernel_session->looked ? MAX(backlog, migrate_get_current()->threshold_size) : backlog;
}

uint64_t multifd_kernel_look(void)
{
    if (!kernel_session) {
        return 0;
    }
    kernel_session->looked = true;
    return kernel_session->backlog;
}

void multifd_kernel_set_rate(void)
{
    uint64_t limit = migration_rate_get();
    struct mzp_rate rate = {
        .size = sizeof(rate),
        /* it is for a tenth of a second */
        .rate = limit == RATE_LIMIT_DISABLED ? 0 : limit * 10,
    };

    if (rate.rate != kernel_session->rate && !kernel_ioctl(MZP_IOC_RATE, &rate)) {
        kernel_session->rate = rate.rate;
    }
}
