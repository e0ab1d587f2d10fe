/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SIZE_H
#define SIZE_H

#include <stdint.h>

/* Bytes of whole pages, such as 64M or 2G; powers of 1024. 0: @text is none. */
uint64_t size_parse(const char *text);

#endif /* SIZE_H */
