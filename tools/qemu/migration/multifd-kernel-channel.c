/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: a channel and its thread
 *
 * A socket is handed to the driver, which sends until the stream ends, with one system
 * call.  Where there is more between than a socket (TLS), or no stream socket, bytes are read
 * and written.
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "io/channel-socket.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "multifd-kernel-session.h"
#include "trace.h"

#define BUFFER_SIZE (256 * KiB)

/*
 * More than this is under way for each channel only if it is device state, since a ring holds
 * half of it: then devices' threads wait, as they do for QEMU's own.
 */
#define CHANNEL_BYTES_MOST (8 * MiB)

static void channel_error(uint8_t id, int code, bool socket, Error **errp)
{
    if (socket) {
        error_setg_errno(errp, code, "multifd channel %u: socket", id);
    } else {
        error_setg_errno(errp, code, "multifd channel %u: the kernel cannot go on", id);
    }
}

/* Returns -EOPNOTSUPP without an error if this is not such a socket. */
static int channel_pump(MultiFDKernelChannel *channel, QIOChannelSocket *socket,
                        uint8_t id, Error **errp)
{
    struct mzp_pump *pump = &channel->pump;
    int ret;

    pump->size = sizeof(*pump);
    pump->socket = socket->fd;
    ret = RETRY_ON_EINTR(ioctl(channel->fd, MZP_IOC_PUMP, pump)) < 0 ? -errno : 0;
    trace_multifd_kernel_pump(id, pump->bytes, ret);
    if (ret && ret != -EOPNOTSUPP) {
        channel_error(id, -ret, pump->stop == MZP_PUMP_SOCKET, errp);
    }
    return ret;
}

static int channel_copy(MultiFDKernelChannel *channel, QIOChannel *ioc, uint8_t id,
                        Error **errp)
{
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);
    ssize_t n;

    for (;;) {
        n = RETRY_ON_EINTR(read(channel->fd, buffer, BUFFER_SIZE));
        trace_multifd_kernel_read(id, n);
        if (n < 0) {
            channel_error(id, errno, false, errp);
        }
        if (n <= 0) {
            return n;
        }
        if (qio_channel_write_all(ioc, buffer, n, errp) < 0) {
            return -1;
        }
        qatomic_set(&channel->pump.bytes, channel->pump.bytes + n);
    }
}

static int channel_send(MultiFDSendParams *p, Error **errp)
{
    MultiFDKernelChannel *channel = &kernel_session->channels[p->id];
    QIOChannelSocket *socket = (QIOChannelSocket *)
        object_dynamic_cast(OBJECT(p->c), TYPE_QIO_CHANNEL_SOCKET);
    int ret = -EOPNOTSUPP;

    if (socket) {
        ret = channel_pump(channel, socket, p->id, errp);
    }
    if (ret == -EOPNOTSUPP) {
        ret = channel_copy(channel, p->c, p->id, errp);
    }
    return ret < 0 ? -1 : 0;
}

int multifd_kernel_channel_run(MultiFDSendParams *p, Error **errp)
{
    ERRP_GUARD();
    int ret = channel_send(p, errp);

    if (ret && qatomic_read(&kernel_session->stopping)) {
        /* it was told to */
        error_free(*errp);
        *errp = NULL;
        ret = 0;
    }
    if (ret) {
        /* before others hear that it is cancelled, and take that for the reason */
        migrate_set_error(migrate_get_current(), *errp);
        kernel_cancel();
    }
    qemu_sem_post(&kernel_session->ended);
    return ret;
}

/*
 * Not more is under way than may be.  -EAGAIN, -ENOMEM: nor more than the driver can hold, of
 * all that this user sends, unless nothing is: there is room again when it is less.
 */
static int channel_inject(struct mzp_inject *inject)
{
    struct mzp_wait_pending wait = {
        .size = sizeof(wait),
        .max_pages = UINT64_MAX,
        .max_bytes = CHANNEL_BYTES_MOST * kernel_session->nr_channels,
        .timeout_ns = KERNEL_TICK_MS * SCALE_MS,
    };
    int ret;

    do {
        ret = kernel_ioctl(MZP_IOC_WAIT_PENDING, &wait);
        if (ret == -ETIMEDOUT) {
            continue;
        }
        if (!ret) {
            ret = kernel_ioctl(MZP_IOC_INJECT, inject);
        }
        if ((ret != -EAGAIN && ret != -ENOMEM) || !(wait.pages || wait.bytes)) {
            return ret;
        }
        wait.max_pages = wait.pages / 2;
        wait.max_bytes = wait.bytes / 2;
    } while (!kernel_migration_ends() && !multifd_device_state_save_thread_should_exit());
    return -ECANCELED;
}

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
        .channel = qatomic_fetch_inc(&kernel_session->next_channel) % kernel_session->nr_channels,
        .length = sizeof(header) + state->buf_len,
        .data = (uintptr_t)data,
    };
    int ret;

    pstrcpy(header.idstr, sizeof(header.idstr), state->idstr);
    memcpy(data, &header, sizeof(header));
    memcpy(data + sizeof(header), state->buf, state->buf_len);
    ret = channel_inject(&inject);
    trace_multifd_kernel_inject(inject.channel, state->idstr, inject.length, ret);
    if (ret) {
        error_report("multifd: the kernel does not take the state of %s: %s", state->idstr,
                     strerror(-ret));
        return false;
    }
    multifd_send_data_clear(send_data);
    return true;
}
