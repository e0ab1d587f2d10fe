/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: the session with the driver
 *
 * The migration thread hands over pages, and says where the rounds end.  What comes of it
 * the driver counts (STATUS); a page that is dealt with is in a packet, and a byte that was
 * taken is in a socket.  The channels' threads put it there (multifd-kernel-channel.c).
 *
 * The main thread sets up the session before there are other threads, and takes it down
 * when they are gone, so all may look at it without a lock.
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#if __has_include("system/ramblock.h")
#include "system/memory.h"
#include "system/ramblock.h"
#else
#include "exec/memory.h"
#include "exec/ramblock.h"
#endif
#include "exec/target_page.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "system/system.h"
#include "migration-stats.h"
#include "multifd-kernel.h"
#include "options.h"
#include "ram.h"
#include "trace.h"

/* What QEMU asks of the driver, beside its first version */
#define FEATURES (MZP_FEATURE_PUMP | MZP_FEATURE_FIT | MZP_FEATURE_PENDING | \
                  MZP_FEATURE_INJECT | MZP_FEATURE_RATE)

#define TICK_MS 50

/* Of these pages, at 4 KiB: from 16 MiB to 4 GiB */
#define MAX_PAGES_LEAST (1 << 12)
#define MAX_PAGES_START (1 << 14)
#define MAX_PAGES_MOST  (1 << 20)

/* Jobs whose zero pages nobody has asked for, at most */
#define MAX_JOBS 256

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

static struct KernelSession {
    int dev;
    uint32_t detection;
    int nr_channels;
    MultiFDKernelChannel *channels;
    QemuSemaphore ended;        /* a channel's thread has */
    bool stopping;              /* they are told to */

    GHashTable *blocks;         /* of RAMBlock */
    QSIMPLEQ_HEAD(, KernelJob) jobs;
    int nr_jobs;

    struct mzp_status seen;     /* what is in the statistics */
    uint64_t backlog;
    uint64_t max_pages;
    int64_t measured_ns;        /* since then ... */
    uint64_t measured_pages;    /* ... so many pages were dealt with */
    uint64_t rate;              /* bytes per second that the driver was told */
    unsigned int next_channel;  /* for device state */
} *session;

static int session_ioctl(unsigned long command, void *arg)
{
    return RETRY_ON_EINTR(ioctl(session->dev, command, arg)) < 0 ? -errno : 0;
}

bool multifd_kernel_active(void)
{
    return session;
}

/* --- setting up */

static bool session_open(Error **errp)
{
    const char *path = multifd_kernel_device();

    session->dev = qemu_open(path, O_RDWR, errp);
    if (session->dev >= 0) {
        return true;
    }
    if (errno == ENOENT) {
        error_append_hint(errp, "Is the module multifd_zp loaded?\n");
    } else if (errno == EMFILE) {
        error_append_hint(errp, "This user has too many migrations under way.\n");
    }
    return false;
}

static bool session_method(struct mzp_setup *setup, Error **errp)
{
    int level = 0;

    switch (migrate_multifd_compression()) {
    case MULTIFD_COMPRESSION_NONE:
        setup->method = MZP_METHOD_NONE;
        return true;
    case MULTIFD_COMPRESSION_ZLIB:
        setup->method = MZP_METHOD_ZLIB;
        level = migrate_multifd_zlib_level();
        break;
#ifdef CONFIG_ZSTD
    case MULTIFD_COMPRESSION_ZSTD:
        setup->method = MZP_METHOD_ZSTD;
        level = migrate_multifd_zstd_level();
        if (!level) {
            /* libzstd's word for it */
            setup->flags |= MZP_SETUP_DEFAULT_LEVEL;
        }
        break;
#endif
    default:
        error_setg(errp, "the kernel cannot compress with %s",
                   MultiFDCompression_str(migrate_multifd_compression()));
        return false;
    }
    setup->level = level;
    return true;
}

