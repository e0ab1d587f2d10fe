// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reading exactly what is needed, however little comes at a time. */
#include "recv_input.h"

/* Take @size bytes off the front of *@iov. */
static void advance(struct iovec **iov, int *count, size_t size)
{
	while (*count && size >= (*iov)->iov_len) {
		size -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (size) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + size;
		(*iov)->iov_len -= size;
	}
}

ssize_t mfd_recv_input_fill(struct mfd_recv_input *input, struct iovec *iov, int count,
			    size_t need, struct mfd_error *err)
{
	size_t got = 0;
	ssize_t n;

	while (got < need) {
		n = input->read(input, iov, count, err);
		if (n < 0)
			return n;
		if (!n)
			break;
		input->bytes += n;
		got += n;
		advance(&iov, &count, n);
	}
	return got;
}
