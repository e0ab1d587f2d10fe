# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest needs that is migrated: the PC's two boards, and virtio.
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_PCIE_PORT=y
CONFIG_SERIAL_ISA=y
CONFIG_VGA_PCI=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_MEM=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_SERIAL=y
# What every PC has unless it is told not to: a guest that a stock QEMU brings back has its
# state.
CONFIG_HPET=y
CONFIG_VMMOUSE=y
CONFIG_VMPORT=y
# Without these, QEMU 10.2 does not link: the code for ACPI's tables calls theirs.
CONFIG_PXB=y
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y