static bool session_detection(struct mzp_setup *setup, Error **errp)
{
    switch (migrate_zero_page_detection()) {
    case ZERO_PAGE_DETECTION_NONE:
        setup->detection = MZP_DETECTION_NONE;
        return true;
    case ZERO_PAGE_DETECTION_LEGACY:
        setup->detection = MZP_DETECTION_LEGACY;
        return true;
    case ZERO_PAGE_DETECTION_MULTIFD:
        setup->detection = MZP_DETECTION_MULTIFD;
        return true;
    default:
        error_setg(errp, "the kernel cannot detect zero pages with %s",
                   ZeroPageDetection_str(migrate_zero_page_detection()));
        return false;
    }
}

/* Can the driver do what @setup asks for? */
static bool session_capable(const struct mzp_setup *setup, Error **errp)
{
    struct mzp_info info = { .size = sizeof(info) };
    int ret = session_ioctl(MZP_IOC_INFO, &info);

    if (ret == -ENOTTY) {
        error_setg(errp, "%s is another kind of device", multifd_kernel_device());
        return false;
    }
    if (!ret && (info.methods & (1u << setup->method))) {
        info.method = setup->method;
        ret = session_ioctl(MZP_IOC_INFO, &info);
    }
    if (ret) {
        error_setg_errno(errp, -ret, "the kernel does not say what it can do");
        return false;
    }
    if (info.abi_version != MZP_ABI_VERSION || (info.features & FEATURES) != FEATURES) {
        error_setg(errp, "the module multifd_zp is of another version than QEMU was "
                   "built for");
        return false;
    }
    if (info.page_size != qemu_target_page_size()) {
        error_setg(errp, "the kernel's pages have %u bytes, the guest's %zu",
                   info.page_size, qemu_target_page_size());
        return false;
    }
    if (!(info.methods & (1u << setup->method))) {
        error_setg(errp, "the kernel cannot compress with %s",
                   MultiFDCompression_str(migrate_multifd_compression()));
        return false;
    }
    if (!(setup->flags & MZP_SETUP_DEFAULT_LEVEL) &&
        (setup->level < info.level_min || setup->level > info.level_max)) {
        error_setg(errp, "the kernel's %s has levels %d to %d, not %d",
                   MultiFDCompression_str(migrate_multifd_compression()),
                   info.level_min, info.level_max, setup->level);
        return false;
    }
    return true;
}

static bool session_setup(Error **errp)
{
    struct mzp_setup setup = {
        .size = sizeof(setup),
        .flags = MZP_SETUP_FIT,
        .channels = session->nr_channels,
    };
    int ret;

    if (!session_method(&setup, errp) || !session_detection(&setup, errp) ||
        !session_capable(&setup, errp)) {
        return false;
    }
    if (setup.flags & MZP_SETUP_DEFAULT_LEVEL) {
        setup.level = 0;
    }
    memcpy(setup.uuid, &qemu_uuid.data, sizeof(setup.uuid));
    ret = session_ioctl(MZP_IOC_SETUP, &setup);
    if (ret) {
        error_setg_errno(errp, -ret, "the kernel cannot set up the migration");
        if (ret == -ENOMEM) {
            error_append_hint(errp, "Perhaps RLIMIT_MEMLOCK is too low for %d channels.\n",
                              session->nr_channels);
        } else if (ret == -EBUSY) {
            error_append_hint(errp, "This file descriptor was used for a migration before; "
                              "each needs one of its own.\n");
        }
        return false;
    }
    session->detection = setup.detection;
    trace_multifd_kernel_setup(setup.channels, setup.packet_pages, setup.ring_packets,
                               setup.locked_bytes);
    return true;
}

static bool session_channels(Error **errp)
{
    int i, ret;

    for (i = 0; i < session->nr_channels; i++) {
        struct mzp_channel_get get = { .size = sizeof(get), .channel = i };

        ret = session_ioctl(MZP_IOC_CHANNEL, &get);
        if (ret) {
            error_setg_errno(errp, -ret, "the kernel does not give channel %d", i);
            return false;
        }
        session->channels[i].fd = get.fd;
    }
    return true;
}

