// SPDX-License-Identifier: GPL-2.0-only
/* mfdrecv: receive a QEMU migration's RAM into files. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination.h"
#include "leave.h"
#include "notify.h"
#include "program.h"
#include "received.h"
#include "signals.h"
#include "size.h"

#define PROGRAM "mfdrecv"
#define PAGE 4096

struct image {
	struct image *next;
	char *idstr;
	char *file;
	uint64_t length;
	int fd;
	bool made;			/* by us */
	dev_t dev;			/* these two: which file it is, once it is open */
	ino_t ino;
};

struct options {
	const char *listen;
	unsigned long channels;
	enum mfd_method method;
	bool compat_known;
	struct mfd_compat compat;
	uint8_t uuid[16];
	const char *machine;
	struct image *images;
	bool overwrite;
	unsigned long timeout;
	bool switchover_ack;
	struct tls tls;
	const char *device_state;
	const char *stats_json;
	bool trace;
	bool quiet;
	bool json;
};

/* What the library's callbacks work with. */
struct run {
	struct report report;
	int device_state;		/* fd, -1: drop it */
	FILE *stats;			/* NULL: none */
	struct mfd_recv *recv;
	struct mfd_tls *tls;
};

enum {
	OPT_LISTEN = OPT_OTHERS, OPT_BLOCK, OPT_OVERWRITE, OPT_DEVICE_STATE, OPT_STATS_JSON,
	OPT_TRACE, OPT_QUIET, OPT_JSON, OPT_SWITCHOVER_ACK,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "channels", required_argument, NULL, OPT_CHANNELS },
	{ "method", required_argument, NULL, OPT_METHOD },
	{ "compat", required_argument, NULL, OPT_COMPAT },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "machine", required_argument, NULL, OPT_MACHINE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "switchover-ack", no_argument, NULL, OPT_SWITCHOVER_ACK },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
	{ "device-state", required_argument, NULL, OPT_DEVICE_STATE },
	{ "stats-json", required_argument, NULL, OPT_STATS_JSON },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "json", no_argument, NULL, OPT_JSON },
	TLS_CREDENTIALS,
	PROGRAM_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static void help(void)
{
	fputs("Usage: " PROGRAM " --listen ADDRESS --block IDSTR=FILE:SIZE … [OPTION]…\n"
	      "\n"
	      "Receive the RAM of a migrating guest into files. The source is a QEMU with the\n"
	      "multifd capability on, or mfdsend. No kernel module is needed.\n"
	      "\n"
	      "  --listen tcp:HOST:PORT|unix:PATH|vsock:CID:PORT|fd:N\n"
	      "                       what the source migrates to; fd: a descriptor that listens\n"
	      "                       already: systemd passes a socket unit's as fd:3\n"
	      "  --block IDSTR=FILE:SIZE\n"
	      "                       a RAM block: IDSTR is the source's name for it, FILE takes\n"
	      "                       its memory, SIZE is exactly its length: bytes, or with K, M,\n"
	      "                       G or T (64M, 1.5G, 64MiB), which are powers of 1024. One\n"
	      "                       --block for each of the source's blocks.\n"
	      "                       FILE is made; what never held data stays a hole in it.\n"
	      "  --overwrite          FILEs may hold something already; it is lost\n"
	      "\n"
	      "The source:\n"
	      "  --channels N         its multifd-channels (default 2)\n"
	      "  --method none|zlib|zstd  its multifd-compression (default none)\n"
	      "  --compat X.Y         the version of its machine type (pc-q35-8.2: 8.2); for one\n"
	      "                       without a version, like none, that of QEMU itself. The\n"
	      "                       stream is held to what that version does.\n"
	      "  --machine NAME       the machine type that it must have (default: any)\n"
	      "  --uuid UUID          its -uuid, if it has one\n"
	      "  --timeout SECONDS    give up when it sends nothing for so long; 0: never\n"
	      "                       (default 60)\n"
	      "  --switchover-ack     it has the capability switchover-ack, and a machine type of\n"
	      "                       8.1 to 11.0\n"
	      "\n"
	      "Encryption, which the source needs as well:\n"
	      "  --tls-creds DIR      with the certificates in DIR: ca-cert.pem, server-cert.pem,\n"
	      "                       server-key.pem. The source must have one of that CA's.\n"
	      "                       (its tls-creds-x509)\n"
	      "  --tls-psk FILE       with keys that both have; the source uses one of those in\n"
	      "                       FILE (its tls-creds-psk)\n"
	      "  --tls-priority TEXT  GnuTLS's priorities\n"
	      "\n"
	      "What to tell:\n"
	      "  --device-state FILE  keep what follows RAM in the stream, beginning with the\n"
	      "                       header of the first section of a device (default: drop it)\n"
	      "  --stats-json FILE    counters, in all and for each channel, also of a failure\n"
	      "  --trace              a line on stderr for each packet, as QEMU's trace event\n"
	      "                       multifd_recv has it\n"
	      "  --quiet              no progress, no summary\n"
	      "  --json               the summary as a JSON object, also of a failure\n"
	      "  -h, --help, -V, --version\n"
	      "\n"
	      "Exit status: 0: all blocks are complete and the stream ended properly; 1: not so,\n"
	      "and the files hold a part of the guest (those without any are removed, if they are\n"
	      "new); 2: usage; 3: as 0, but the summary or the counters could not be written.\n"
	      "SIGINT, SIGTERM and SIGHUP cancel the migration.\n"
	      "\n"
	      "Examples:\n"
	      "  Receive from a QEMU started with -machine none,memory-backend=ram0 -m 1G and a\n"
	      "  memory-backend-file of that id:\n"
	      "    " PROGRAM " --listen unix:mig.sock --block ram0=copy:1G\n"
	      "    (over QMP there: migrate-set-capabilities multifd on, then migrate\n"
	      "     uri=unix:mig.sock)\n"
	      "\n"
	      "  Four channels, zstd, over TCP; its blocks as `info ramblock` there lists them:\n"
	      "    " PROGRAM " --listen tcp::4444 --channels 4 --method zstd \\\n"
	      "      --block pc.ram=ram:256M --block pc.bios=bios:256K --device-state devices\n",
	      stdout);
}

