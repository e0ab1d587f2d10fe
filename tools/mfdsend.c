// SPDX-License-Identifier: GPL-2.0-only
/* mfdsend: migrate files that hold guest memory to a stock QEMU. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination.h"
#include "leave.h"
#include "program.h"
#include "report.h"
#include "signals.h"

#define PROGRAM "mfdsend"

struct image {
	struct image *next;
	char *idstr;
	const char *file;
	bool by_fd;		/* no mapping: the module looks into the file itself */
	int fd;
	void *addr;
	uint64_t length;
	struct mfd_block *block;
};

struct options {
	struct destination destination;
	unsigned int first_flags;	/* of enum mfd_send_flags */
	struct image *images;
	bool quiet;
	bool json;
};

enum { OPT_BLOCK = OPT_OTHERS, OPT_BLOCK_FD, OPT_QUIET, OPT_JSON };

static const struct option long_options[] = {
	DESTINATION_OPTIONS,
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "block-fd", required_argument, NULL, OPT_BLOCK_FD },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "json", no_argument, NULL, OPT_JSON },
	PROGRAM_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static void help(void)
{
	printf("Usage: " PROGRAM " --to ADDRESS --block[-fd] IDSTR=FILE … [OPTION]…\n"
	       "\n"
	       "Migrate guest memory that lies in files to a QEMU that waits for it.\n"
	       "\n"
	       "  --block IDSTR=FILE   a RAM block: FILE is its memory, IDSTR what the\n"
	       "                       destination calls it. One --block for each of its blocks.\n"
	       "  --block-fd IDSTR=FILE\n"
	       "                       the same without mapping FILE, which is a memfd or on tmpfs\n"
	       "                       or hugetlbfs. A running VMM's: /proc/PID/fd/N\n"
	       "\n"
	       "%s"
	       "\n"
	       "  --quiet              no progress, no summary\n"
	       "  --json               the summary as a JSON object, also of a failure\n"
	       "  -h, --help, -V, --version\n"
	       "\n"
	       "Exit status: 0: the destination has taken everything; 1: it has not; 2: usage;\n"
	       "3: as 0, but that could not be reported; 4: it failed at the end, and may have\n"
	       "taken everything or not: look there before the guest goes on here. SIGINT, SIGTERM\n"
	       "and SIGHUP cancel the migration.\n"
	       "\n"
	       "Examples:\n"
	       "  Start a destination that keeps its memory in a file, then send it another:\n"
	       "    qemu-system-x86_64 -M none,memory-backend=ram0 -m 64M -nodefaults \\\n"
	       "      -object memory-backend-file,id=ram0,size=64M,mem-path=copy,share=on \\\n"
	       "      -nographic -S -incoming defer -qmp unix:qmp.sock,server=on,wait=off\n"
	       "    (over QMP: migrate-set-capabilities multifd on, then migrate-incoming\n"
	       "     uri=unix:mig.sock)\n"
	       "    " PROGRAM " --to unix:mig.sock --peer-qmp qmp.sock --block ram0=memory\n"
	       "\n"
	       "  To a QEMU 8.2 over TCP, with 4 channels and two blocks:\n"
	       "    " PROGRAM " --to tcp:192.0.2.1:4444 --compat 8.2 --channels 4 \\\n"
	       "      --block ram0=memory --block ram1=more\n"
	       "\n"
	       "  The memory of a process that keeps it in a memfd, its fd 5:\n"
	       "    " PROGRAM " --to unix:mig.sock --block-fd ram0=/proc/4711/fd/5\n",
	       destination_help);
}

/* Take IDSTR=FILE apart, and append it to the list. */
static int add_image(struct image **images, const char *arg, bool by_fd,
		     struct mfd_error *err)
{
	const char *equals = strchr(arg, '=');
	struct image *image;

	if (!equals || equals == arg || !equals[1]) {
		snprintf(err->text, sizeof(err->text),
			 "--block%s: IDSTR=FILE is wanted, not '%.64s'", by_fd ? "-fd" : "", arg);
		return -EINVAL;
	}
	image = calloc(1, sizeof(*image));
	if (image)
		image->idstr = strndup(arg, equals - arg);
	if (!image || !image->idstr) {
		snprintf(err->text, sizeof(err->text), "out of memory");
		free(image);
		return -ENOMEM;
	}
	image->file = equals + 1;
	image->by_fd = by_fd;
	image->fd = -1;
	while (*images)
		images = &(*images)->next;
	*images = image;
	return 0;
}

static void free_images(struct image *image)
{
	struct image *next;

	for (; image; image = next) {
		next = image->next;
		if (image->addr)
			munmap(image->addr, image->length);
		if (image->fd >= 0)
			close(image->fd);
		free(image->idstr);
		free(image);
	}
}

static int take_option(void *data, int option, const char *arg, struct mfd_error *err)
{
	struct options *options = data;

	switch (option) {
	case OPT_BLOCK:
	case OPT_BLOCK_FD:
		return add_image(&options->images, arg, option == OPT_BLOCK_FD, err);
	case OPT_QUIET:
		options->quiet = true;
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	}
	return destination_option(&options->destination, option, arg, err);
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

	if (status < 0 && !options->images)
		return program_usage(&program, "--block or --block-fd is missing");
	return status;
}

static int image_error(const struct image *image, const char *why, struct mfd_error *err)
{
	err->code = errno;
	snprintf(err->text, sizeof(err->text), "%.128s: %.96s", image->file, why);
	return -EINVAL;
}

