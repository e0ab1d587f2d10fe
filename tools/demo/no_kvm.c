// SPDX-License-Identifier: GPL-2.0-only
/* For machines that KVM's guest has no program for. */
#include "fail.h"
#include "guest.h"

int guest_kvm(struct guest **guest, const struct guest_options *options, struct mfd_error *err)
{
	(void)guest, (void)options;
	return demo_wrong(err, EOPNOTSUPP, "the guest of KVM needs an x86-64 machine");
}