static int wrong(struct mfd_error *err, const char *text, const char *arg)
{
	err->code = EINVAL;
	snprintf(err->text, sizeof(err->text), text, arg);
	return -EINVAL;
}

/* Take IDSTR=FILE:SIZE apart, and append it to the list. */
static int add_image(struct image **images, const char *arg, struct mfd_error *err)
{
	const char *equals = strchr(arg, '='), *colon = strrchr(arg, ':');
	struct image *image;

	if (!equals || equals == arg || !colon || colon <= equals + 1)
		return wrong(err, "--block: IDSTR=FILE:SIZE is wanted, not '%.64s'", arg);
	image = calloc(1, sizeof(*image));
	if (!image)
		return wrong(err, "out of memory%s", "");
	while (*images)
		images = &(*images)->next;
	*images = image;
	image->fd = -1;
	image->idstr = strndup(arg, equals - arg);
	image->file = strndup(equals + 1, colon - equals - 1);
	image->length = size_parse(colon + 1);
	if (!image->idstr || !image->file)
		return wrong(err, "out of memory%s", "");
	if (!image->length)
		return wrong(err, "--block: a multiple of 4K like 64M or 2G is wanted, not '%.64s'",
			     colon + 1);
	return 0;
}

static void free_images(struct image *image)
{
	struct image *next;

	for (; image; image = next) {
		next = image->next;
		if (image->fd >= 0)
			close(image->fd);
		free(image->idstr);
		free(image->file);
		free(image);
	}
}

static int parse_method(const char *arg, enum mfd_method *method, struct mfd_error *err)
{
	static const char *const names[] = {
		[MFD_METHOD_NONE] = "none", [MFD_METHOD_ZLIB] = "zlib", [MFD_METHOD_ZSTD] = "zstd",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(arg, names[i])) {
			*method = i;
			return 0;
		}
	return wrong(err, "--method: one of none, zlib, zstd is wanted, not '%.64s'", arg);
}

static int parse_source(struct options *options, int option, const char *arg,
			struct mfd_error *err)
{
	switch (option) {
	case OPT_CHANNELS:
		return parse_number("channels", arg, 1, 255, &options->channels, err);
	case OPT_METHOD:
		return parse_method(arg, &options->method, err);
	case OPT_COMPAT:
		options->compat_known = true;
		return mfd_compat_parse(&options->compat, arg, err);
	case OPT_UUID:
		return mfd_uuid_parse(options->uuid, arg, err);
	case OPT_MACHINE:
		options->machine = arg;
		return 0;
	case OPT_TIMEOUT:
		return parse_number("timeout", arg, 0, 1000000, &options->timeout, err);
	case OPT_SWITCHOVER_ACK:
		options->switchover_ack = true;
		return 0;
	}
	return tls_option(&options->tls, option, arg);
}

