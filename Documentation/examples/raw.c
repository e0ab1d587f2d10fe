/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RAM of a VM over sockets that are connected already, by nothing but ioctls. (A QEMU
 * at the other end wants its main connection served at the same time: wire.rst.)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

struct vm {
	void *ram;
	uint64_t size;
	uint64_t *dirty;		/* a bit for each page */
	void (*fetch_dirty)(struct vm *vm);	/* fetch and clear the dirty log */
	void (*stop)(struct vm *vm);
};

struct channel {
	pthread_t thread;
	int fd, socket;
	bool failed;
};

/* [raw] */
static void *pump(void *arg)
{
	struct channel *channel = arg;
	struct mzp_pump pump = { .size = sizeof(pump), .socket = channel->socket };

	/* to the end of the stream; the page that is not there is waited for in here */
	while ((channel->failed = ioctl(channel->fd, MZP_IOC_PUMP, &pump)) && errno == EINTR)
		;
	close(channel->fd);
	return NULL;
}

bool migrate(struct vm *vm, struct channel *channel, unsigned int nr, uint64_t downtime_pages)
{
	struct mzp_setup setup = { .size = sizeof(setup), .channels = nr,
				   .flags = MZP_SETUP_FIT, .detection = MZP_DETECTION_MULTIFD };
	struct mzp_block_add add = { .size = sizeof(add), .idstr = (uintptr_t)"ram0",
				     .idstr_len = 4, .length = vm->size,
				     .addr = (uintptr_t)vm->ram };
	struct mzp_send send = { .size = sizeof(send), .flags = MZP_SEND_FRESH,
				 .format = MZP_SEND_ALL, .page_count = vm->size / 4096 };
	struct mzp_sync sync = { .size = sizeof(sync) };
	struct mzp_wait wait = { .size = sizeof(wait), .timeout_ns = -1 };
	struct mzp_end end = { .size = sizeof(end) };
	int dev = open("/dev/multifd_zp", O_RDWR | O_CLOEXEC);
	bool ok = dev >= 0 && !ioctl(dev, MZP_IOC_SETUP, &setup) &&
		  !ioctl(dev, MZP_IOC_BLOCK_ADD, &add), stopped = false;
	unsigned int i, started = 0;

	for (i = 0; ok && i < nr; i++) {
		struct mzp_channel_get get = { .size = sizeof(get), .channel = i };

		ok = !ioctl(dev, MZP_IOC_CHANNEL, &get);
		channel[i].fd = get.fd;
		ok = ok && !pthread_create(&channel[i].thread, NULL, pump, &channel[i]);
		started += ok;
	}
	send.block_id = add.block_id;
	while (ok) {
		/* what is written from the log's clearing on, is in the next round */
		ok = !ioctl(dev, MZP_IOC_SEND, &send) && !ioctl(dev, MZP_IOC_SYNC, &sync) &&
		     !ioctl(dev, MZP_IOC_WAIT, &wait) && !wait.error;
		if (stopped)
			break;
		if (send.pages <= downtime_pages && !send.flags) {
			vm->stop(vm);
			stopped = true;
		}
		vm->fetch_dirty(vm);
		send.flags = 0;
		send.format = MZP_SEND_BITMAP;
		send.input = (uintptr_t)vm->dirty;
	}
	ok = ok && !ioctl(dev, MZP_IOC_END, &end);
	close(dev);		/* if it did not come to END, all readers fail */
	for (i = 0; i < started; i++) {
		pthread_join(channel[i].thread, NULL);
		ok = ok && !channel[i].failed;
	}
	return ok;
}
/* [end] */
