// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finding the end of a stream that cannot be parsed; see recv_tail.h. */
#include "recv_tail.h"

/* End marker, type of the description, its length (4), its first byte. */
#define HEAD_BYTES	7
#define HEAD_MASK	0x00ffff00000000ffull
#define HEAD		0x0000060000000000ull

static bool is_head(uint64_t recent)
{
	return (recent & HEAD_MASK) == (HEAD | '{');
}

/*
 * Use a slot whose end was passed, or else that of the latest end, which is the
 * least likely to be real.
 */
static void remember(struct mfd_recv_tail *tail, uint64_t end)
{
	unsigned int i, best = 0;

	for (i = 0; i < MFD_RECV_TAILS; i++) {
		if (tail->ends[i] < tail->position) {
			best = i;
			break;
		}
		if (tail->ends[i] > tail->ends[best])
			best = i;
	}
	tail->ends[best] = end;
}

void mfd_recv_tail_add(struct mfd_recv_tail *tail, const void *data, size_t size)
{
	const uint8_t *byte = data, *end = byte + size;

	for (; byte < end; byte++) {
		tail->position++;
		tail->recent = tail->recent << 8 | *byte;
		if (tail->position >= HEAD_BYTES && is_head(tail->recent))
			remember(tail, tail->position - 1 + (uint32_t)(tail->recent >> 8));
	}
}

bool mfd_recv_tail_complete(const struct mfd_recv_tail *tail)
{
	unsigned int i;

	if ((tail->recent & 0xff) != '}')
		return false;
	for (i = 0; i < MFD_RECV_TAILS; i++)
		if (tail->ends[i] == tail->position)
			return true;
	return false;
}