static int take_option(void *data, int option, const char *arg, struct mfd_error *err)
{
	struct options *options = data;

	switch (option) {
	case OPT_LISTEN:
		options->listen = arg;
		return check_listen(arg, err);
	case OPT_BLOCK:
		return add_image(&options->images, arg, err);
	case OPT_OVERWRITE:
		options->overwrite = true;
		return 0;
	case OPT_DEVICE_STATE:
		options->device_state = arg;
		return 0;
	case OPT_STATS_JSON:
		options->stats_json = arg;
		return 0;
	case OPT_TRACE:
		options->trace = true;
		return 0;
	case OPT_QUIET:
		options->quiet = true;
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	}
	return parse_source(options, option, arg, err);
}

static const struct program program = {
	.name = PROGRAM,
	.options = long_options,
	.help = help,
	.take = take_option,
};

/* Return: -1 to go on, or the exit status. */
static int parse_options(struct options *options, int argc, char **argv)
{
	int status = program_parse(&program, options, argc, argv);

	if (status >= 0)
		return status;
	if (!options->listen)
		return program_usage(&program, "--listen is missing");
	if (!options->images)
		return program_usage(&program, "--block is missing");
	return -1;
}

static int file_error(const char *file, const char *why, struct mfd_error *err)
{
	err->code = errno ? errno : EEXIST;
	snprintf(err->text, sizeof(err->text), "%.128s: %.96s", file, why);
	return -err->code;
}

/* A file has many names, but can be only one thing. @st: of @file. */
static int check_unique(const struct image *images, const char *file, const struct stat *st,
			struct mfd_error *err)
{
	char why[96];

	for (; images; images = images->next) {
		if (images->dev != st->st_dev || images->ino != st->st_ino)
			continue;
		snprintf(why, sizeof(why), "it takes block %.64s already", images->idstr);
		errno = EEXIST;
		return file_error(file, why, err);
	}
	return 0;
}

/* Likewise for what is written besides memory, and need not exist yet. */
static int check_output(const struct image *images, const char *file, struct mfd_error *err)
{
	struct stat st;

	return file && !stat(file, &st) ? check_unique(images, file, &st, err) : 0;
}

/* Open it, or make it. To open a FIFO would wait for somebody at its other end. */
static int open_or_make(struct image *image)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC;

	image->fd = open(image->file, flags | O_CREAT | O_EXCL, 0600);
	image->made = image->fd >= 0;
	if (image->fd < 0 && errno == EEXIST)
		/* or a link to what does not exist yet */
		image->fd = open(image->file, flags | O_CREAT, 0600);
	return image->fd;
}

static int open_image(struct image *image, const struct options *options,
		      struct mfd_error *err)
{
	struct stat st;
	int ret;

	if (open_or_make(image) < 0 || fstat(image->fd, &st))
		return file_error(image->file, strerror(errno), err);
	errno = EINVAL;
	if (!S_ISREG(st.st_mode))
		return file_error(image->file, S_ISBLK(st.st_mode) ?
				  "it is a block device; a file is wanted, with holes where there is nothing" :
				  "it is not a file", err);
	if (!options->overwrite && st.st_size && lseek(image->fd, 0, SEEK_DATA) >= 0) {
		errno = EEXIST;
		return file_error(image->file, "it holds data already (--overwrite loses it)", err);
	}
	ret = check_unique(options->images, image->file, &st, err);
	image->dev = st.st_dev;
	image->ino = st.st_ino;
	return ret;
}

/* It has failed: files that were made for it, and hold nothing, are of no use to anybody. */
static void remove_empty(const struct image *image)
{
	struct stat st;

	for (; image; image = image->next)
		if (image->made && lseek(image->fd, 0, SEEK_DATA) < 0 && errno == ENXIO &&
		    !lstat(image->file, &st) && st.st_dev == image->dev &&
		    st.st_ino == image->ino)
			unlink(image->file);
}

/* Nothing is lost before it is clear that nothing is in the way. */
static int open_images(const struct options *options, struct mfd_error *err)
{
	struct image *image;
	int ret = 0;

	for (image = options->images; image && !ret; image = image->next)
		ret = open_image(image, options, err);
	if (!ret)
		ret = check_output(options->images, options->device_state, err);
	return ret ? ret : check_output(options->images, options->stats_json, err);
}

