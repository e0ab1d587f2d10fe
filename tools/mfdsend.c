// SPDX-License-Identifier: GPL-2.0-only
/* mfdsend: migrate files that hold guest memory to a stock QEMU. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination.h"
#include "program.h"
#include "report.h"

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
	       "  --json               the summary as a JSON object\n"
	       "  -h, --help, -V, --version\n"
	       "\n"
	       "Exit status: 0: the destination has taken everything; 1: it has not; 2: usage.\n"
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
	snprintf(err->text, sizeof(err->text), "%.128s: %.64s", image->file, why);
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

static int open_image(struct image *image, struct mfd_error *err)
{
	struct stat st;

	image->fd = open(image->file, O_RDONLY | O_CLOEXEC);
	if (image->fd < 0 || fstat(image->fd, &st))
		return image_error(image, strerror(errno), err);
	if (st.st_size == 0 || st.st_size % 4096)
		return image_error(image, "its size is not a multiple of 4096", err);
	image->length = st.st_size;
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

/* One round is enough: nobody writes to the files. */
static int send_blocks(struct mfd_session *session, struct image *image, struct mfd_error *err)
{
	int ret = 0;

	for (; image && !ret; image = image->next)
		ret = mfd_send_all(image->block, MFD_SEND_FRESH, err);
	if (!ret)
		ret = mfd_round_finish(session, NULL, err);
	return ret ? ret : mfd_finish(session, err);
}

static int migrate(struct mfd_session *session, const struct options *options,
		   const struct mfd_params *params, struct mfd_error *err)
{
	int ret = mfd_setup(session, params, err);

	if (!ret)
		ret = add_blocks(session, options->images, err);
	if (!ret)
		ret = mfd_connect(session, options->destination.to, err);
	return ret ? ret : send_blocks(session, options->images, err);
}

static int run(const struct options *options, struct report *report,
	       const struct mfd_params *params, struct mfd_error *err)
{
	struct mfd_session *session;
	struct mfd_progress end = { .size = sizeof(end) };
	int ret = open_images(options->images, &report->total, err);

	if (!ret)
		ret = mfd_open(&session, NULL, err);
	if (ret)
		return ret;
	ret = migrate(session, options, params, err);
	mfd_progress(session, &end);
	mfd_close(session);
	tls_describe(params->tls, report->encryption, sizeof(report->encryption));
	ret = destination_ended(&options->destination, ret, err);
	if (!ret && (options->json || !options->quiet))
		report_summary(report, &end, options->json);
	return ret;
}

static int send_all(const struct options *options)
{
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	struct report report;
	int ret = destination_params(&options->destination, &params, &err);

	report_start(&report, PROGRAM, options->quiet);
	params.progress = report_progress;
	params.opaque = &report;
	if (ret == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	program_raise_open_files();
	if (!ret)
		ret = run(options, &report, &params, &err);
	tls_close(params.tls);
	if (ret)
		report_error(&report, &err);
	return ret ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options options = { .images = NULL };
	int status;

	program_open_standard_files();
	status = parse_options(&options, argc, argv);
	if (status < 0)
		status = send_all(&options);
	free_images(options.images);
	if (fflush(stdout)) {
		perror(PROGRAM);
		return status ? status : PROGRAM_UNREPORTED;
	}
	return status;
}
