/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd: RAM sent by the kernel: what the user has chosen, and what can be
 */

#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/core/qdev-prop-internal.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "multifd-kernel.h"
#include "options.h"

const PropertyInfo qdev_prop_multifd_ram_backend = {
    .type = "MultiFDRAMBackend",
    .description = "Who sends RAM on multifd channels (threads/kernel/auto)",
    .enum_table = &MultiFDRAMBackend_lookup,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};

static const MigrationCapability incompatible[] = {
    MIGRATION_CAPABILITY_POSTCOPY_RAM,
    MIGRATION_CAPABILITY_X_COLO,
    MIGRATION_CAPABILITY_MAPPED_RAM,
    MIGRATION_CAPABILITY_ZERO_COPY_SEND,
    MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT,
    MIGRATION_CAPABILITY_XBZRLE,
};

bool multifd_kernel_check(Error **errp)
{
    const bool *caps = migrate_get_current()->capabilities;
    int i;

    for (i = 0; i < ARRAY_SIZE(incompatible); i++) {
        if (caps[incompatible[i]]) {
            error_setg(errp, "the kernel cannot send RAM with capability %s",
                       MigrationCapability_str(incompatible[i]));
            return false;
        }
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        error_setg(errp, "the kernel cannot send RAM with mode %s",
                   MigMode_str(migrate_mode()));
        return false;
    }
    return true;
}

const char *multifd_kernel_device(void)
{
    const char *path = migrate_get_current()->parameters.multifd_ram_device;

    return path && *path ? path : MULTIFD_KERNEL_DEVICE;
}

void multifd_kernel_params_query(MigrationParameters *to,
                                 const MigrationParameters *from)
{
    to->has_multifd_ram_backend = true;
    to->multifd_ram_backend = from->multifd_ram_backend;
    to->multifd_ram_device = g_strdup(multifd_kernel_device());
}

void multifd_kernel_params_print(Monitor *mon, const MigrationParameters *params)
{
    monitor_printf(mon, "%s: %s\n",
        MigrationParameter_str(MIGRATION_PARAMETER_MULTIFD_RAM_BACKEND),
        MultiFDRAMBackend_str(params->multifd_ram_backend));
    monitor_printf(mon, "%s: '%s'\n",
        MigrationParameter_str(MIGRATION_PARAMETER_MULTIFD_RAM_DEVICE),
        params->multifd_ram_device);
}
