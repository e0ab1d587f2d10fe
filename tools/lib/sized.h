/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structures that begin with their size. The program and the library may have been built
 * with different versions of a header; later ones only append to a structure.
 */
#ifndef MFD_PRIVATE_SIZED_H
#define MFD_PRIVATE_SIZED_H

#include <stddef.h>

/*
 * Give the caller's structure @out, which may be NULL, the members of @own that it has.
 * Members that only it has become zero. Return: 0; -EINVAL: it has no size.
 */
int mfd_sized_give(void *out, const void *own, size_t own_size);

/*
 * Take the members of the caller's structure @in, which may be NULL. Those that it does not
 * have become zero. Return: 0; -EINVAL: it has no size; -E2BIG: it says something that
 * this library does not know.
 */
int mfd_sized_take(void *own, size_t own_size, const void *in);

#endif /* MFD_PRIVATE_SIZED_H */