static void session_new(void)
{
    int i;

    session = g_new0(struct KernelSession, 1);
    session->dev = -1;
    session->nr_channels = migrate_multifd_channels();
    session->channels = g_new0(MultiFDKernelChannel, session->nr_channels);
    for (i = 0; i < session->nr_channels; i++) {
        session->channels[i].fd = -1;
    }
    session->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    session->max_pages = MAX_PAGES_START;
    QSIMPLEQ_INIT(&session->jobs);
    qemu_sem_init(&session->ended, 0);
}

bool multifd_kernel_prepare(Error **errp)
{
    MultiFDRAMBackend backend = migrate_get_current()->parameters.multifd_ram_backend;
    Error *local_err = NULL;

    /* of a migration that came to nothing before it had begun */
    multifd_kernel_cleanup();
    if (!migrate_multifd() || backend == MULTIFD_RAM_BACKEND_THREADS) {
        return true;
    }
    session_new();
    if (multifd_kernel_check(&local_err) && session_open(&local_err) &&
        session_setup(&local_err) && session_channels(&local_err)) {
        return true;
    }
    multifd_kernel_cleanup();
    if (backend == MULTIFD_RAM_BACKEND_KERNEL) {
        error_propagate(errp, local_err);
        return false;
    }
    warn_report_err(local_err);
    return true;
}

/* --- pages */

/*
 * A block's length does not change any more: that ends a migration.
 */
static KernelBlock *session_block(RAMBlock *rb)
{
    KernelBlock *block = g_hash_table_lookup(session->blocks, rb);
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
    ret = session_ioctl(MZP_IOC_BLOCK_ADD, &add);
    if (ret) {
        error_report("multifd: the kernel does not take block %s: %s", rb->idstr,
                     strerror(-ret));
        errno = -ret;
        return NULL;
    }
    block = g_new0(KernelBlock, 1);
    block->id = add.block_id;
    g_hash_table_insert(session->blocks, rb, block);
    return block;
}

/*
 * A page that was never handed over, and holds no data, need not be sent where the
 * destination does not look at a page that is zero the first time: so with
 * zero-page-detection=multifd.  A ROM's page may hold something there.
 */
static bool fresh(const RAMBlock *rb, const KernelBlock *block, unsigned long start)
{
    return session->detection == MZP_DETECTION_MULTIFD && start >= block->sent_to &&
           !memory_region_is_rom(rb->mr);
}

static void session_remember_job(uint64_t id, RAMBlock *rb, unsigned long start,
                                 unsigned long npages)
{
    KernelJob *job = g_new(KernelJob, 1);

    *job = (KernelJob){ .id = id, .rb = rb, .start = start, .npages = npages };
    QSIMPLEQ_INSERT_TAIL(&session->jobs, job, next);
    session->nr_jobs++;
}

int64_t multifd_kernel_send(RAMBlock *rb, unsigned long start, unsigned long npages)
{
    bool legacy = session->detection == MZP_DETECTION_LEGACY;
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
    ret = session_ioctl(MZP_IOC_SEND, &send);
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
    int ret = session_ioctl(MZP_IOC_SYNC, &sync);

    trace_multifd_kernel_sync(ret);
    return ret;
}

/* --- what came of them */

static bool migration_ends(void)
{
    return qatomic_read(&migrate_get_current()->state) == MIGRATION_STATUS_CANCELLING ||
           migrate_has_error(migrate_get_current());
}

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
    int ret = session_ioctl(MZP_IOC_WAIT, &wait);

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

    while ((job = QSIMPLEQ_FIRST(&session->jobs))) {
        bool wait = all || session->nr_jobs > MAX_JOBS;

        ret = job_collect(job, wait ? TICK_MS : 0, zero, opaque);
        if (ret == -ETIMEDOUT && (!wait || migration_ends())) {
            return wait ? -ECANCELED : 0;
        }
        if (ret == -ETIMEDOUT) {
            continue;
        }
        if (ret) {
            return ret;
        }
        QSIMPLEQ_REMOVE_HEAD(&session->jobs, next);
        session->nr_jobs--;
        g_free(job);
    }
    return 0;
}

