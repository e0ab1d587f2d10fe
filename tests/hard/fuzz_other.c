// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is done to sessions, and to the module, from beside them: netlink, children
 * that have it all too, signals, unloading.
 */
#include "fuzz_call.h"
#include "genl.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int call_netlink(uint64_t *r)
{
	static const uint8_t commands[] = {
		MZP_NL_CMD_INFO_GET, MZP_NL_CMD_SESSION_GET, MZP_NL_CMD_CHANNEL_GET,
		MZP_NL_CMD_WORKER_GET, MZP_NL_CMD_SESSION_LIMIT, MZP_NL_CMD_SESSION_CANCEL,
		MZP_NL_CMD_TOTALS_GET, MZP_NL_CMD_HISTORY_GET, MZP_NL_CMD_HOST_GET,
		MZP_NL_CMD_HOST_SET,
	};
	uint8_t cmd = chance(r, 95) ? commands[pick(r, ARRAY_SIZE(commands))] : number(r);
	int dev = any(device, DEVICES, r), fd, err = 0;
	struct genl_request request;
	char path[64], text[64];
	uint8_t buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *answer = (struct nlmsghdr *)buf;
	uint64_t id = number(r);
	ssize_t n;

	if (cmd == MZP_NL_CMD_SESSION_CANCEL && chance(r, 70))
		cmd = MZP_NL_CMD_SESSION_GET;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dev);
	fd = chance(r, 80) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		char *at;

		n = pread(fd, buf, sizeof(buf) - 1, 0);
		buf[n < 0 ? 0 : n] = 0;
		at = strstr((char *)buf, "mzp-session:");
		if (at)
			id = strtoull(at + 12, NULL, 0);
		close(fd);
	}
	genl_begin(&request, cmd, chance(r, 40));
	if (cmd == MZP_NL_CMD_WORKER_GET) {
		genl_put_u32(&request, MZP_A_WORKER_CPU, number(r));
	} else if (cmd == MZP_NL_CMD_CHANNEL_GET) {
		genl_put_u64(&request, MZP_A_CHANNEL_SESSION, id);
		if (chance(r, 80))
			genl_put_u32(&request, MZP_A_CHANNEL_ID, number(r));
	} else if (cmd == MZP_NL_CMD_HOST_SET) {
		/* nothing that leaves others without a session, or hardly lets them send */
		if (chance(r, 50))
			genl_put_u32(&request, MZP_A_HOST_MAX_SESSIONS, chance(r, 50) ? 0 : 1000);
		for (uint16_t rate = MZP_A_HOST_DEFAULT_RATE; rate <= MZP_A_HOST_TOTAL_RATE; rate++)
			if (chance(r, 50))
				genl_put_u64(&request, rate,
					     chance(r, 50) ? 0 : 16 * MIB + number(r));
	} else if (cmd != MZP_NL_CMD_INFO_GET && cmd != MZP_NL_CMD_TOTALS_GET &&
		   cmd != MZP_NL_CMD_HOST_GET) {
		genl_put_u64(&request, MZP_A_SESSION_ID, id);
	}
	if (cmd == MZP_NL_CMD_SESSION_LIMIT) {
		static const char *const lists[] = { "0", "1", "0-1", "", "7", "x", "0,1", "0-" };
		const char *list = lists[pick(r, ARRAY_SIZE(lists))];

		snprintf(text, sizeof(text), "%s", list);
		if (chance(r, 70))
			genl_put(&request, MZP_A_SESSION_CPUS, text, strlen(text) + 1);
		if (chance(r, 50))
			genl_put_u64(&request, MZP_A_SESSION_RATE,
				     chance(r, 50) ? 0 : MIB + number(r));
	}
	if (chance(r, 10))
		request.bytes[pick(r, request.length)] ^= 1 << pick(r, 8);
	if (send(netlink, request.bytes, request.length, MSG_DONTWAIT) < 0)
		return 1;
	while (recv(netlink, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
		if (answer->nlmsg_type == NLMSG_ERROR)
			err = -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
	}
	errno = err;
	return err;
}

static void in_child(uint64_t *r)
{
	for (unsigned int i = pick(r, 6); i; i--) {
		call_read(r);
		call_wait(r);
		call_splice(r);
		call_pump(r);
		call_fdinfo(r);
	}
	if (chance(r, 10))
		execl("/bin/true", "true", NULL);
}

int call_fork(uint64_t *r)
{
	pid_t pid;
	int status;

	/* Expensive. */
	if (chance(r, 80))
		return NOT_MADE;
	pid = fork();
	if (!pid) {
		ualarm(50000, 0);
		in_child(r);
		_exit(0);
	}
	if (pid < 0)
		return 1;
	if (chance(r, 50))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int call_signal(uint64_t *r)
{
	(void)r;
	return kill(getpid(), SIGUSR1);
}

/* There are descriptors open, so it must not go. */
int call_unload(uint64_t *r)
{
	(void)r;
	if (!syscall(SYS_delete_module, "multifd_zp", O_NONBLOCK)) {
		fprintf(stderr, "# the module was unloaded while it was in use\n");
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return 1;
}