static int map_image(struct image *image, struct mfd_error *err)
{
	void *addr = mmap(NULL, image->length, PROT_READ, MAP_SHARED, image->fd, 0);

	if (addr == MAP_FAILED)
		return image_error(image, strerror(errno), err);
	image->addr = addr;
	return 0;
}

/* Whether that is the length of memory is looked at elsewhere. */
static int find_length(struct image *image, struct mfd_error *err)
{
	struct stat st;

	if (fstat(image->fd, &st))
		return image_error(image, strerror(errno), err);
	image->length = st.st_size;
	if (S_ISREG(st.st_mode))
		return 0;
	if (S_ISBLK(st.st_mode))
		return ioctl(image->fd, BLKGETSIZE64, &image->length) ?
		       image_error(image, strerror(errno), err) : 0;
	errno = EINVAL;
	return image_error(image, S_ISDIR(st.st_mode) ? "it is a folder" :
			   "neither a file nor a block device", err);
}

/* To open a FIFO would wait for somebody who writes to it. */
static int open_image(struct image *image, struct mfd_error *err)
{
	int ret;

	image->fd = open(image->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (image->fd < 0)
		return image_error(image, strerror(errno), err);
	ret = find_length(image, err);
	if (ret)
		return ret;
	errno = EINVAL;
	if (!image->length)
		return image_error(image, "it is empty", err);
	if (image->length % 4096)
		return image_error(image, "its size is not a multiple of 4096", err);
	return image->by_fd ? 0 : map_image(image, err);
}

static int open_images(struct image *images, uint64_t *pages, struct mfd_error *err)
{
	struct image *image;
	int ret = 0;

	*pages = 0;
	for (image = images; image && !ret; image = image->next) {
		ret = open_image(image, err);
		*pages += image->length / 4096;
	}
	return ret;
}

static int add_blocks(struct mfd_session *session, struct image *image, struct mfd_error *err)
{
	int ret = 0;

	for (; image && !ret; image = image->next)
		ret = image->by_fd ?
		      mfd_block_add_fd(session, image->idstr, image->fd, 0, image->length,
				       &image->block, err) :
		      mfd_block_add(session, image->idstr, image->addr, image->length,
				    &image->block, err);
	return ret;
}

/*
 * One round is enough: nobody writes to the files. @sent: the destination may have all that
 * it needs, so whether it has the guest is its to say.
 */
static int send_blocks(struct mfd_session *session, const struct options *options, bool *sent,
		       struct mfd_error *err)
{
	const struct image *image;
	int ret = 0;

	for (image = options->images; image && !ret; image = image->next)
		ret = mfd_send_all(image->block, options->first_flags, err);
	if (!ret)
		ret = mfd_round_finish(session, NULL, err);
	if (ret)
		return ret;
	*sent = true;
	return mfd_finish(session, err);
}

static int migrate(struct mfd_session *session, const struct options *options,
		   struct mfd_params *params, bool *sent, struct mfd_error *err)
{
	struct report *report = params->opaque;
	int ret = mfd_setup(session, params, err);

	if (!ret)
		ret = add_blocks(session, options->images, err);
	report_wait(report, "connecting");
	if (!ret)
		ret = mfd_connect(session, options->destination.to, err);
	report_begin(report);
	return ret ? ret : send_blocks(session, options, sent, err);
}

static void cancel(void *session)
{
	mfd_cancel(session);
}

/* Ask the destination how it ended, as far as it can be asked. */
static int conclude(const struct options *options, int ret, bool sent, struct report *report,
		    struct mfd_error *err)
{
	int status;

	if (ret)
		leave_with(report, destination_status(ret, sent), "cancelled");
	else
		leave_with(report, PROGRAM_UNREPORTED,
			   "the destination has taken everything; cancelled before that could be reported");
	status = destination_status(ret, sent);
	ret = destination_ended(&options->destination, ret, err);
	/* it says so itself */
	return ret && !status ? 1 : status;
}

/* Return: the exit status, with an error unless it is 0. */
static int run(const struct options *options, struct mfd_params *params, struct mfd_error *err)
{
	struct mfd_progress end = { .size = sizeof(end) };
	struct report *report = params->opaque;
	struct mfd_session *session;
	bool sent = false;
	int ret, status;

	if (open_images(options->images, &report->total, err) || mfd_open(&session, NULL, err))
		return 1;
	signals_act(cancel, session);
	ret = migrate(session, options, params, &sent, err);
	signals_act(NULL, NULL);
	signals_explain(err);
	mfd_progress(session, &end);
	mfd_close(session);
	tls_describe(params->tls, report->encryption, sizeof(report->encryption));
	status = conclude(options, ret, sent, report, err);
	if (!status && (options->json || !options->quiet))
		report_summary(report, &end, options->json);
	return status;
}

static int send_all(struct options *options)
{
	struct report report = { .json = options->json };
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	int status;

	report_start(&report, PROGRAM, options->quiet);
	leave_with(&report, 1, "cancelled before it began");
	status = destination_params(&options->destination, &params, &options->first_flags, &err);
	params.progress = report_progress;
	params.opaque = &report;
	if (status == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	program_raise_open_files();
	if (!status)
		status = run(options, &params, &err);
	tls_close(params.tls);
	if (status)
		report_error(&report, &err);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = { .images = NULL };
	struct mfd_error err = { .size = sizeof(err) };
	int status;

	program_start();
	status = parse_options(&options, argc, argv);
	if (status < 0)
		status = signals_start(&err) ? program_failed(&program, &err) : send_all(&options);
	free_images(options.images);
	status = program_end(&program, status);
	signals_stop();
	return status;
}
