/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef INTEROP_DIAL_H
#define INTEROP_DIAL_H

/*
 * Connect to tcp:127.0.0.1:PORT, unix:PATH, unix:@NAME or vsock:1:PORT. Ends the program if
 * that cannot be done.
 */
int dial(const char *address);

#endif /* INTEROP_DIAL_H */
