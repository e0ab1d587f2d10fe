/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device of QEMU's, for tests: it has much state, which it sends on multifd channels, in
 * a thread of its own, as a VFIO device does.  tools/qemu/build --with-state-device makes a
 * QEMU that has it.
 *
 * Piece number n of the state begins with n; what follows, and how much it is, comes from n
 * and the device's number.  Pieces come in any order, each once.
 */

#include "qemu/osdep.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "migration/misc.h"
#include "migration/register.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qom/object.h"

#define TYPE_STATE_DEVICE "multifd-test-state"
OBJECT_DECLARE_SIMPLE_TYPE(StateDevice, STATE_DEVICE)

/* A number alone, a page and its neighbours, more than a packet of RAM, and VFIO's most. */
static const size_t sizes[] = {
    4, 5, 4095, 4096, 4097, 65537, 128 * 4096 + 1, MiB - 1, MiB,
};

/**
 * struct StateDevice - the device
 * @number: of it, unlike those of others of this kind
 * @pieces: how many there are
 * @small: all have the first of the sizes
 * @refuses: a migration must not begin
 * @wait_for: no piece is accepted before this file is there; NULL: there is none
 * @received: pieces that have come whole; any thread
 * @wrong: others; any thread
 * @here: which have come, under @lock
 */
struct StateDevice {
    DeviceState parent_obj;
    uint32_t number;
    uint32_t pieces;
    bool small;
    bool refuses;
    char *wait_for;
    uint32_t received;
    uint32_t wrong;
    QemuMutex lock;
    unsigned long *here;
};

static size_t piece_size(StateDevice *dev, uint32_t piece)
{
    return dev->small ? sizes[0] : sizes[piece % ARRAY_SIZE(sizes)];
}

static void piece_fill(StateDevice *dev, uint32_t piece, char *buf, size_t len)
{
    uint32_t x = piece * 2654435761u + dev->number;
    size_t at;

    stl_be_p(buf, piece);
    for (at = sizeof(piece); at < len; at++) {
        x = x * 1664525u + 1013904223u;
        buf[at] = x >> 24;
    }
}

static int state_save_prepare(void *opaque, Error **errp)
{
    StateDevice *dev = opaque;

    if (dev->refuses) {
        error_setg(errp, "%s %u refuses", TYPE_STATE_DEVICE, dev->number);
        return -EINVAL;
    }
    return 0;
}

static bool state_save(SaveLiveCompletePrecopyThreadData *data, Error **errp)
{
    StateDevice *dev = data->handler_opaque;
    g_autofree char *buf = g_malloc(MiB);
    uint32_t piece;

    for (piece = 0; piece < dev->pieces; piece++) {
        size_t len = piece_size(dev, piece);

        piece_fill(dev, piece, buf, len);
        if (!multifd_queue_device_state(data->idstr, data->instance_id, buf, len)) {
            error_setg(errp, "%s %u: piece %u is not taken", data->idstr, data->instance_id,
                       piece);
            return false;
        }
    }
    return true;
}

/* Each piece comes once: the first time, returns true. */
static bool piece_is_new(StateDevice *dev, uint32_t piece)
{
    QEMU_LOCK_GUARD(&dev->lock);
    return piece < dev->pieces && !test_and_set_bit(piece, dev->here);
}

static bool state_load(void *opaque, char *buf, size_t len, Error **errp)
{
    StateDevice *dev = opaque;
    uint32_t piece = len < sizeof(piece) ? UINT32_MAX : ldl_be_p(buf);
    g_autofree char *expected = NULL;

    while (dev->wait_for && access(dev->wait_for, F_OK)) {
        g_usleep(10 * 1000);
    }
    if (!piece_is_new(dev, piece) || len != piece_size(dev, piece)) {
        qatomic_inc(&dev->wrong);
        error_setg(errp, "%s %u: piece %u of %zu bytes", TYPE_STATE_DEVICE, dev->number, piece,
                   len);
        return false;
    }
    expected = g_malloc(len);
    piece_fill(dev, piece, expected, len);
    if (memcmp(buf, expected, len)) {
        qatomic_inc(&dev->wrong);
        error_setg(errp, "%s %u: piece %u is not as it was", TYPE_STATE_DEVICE, dev->number,
                   piece);
        return false;
    }
    qatomic_inc(&dev->received);
    return true;
}

/* The guest must not run before all has come. */
static bool state_complete(void *opaque, bool *should_quit, Error **errp)
{
    StateDevice *dev = opaque;

    while (qatomic_read(&dev->received) < dev->pieces) {
        if (qatomic_read(should_quit)) {
            error_setg(errp, "%s %u: pieces are missing", TYPE_STATE_DEVICE, dev->number);
            return false;
        }
        g_usleep(10 * 1000);
    }
    return true;
}

static int state_load_setup(QEMUFile *f, void *opaque, Error **errp)
{
    qemu_loadvm_start_load_thread(state_complete, opaque);
    return 0;
}

static const SaveVMHandlers state_handlers = {
    .save_prepare = state_save_prepare,
    .save_live_complete_precopy_thread = state_save,
    .load_setup = state_load_setup,
    .load_state_buffer = state_load,
};

static void state_realize(DeviceState *parent, Error **errp)
{
    StateDevice *dev = STATE_DEVICE(parent);

    qemu_mutex_init(&dev->lock);
    dev->here = bitmap_new(dev->pieces);
    register_savevm_live(TYPE_STATE_DEVICE, dev->number, 1, &state_handlers, dev);
}

static const Property state_properties[] = {
    DEFINE_PROP_UINT32("number", StateDevice, number, 0),
    DEFINE_PROP_UINT32("pieces", StateDevice, pieces, 0),
    DEFINE_PROP_BOOL("small", StateDevice, small, false),
    DEFINE_PROP_STRING("wait-for", StateDevice, wait_for),
    DEFINE_PROP_BOOL("refuses", StateDevice, refuses, false),
    DEFINE_PROP_UINT32("received", StateDevice, received, 0),
    DEFINE_PROP_UINT32("wrong", StateDevice, wrong, 0),
};

static void state_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = state_realize;
    dc->hotpluggable = false;
    device_class_set_props(dc, state_properties);
}

static const TypeInfo state_info = {
    .name = TYPE_STATE_DEVICE,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(StateDevice),
    .class_init = state_class_init,
};

static void state_register(void)
{
    type_register_static(&state_info);
}

type_init(state_register)