static const char *block_name(uint32_t id)
{
    GHashTableIter iter;
    gpointer rb, block;

    g_hash_table_iter_init(&iter, session->blocks);
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
    if (status->error == ECANCELED && migration_ends()) {
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

/* What goes out in a quarter of a second, by what has been done in the last while. */
static void measure(uint64_t done)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t took = now - session->measured_ns;

    session->measured_pages += done;
    if (session->measured_ns && took < TICK_MS * SCALE_MS) {
        return;
    }
    if (session->measured_ns) {
        session->max_pages = MIN(MAX(session->measured_pages * 1000000000.0 / took / 4,
                                     MAX_PAGES_LEAST), MAX_PAGES_MOST);
    }
    session->measured_ns = now;
    session->measured_pages = 0;
}

static void count_bytes(void)
{
    uint64_t bytes;
    int i;

    for (i = 0; i < session->nr_channels; i++) {
        MultiFDKernelChannel *channel = &session->channels[i];

        bytes = qatomic_read(&channel->pump.bytes);
        stat64_add(&mig_stats.multifd_bytes, bytes - channel->counted);
        channel->counted = bytes;
    }
}

int multifd_kernel_account(MultiFDKernelProgress *progress)
{
    struct mzp_status *seen = &session->seen;
    struct mzp_status now = { .size = sizeof(now) };
    uint64_t normal, zero;
    int ret = session_ioctl(MZP_IOC_STATUS, &now);

    if (ret) {
        return ret;
    }
    normal = now.normal - seen->normal;
    zero = now.zero + now.absent - seen->zero - seen->absent;
    stat64_add(&mig_stats.normal_pages, normal);
    stat64_add(&mig_stats.zero_pages, zero);
    *seen = now;
    count_bytes();
    measure(normal + zero);
    qatomic_set(&session->backlog, now.pending_bytes);
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
    int ret = session_ioctl(MZP_IOC_WAIT_PENDING, &wait);

    return ret == -ETIMEDOUT ? 0 : ret;
}

int multifd_kernel_drain(void)
{
    struct mzp_wait_pending wait = {
        .size = sizeof(wait),
        .timeout_ns = TICK_MS * SCALE_MS,
    };
    int ret;

    do {
        ret = session_ioctl(MZP_IOC_WAIT_PENDING, &wait);
    } while (ret == -ETIMEDOUT && !migration_ends());
    return ret == -ETIMEDOUT ? -ECANCELED : ret;
}

uint64_t multifd_kernel_max_pages(void)
{
    return session->max_pages;
}

uint64_t multifd_kernel_backlog(void)
{
    return session ? qatomic_read(&session->backlog) : 0;
}

void multifd_kernel_set_rate(void)
{
    uint64_t limit = migration_rate_get();
    struct mzp_rate rate = {
        .size = sizeof(rate),
        /* it is for a tenth of a second */
        .rate = limit == RATE_LIMIT_DISABLED ? 0 : limit * 10,
    };

    if (rate.rate != session->rate && !session_ioctl(MZP_IOC_RATE, &rate)) {
        session->rate = rate.rate;
    }
}

/* --- device state */

bool multifd_kernel_send_device_state(MultiFDSendData *send_data)
{
    MultiFDDeviceState_t *state = &send_data->u.device_state;
    MultiFDPacketDeviceState_t header = {
        .hdr.magic = cpu_to_be32(MULTIFD_KERNEL_MAGIC),
        .hdr.version = cpu_to_be32(MULTIFD_KERNEL_VERSION),
        .hdr.flags = cpu_to_be32(MULTIFD_FLAG_NOCOMP | MULTIFD_FLAG_DEVICE_STATE),
        .instance_id = cpu_to_be32(state->instance_id),
        .next_packet_size = cpu_to_be32(state->buf_len),
    };
    g_autofree char *data = g_malloc(sizeof(header) + state->buf_len);
    struct mzp_inject inject = {
        .size = sizeof(inject),
        .channel = qatomic_fetch_inc(&session->next_channel) % session->nr_channels,
        .length = sizeof(header) + state->buf_len,
        .data = (uintptr_t)data,
    };
    int ret;

    pstrcpy(header.idstr, sizeof(header.idstr), state->idstr);
    memcpy(data, &header, sizeof(header));
    memcpy(data + sizeof(header), state->buf, state->buf_len);
    ret = session_ioctl(MZP_IOC_INJECT, &inject);
    trace_multifd_kernel_inject(inject.channel, state->idstr, inject.length, ret);
    if (ret) {
        error_report("multifd: the kernel does not take the state of %s: %s", state->idstr,
                     strerror(-ret));
        return false;
    }
    multifd_send_data_clear(send_data);
    return true;
}

/* --- channels' threads */

MultiFDKernelChannel *multifd_kernel_channel(uint8_t id)
{
    return &session->channels[id];
}

bool multifd_kernel_stopping(void)
{
    return qatomic_read(&session->stopping);
}

static void session_cancel(void)
{
    struct mzp_cancel cancel = { .size = sizeof(cancel) };

    session_ioctl(MZP_IOC_CANCEL, &cancel);
}

void multifd_kernel_channel_done(const Error *err)
{
    if (err) {
        /* before others hear that it is cancelled, and take that for the reason */
        migrate_set_error(migrate_get_current(), err);
        session_cancel();
    }
    qemu_sem_post(&session->ended);
}

/* --- the end */

/*
 * All RAM is in the sockets, see ram_kernel_complete(), and so is device state, so that the
 * threads have only to be told that nothing will follow.
 */
static bool session_end(void)
{
    struct mzp_end end = { .size = sizeof(end) };
    int i;

    if (session_ioctl(MZP_IOC_END, &end)) {
        return false;
    }
    for (i = 0; i < session->nr_channels; i++) {
        if (qemu_sem_timedwait(&session->ended, 1000)) {
            return false;
        }
    }
    return true;
}

void multifd_kernel_finish(void)
{
    MigrationState *s = migrate_get_current();

    if (!session) {
        return;
    }
    trace_multifd_kernel_finish(s->state);
    if (s->state != MIGRATION_STATUS_COMPLETED || !session_end()) {
        qatomic_set(&session->stopping, true);
        session_cancel();
    }
}

void multifd_kernel_cleanup(void)
{
    KernelJob *job;
    int i;

    if (!session) {
        return;
    }
    while ((job = QSIMPLEQ_FIRST(&session->jobs))) {
        QSIMPLEQ_REMOVE_HEAD(&session->jobs, next);
        g_free(job);
    }
    if (session->dev >= 0) {
        /* someone else may have the descriptor, too */
        session_cancel();
        qemu_close(session->dev);
    }
    for (i = 0; i < session->nr_channels; i++) {
        if (session->channels[i].fd >= 0) {
            close(session->channels[i].fd);
        }
    }
    g_free(session->channels);
    g_hash_table_destroy(session->blocks);
    qemu_sem_destroy(&session->ended);
    g_clear_pointer(&session, g_free);
}

void multifd_kernel_print(Monitor *mon)
{
    struct mzp_status status = { .size = sizeof(status) };

    if (session && !session_ioctl(MZP_IOC_STATUS, &status)) {
        monitor_printf(mon, "multifd RAM: sent by the kernel; %" PRIu64 " pages handed over, %"
                       PRIu64 " under way, %" PRIu64 " kbytes in packets\n",
                       (uint64_t)status.submitted, (uint64_t)status.pending_pages,
                       (uint64_t)status.pending_bytes / KiB);
    }
}
