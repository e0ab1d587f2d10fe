/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling whoever has started the program as a service how it is: systemd, if it wants. */
#ifndef NOTIFY_H
#define NOTIFY_H

/* @state: lines such as "READY=1"; sd_notify(3) has them. Nobody may want to know. */
void notify(const char *state);

#endif /* NOTIFY_H */
