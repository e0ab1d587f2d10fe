/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: a channel and its thread
 *
 * A socket is handed to the driver, which sends until the stream ends, with one system
 * call.  Where there is more between than a socket (TLS), or one of a kind that the driver
 * does not know (vsock), bytes are read and written.
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "io/channel-socket.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "multifd-kernel.h"
#include "trace.h"

#define BUFFER_SIZE (256 * KiB)

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
    MultiFDKernelChannel *channel = multifd_kernel_channel(p->id);
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

    if (ret && multifd_kernel_stopping()) {
        /* it was told to */
        error_free(*errp);
        *errp = NULL;
        ret = 0;
    }
    multifd_kernel_channel_done(ret ? *errp : NULL);
    return ret;
}
