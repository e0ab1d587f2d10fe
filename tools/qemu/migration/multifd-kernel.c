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
#include "exec/target_page.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "system/system.h"
#include "multifd-kernel-session.h"
#include "options.h"
#include "trace.h"

/* What QEMU asks of the driver, beside its first version */
#define FEATURES (MZP_FEATURE_PUMP | MZP_FEATURE_FIT | MZP_FEATURE_PENDING | \
                  MZP_FEATURE_INJECT | MZP_FEATURE_RATE | MZP_FEATURE_NO_ROUND)

/* May be under way before anything is measured, in pages */
#define MAX_PAGES_START (1 << 14)

KernelSession *kernel_session;

int kernel_ioctl(unsigned long command, void *arg)
{
    return RETRY_ON_EINTR(ioctl(kernel_session->dev, command, arg)) < 0 ? -errno : 0;
}

void kernel_cancel(void)
{
    struct mzp_cancel cancel = { .size = sizeof(cancel) };

    kernel_ioctl(MZP_IOC_CANCEL, &cancel);
}

bool kernel_migration_ends(void)
{
    return qatomic_read(&migrate_get_current()->state) == MIGRATION_STATUS_CANCELLING ||
           migrate_has_error(migrate_get_current());
}

bool multifd_kernel_active(void)
{
    return kernel_session;
}

/* --- setting up */

static bool session_open(Error **errp)
{
    const char *path = multifd_kernel_device();

    kernel_session->dev = qemu_open(path, O_RDWR, errp);
    if (kernel_session->dev >= 0) {
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
    switch (migrate_multifd_compression()) {
    case MULTIFD_COMPRESSION_NONE:
        setup->method = MZP_METHOD_NONE;
        return true;
    case MULTIFD_COMPRESSION_ZLIB:
        setup->method = MZP_METHOD_ZLIB;
        setup->level = migrate_multifd_zlib_level();
        return true;
#ifdef CONFIG_ZSTD
    case MULTIFD_COMPRESSION_ZSTD:
        setup->method = MZP_METHOD_ZSTD;
        setup->level = migrate_multifd_zstd_level();
        if (!setup->level) {
            /* libzstd's word for it */
            setup->flags |= MZP_SETUP_DEFAULT_LEVEL;
        }
        return true;
#endif
    default:
        error_setg(errp, "the kernel cannot compress with %s",
                   MultiFDCompression_str(migrate_multifd_compression()));
        return false;
    }
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
    int ret = kernel_ioctl(MZP_IOC_INFO, &info);

    if (ret == -ENOTTY) {
        error_setg(errp, "%s is another kind of device", multifd_kernel_device());
        return false;
    }
    if (!ret && (info.methods & (1u << setup->method))) {
        info.method = setup->method;
        ret = kernel_ioctl(MZP_IOC_INFO, &info);
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
        .channels = kernel_session->nr_channels,
    };
    int ret;

    if (!session_method(&setup, errp) || !session_detection(&setup, errp) ||
        !session_capable(&setup, errp)) {
        return false;
    }
    memcpy(setup.uuid, &qemu_uuid.data, sizeof(setup.uuid));
    ret = kernel_ioctl(MZP_IOC_SETUP, &setup);
    if (ret) {
        error_setg_errno(errp, -ret, "the kernel cannot set up the migration");
        if (ret == -ENOMEM) {
            error_append_hint(errp, "Perhaps RLIMIT_MEMLOCK is too low for %d channels.\n",
                              kernel_session->nr_channels);
        } else if (ret == -EBUSY) {
            error_append_hint(errp, "This file descriptor was used for a migration before; "
                              "each needs one of its own.\n");
        }
        return false;
    }
    kernel_session->detection = setup.detection;
    trace_multifd_kernel_setup(setup.channels, setup.packet_pages, setup.ring_packets,
                               setup.locked_bytes);
    return true;
}

static bool session_channels(Error **errp)
{
    int i, ret;

    for (i = 0; i < kernel_session->nr_channels; i++) {
        struct mzp_channel_get get = { .size = sizeof(get), .channel = i };

        ret = kernel_ioctl(MZP_IOC_CHANNEL, &get);
        if (ret) {
            error_setg_errno(errp, -ret, "the kernel does not give channel %d", i);
            return false;
        }
        kernel_session->channels[i].fd = get.fd;
    }
    return true;
}

static void session_new(void)
{
    int i;

    kernel_session = g_new0(KernelSession, 1);
    kernel_session->dev = -1;
    kernel_session->nr_channels = migrate_multifd_channels();
    kernel_session->channels = g_new0(MultiFDKernelChannel, kernel_session->nr_channels);
    for (i = 0; i < kernel_session->nr_channels; i++) {
        kernel_session->channels[i].fd = -1;
    }
    kernel_session->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    kernel_session->max_pages = MAX_PAGES_START;
    QSIMPLEQ_INIT(&kernel_session->jobs);
    qemu_sem_init(&kernel_session->ended, 0);
}

bool multifd_kernel_prepare(Error **errp)
{
    MultiFDRAMBackend backend = migrate_get_current()->parameters.multifd_ram_backend;
    Error *local_err = NULL;

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

/* --- the end */

int multifd_kernel_end(void)
{
    struct mzp_end end = { .size = sizeof(end) };
    int i, ret = kernel_ioctl(MZP_IOC_END, &end);

    for (i = 0; !ret && i < kernel_session->nr_channels; i++) {
        while (!ret && qemu_sem_timedwait(&kernel_session->ended, KERNEL_TICK_MS)) {
            ret = kernel_migration_ends() ? -ECANCELED : 0;
        }
    }
    if (!ret && kernel_migration_ends()) {
        ret = -ECANCELED;
    }
    /* the driver has told the last of them when a thread left it */
    kernel_count_bytes();
    trace_multifd_kernel_end(ret);
    kernel_session->over = !ret;
    return ret;
}

void multifd_kernel_stop(void)
{
    if (kernel_session && !kernel_session->over) {
        qatomic_set(&kernel_session->stopping, true);
        kernel_cancel();
    }
}

void multifd_kernel_cleanup(void)
{
    KernelJob *job;
    int i;

    if (!kernel_session) {
        return;
    }
    while ((job = QSIMPLEQ_FIRST(&kernel_session->jobs))) {
        QSIMPLEQ_REMOVE_HEAD(&kernel_session->jobs, next);
        g_free(job);
    }
    if (kernel_session->dev >= 0) {
        /* someone else may have the descriptor, too */
        kernel_cancel();
        qemu_close(kernel_session->dev);
    }
    for (i = 0; i < kernel_session->nr_channels; i++) {
        if (kernel_session->channels[i].fd >= 0) {
            close(kernel_session->channels[i].fd);
        }
    }
    g_free(kernel_session->channels);
    g_hash_table_destroy(kernel_session->blocks);
    qemu_sem_destroy(&kernel_session->ended);
    g_clear_pointer(&kernel_session, g_free);
}

void multifd_kernel_print(Monitor *mon)
{
    struct mzp_status status = { .size = sizeof(status) };

    if (kernel_session && !kernel_ioctl(MZP_IOC_STATUS, &status)) {
        monitor_printf(mon, "multifd RAM: sent by the kernel; %" PRIu64 " pages handed over, %"
                       PRIu64 " under way, %" PRIu64 " kbytes in packets\n",
                       (uint64_t)status.submitted, (uint64_t)status.pending_pages,
                       (uint64_t)status.pending_bytes / KiB);
    }
}