/* Pages that the source does not mention are zero, so the file has to be empty first. */
static int clear_image(struct image *image, struct mfd_error *err)
{
	if (!ftruncate(image->fd, 0) && !ftruncate(image->fd, image->length))
		return 0;
	return file_error(image->file, errno == EFBIG ?
			  "it may not be so large (RLIMIT_FSIZE, or its file system)" :
			  strerror(errno), err);
}

static int add_blocks(struct mfd_recv *recv, const struct options *options,
		      struct mfd_error *err)
{
	struct image *image;
	int ret = open_images(options, err);

	for (image = options->images; image && !ret; image = image->next) {
		ret = clear_image(image, err);
		if (!ret)
			ret = mfd_recv_block_add_fd(recv, image->idstr, image->fd, 0,
						    image->length, err);
	}
	return ret;
}

static int keep_device_state(const void *data, size_t size, void *opaque)
{
	struct run *run = opaque;
	const char *from = data;
	ssize_t n;

	while (size && run->device_state >= 0) {
		n = write(run->device_state, from, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		size -= n;
	}
	return 0;
}

static void trace_packet(const struct mfd_recv_packet *packet, void *opaque)
{
	(void)opaque;
	fprintf(stderr,
		"multifd_recv channel %u packet_num %ju normal pages %u zero pages %u flags 0x%x next packet size %u\n",
		packet->channel, (uintmax_t)packet->packet_num, packet->normal_pages,
		packet->zero_pages, packet->flags, packet->payload_size);
}

static void tell_stranger(const struct mfd_error *why, void *opaque)
{
	struct run *run = opaque;

	report_clear(&run->report);
	fprintf(stderr, PROGRAM ": a connection was turned away: %s\n", why->text);
}

/* To the line that all programs draw, once there is something to show. */
static void show_progress(const struct mfd_recv_progress *now, void *opaque)
{
	struct run *run = opaque;
	struct mfd_progress progress = {
		.done = now->normal + now->zero,
		.normal = now->normal,
		.zero = now->zero,
		.bytes = now->bytes,
	};

	if (now->state != MFD_RECV_RECEIVING)
		return;
	if (!run->report.begun) {
		report_begin(&run->report);
		notify("STATUS=receiving");
	}
	report_progress(&progress, &run->report);
}

static void set_params(const struct options *options, struct run *run,
		       struct mfd_recv_params *params)
{
	mfd_recv_params_init(params);
	params->channels = options->channels;
	params->method = options->method;
	params->compat = options->compat_known ? &options->compat : NULL;
	memcpy(params->uuid, options->uuid, sizeof(params->uuid));
	params->machine = options->machine;
	params->stall_ms = options->timeout * 1000;
	params->device_state = keep_device_state;
	params->packet = options->trace ? trace_packet : NULL;
	params->progress = show_progress;
	params->stranger = options->quiet ? NULL : tell_stranger;
	params->switchover_ack = options->switchover_ack;
	params->opaque = run;
	params->tls = run->tls;
}

static int listen_and_run(struct mfd_recv *recv, const struct options *options,
			  struct run *run, struct mfd_error *err)
{
	int ret = mfd_recv_listen(recv, options->listen, err);

	if (ret)
		return ret;
	if (!options->quiet)
		fprintf(stderr, PROGRAM ": listening at %s\n", mfd_recv_address(recv));
	notify("READY=1\nSTATUS=waiting for the source");
	report_wait(&run->report, "waiting for the source");
	for (struct image *image = options->images; image; image = image->next)
		run->report.total += image->length / PAGE;
	return mfd_recv_run(recv, err);
}

/* Say what the library cannot know: which signal it was, and what a file system says. */
static void explain(const struct options *options, struct mfd_error *err)
{
	struct image *image = options->images;
	size_t used = strlen(err->text);

	signals_explain(err);
	while (image && strcmp(image->idstr, err->block))
		image = image->next;
	if (image && err->kind == MFD_ERROR_MEMORY &&
	    fallocate(image->fd, FALLOC_FL_KEEP_SIZE, err->offset, PAGE))
		snprintf(err->text + used, sizeof(err->text) - used, ": %s: %s", image->file,
			 strerror(errno));
}

/*
 * To whoever wants to know; @status: of the migration, with @err unless it is 0.
 * Return: @status, or PROGRAM_UNREPORTED with @err.
 */
static int tell(const struct options *options, struct run *run, int status,
		struct mfd_error *err)
{
	struct received received = {
		.recv = run->recv,
		.channels = options->channels,
		.error = status ? err : NULL,
		.encryption = run->report.encryption,
	};

	tls_describe_destination(run->tls, run->report.encryption,
				 sizeof(run->report.encryption));
	if (run->stats && received_json(&received, run->stats) && !status) {
		file_error(options->stats_json, strerror(errno), err);
		status = PROGRAM_UNREPORTED;
	}
	if (!received.error)
		report_complete(&run->report);
	if (options->json) {
		/* so an error is told */
		run->report.json = false;
		received_json(&received, stdout);
	} else if (!received.error && !options->quiet) {
		received_summary(&run->report, &received);
	}
	return status;
}

/* Before anything is received, so that nothing is received in vain. */
static int open_outputs(const struct options *options, struct run *run, struct mfd_error *err)
{
	int fd;

	if (options->device_state) {
		run->device_state = program_open_output(options->device_state, err);
		if (run->device_state < 0)
			return run->device_state;
	}
	if (options->stats_json) {
		fd = program_open_output(options->stats_json, err);
		if (fd < 0)
			return fd;
		run->stats = fdopen(fd, "w");
		if (!run->stats)
			return file_error(options->stats_json, strerror(errno), err);
	}
	return 0;
}

/* Return: @status, or that of a file that turns out not to have been written. */
static int close_outputs(const struct options *options, struct run *run, int status,
			 struct mfd_error *err)
{
	if (run->stats && fclose(run->stats) && !status) {
		file_error(options->stats_json, strerror(errno), err);
		status = PROGRAM_UNREPORTED;
	}
	if (run->device_state >= 0 && close(run->device_state) &&
	    (!status || status == PROGRAM_UNREPORTED)) {
		file_error(options->device_state, strerror(errno), err);
		status = 1;
	}
	return status;
}

static void cancel(void *recv)
{
	mfd_recv_cancel(recv);
}

/* Return: the exit status, with an error unless it is 0. */
static int receive_and_tell(const struct options *options, struct run *run,
			    struct mfd_error *err)
{
	int ret = listen_and_run(run->recv, options, run, err);

	notify(ret ? "STOPPING=1\nSTATUS=failed" : "STOPPING=1\nSTATUS=all is there");
	if (ret) {
		leave_with(&run->report, 1, "cancelled");
		explain(options, err);
	} else {
		leave_with(&run->report, PROGRAM_UNREPORTED,
			   "all is there; cancelled before that could be reported");
	}
	return tell(options, run, !!ret, err);
}

/* Return: likewise. */
static int receive_all(const struct options *options, struct run *run, struct mfd_error *err)
{
	struct mfd_recv_params params = { .size = sizeof(params) };
	int status = 1;

	set_params(options, run, &params);
	if (mfd_recv_open(&run->recv, &params, err))
		return 1;
	signals_act(cancel, run->recv);
	if (!add_blocks(run->recv, options, err) && !open_outputs(options, run, err))
		status = receive_and_tell(options, run, err);
	else
		leave_with(&run->report, 1, "cancelled before it began");
	mfd_recv_close(run->recv);
	status = close_outputs(options, run, status, err);
	if (status == 1)
		remove_empty(options->images);
	return status;
}

/* Return: the exit status. */
static int receive(const struct options *options)
{
	struct run run = { .device_state = -1, .report.json = options->json };
	struct mfd_error err = { .size = sizeof(err) };
	int status;

	report_start(&run.report, PROGRAM, options->quiet || options->trace);
	leave_with(&run.report, 1, "cancelled before it began");
	status = tls_destination(&options->tls, &run.tls, &err);
	if (status == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	if (!status)
		status = receive_all(options, &run, &err);
	tls_close(run.tls);
	if (status)
		report_error(&run.report, &err);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {
		.channels = 2,
		.compat.size = sizeof(options.compat),
		.timeout = 60,
	};
	struct mfd_error err = { .size = sizeof(err) };
	int status;

	program_start();
	program_raise_open_files();
	status = parse_options(&options, argc, argv);
	if (status < 0)
		status = signals_start(&err) ? program_failed(&program, &err) : receive(&options);
	free_images(options.images);
	status = program_end(&program, status);
	signals_stop();
	return status;
}
