/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_PIPE_H
#define MZP_PIPE_H

#include <linux/types.h>

struct file;
struct pipe_inode_info;

ssize_t mzp_pipe_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
			     size_t len, unsigned int flags);

#endif /* MZP_PIPE_H */
