// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does this page look like noise, which no compressor makes smaller?
 *
 * Encrypted and compressed data is made of all byte values alike. How alike is
 * told by pairs: the fewer pairs of equal bytes a sample has, the more evenly
 * its values are spread. Of 512 bytes of perfect noise about 511 pairs are
 * equal, give or take 23. Up to 640 pass here, which is 7.68 bits of entropy a
 * byte: a Huffman code could not save 4 %. Text exceeds that within a hundred
 * bytes, so that for it the look costs next to nothing.
 *
 * Evenly spread bytes can still repeat in longer pieces. Therefore the sample
 * is taken from all over the page, eight bytes from each line of 64, and not
 * always the same eight, so that of an array of structures all members are
 * seen. A piece that repeats within the page shows as pairs. One that repeats
 * in another page does not.
 */
#include <linux/mm.h>
#include <linux/types.h>

#include "comp.h"

#define MZP_NOISE_LINE	64
#define MZP_NOISE_WORD	8
#define MZP_NOISE_PAIRS	640

/**
 * mzp_page_is_noise - whether a page looks as if it would not compress
 * @page: PAGE_SIZE bytes
 *
 * Context: any.
 */
bool mzp_page_is_noise(const void *page)
{
	/* No value gets to 256: at 36 of one, there are too many pairs. */
	u8 seen[256] = { };
	unsigned int pairs = 0;
	unsigned int line, i;

	for (line = 0; line < PAGE_SIZE / MZP_NOISE_LINE; line++) {
		const u8 *byte = page + line * MZP_NOISE_LINE +
				 line * MZP_NOISE_WORD % MZP_NOISE_LINE;

		for (i = 0; i < MZP_NOISE_WORD; i++)
			pairs += seen[byte[i]]++;
		if (pairs > MZP_NOISE_PAIRS)
			return false;
	}
	return true;
}
