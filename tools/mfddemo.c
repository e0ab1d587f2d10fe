// SPDX-License-Identifier: GPL-2.0-only
/*
 * mfddemo: a small VMM that migrates its running guest.
 *
 * The model for VMM authors. migrate() is the whole of it; demo/ stands for your VMM,
 * destination.c reads options.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo/fail.h"
#include "demo/guest.h"
#include "destination.h"
#include "program.h"
#include "report.h"
#include "size.h"

#define PROGRAM "mfddemo"

struct options {
	struct destination destination;
	struct guest_options guest;
	const char *idstr;
	const char *dump;
	unsigned long downtime_ms;
	unsigned long min_rounds;
	unsigned long max_rounds;
	bool quiet;
};

struct demo {
	const struct options *options;
	struct report report;
	struct guest *guest;
	struct mfd_session *session;
	struct mfd_block *ram;
	unsigned int rounds;
	double downtime_ms;
};

static void count_round(struct demo *demo, const struct mfd_round *round)
{
	double seconds = round->ns / 1e9;

	demo->rounds++;
	if (demo->options->quiet)
		return;
	report_clear(&demo->report);
	if (demo->rounds == 1)
		printf("round      pages     normal       zero     absent     MB/s  seconds\n");
	printf("%5u %10ju %10ju %10ju %10ju %8.1f %8.3f\n", demo->rounds,
	       (uintmax_t)round->pages, (uintmax_t)round->normal, (uintmax_t)round->zero,
	       (uintmax_t)round->absent, round->normal * RAM_PAGE / 1e6 / seconds,
	       seconds);
	fflush(stdout);
}

static int finish_round(struct demo *demo, struct mfd_error *err)
{
	struct mfd_round round = { .size = sizeof(round) };
	int ret = mfd_round_finish(demo->session, &round, err);

	if (!ret)
		count_round(demo, &round);
	return ret;
}

/*
 * The first round: everything, but pages that never held data need not be sent.
 */
static int send_everything(struct demo *demo, struct mfd_error *err)
{
	int ret = mfd_send_all(demo->ram, MFD_SEND_FRESH, err);

	return ret ? ret : finish_round(demo, err);
}

/* A later round: what has been marked. Writes from now on are the next round's. */
static int send_dirty(struct demo *demo, struct mfd_error *err)
{
	int ret;

	demo->report.total += mfd_dirty_count(demo->session);
	ret = mfd_send_dirty(demo->session, 0, err);
	return ret ? ret : finish_round(demo, err);
}

/*
 * Rounds while the guest runs, until the rest can be sent within the downtime,
 * or it does not look as if that will ever be so.
 */
static int precopy(struct demo *demo, struct mfd_error *err)
{
	const struct options *options = demo->options;
	struct mfd_convergence now = { .size = sizeof(now) };
	int ret = send_everything(demo, err);

	while (!ret && demo->rounds < options->max_rounds) {
		ret = demo->guest->ops->log_fetch(demo->guest, err);
		if (!ret)
			ret = mfd_convergence(demo->session, mfd_dirty_count(demo->session),
					      options->downtime_ms, &now, err);
		if (!ret && now.converged && demo->rounds >= options->min_rounds)
			break;
		if (!ret)
			ret = send_dirty(demo, err);
	}
	return ret;
}

/* Stop the guest and send the rest, and the state of its vCPU and devices. */
static int stop_and_copy(struct demo *demo, struct mfd_error *err)
{
	struct guest *guest = demo->guest;
	uint64_t stopped = now_ns();
	int ret = guest->ops->stop(guest, err);

	if (!ret)
		ret = guest->ops->log_fetch(guest, err);
	if (!ret)
		ret = send_dirty(demo, err);
	if (!ret && guest->ops->send_state)
		ret = guest->ops->send_state(guest, demo->session, err);
	if (!ret)
		ret = mfd_finish(demo->session, err);
	demo->downtime_ms = (now_ns() - stopped) / 1e6;
	return ret;
}

static int migrate(struct demo *demo, const struct mfd_params *params, struct mfd_error *err)
{
	const struct options *options = demo->options;
	struct guest *guest = demo->guest;
	int ret = mfd_setup(demo->session, params, err);

	if (!ret)
		ret = mfd_block_add(demo->session, options->idstr, guest->ram.base,
				    guest->ram.size, &demo->ram, err);
	if (!ret)
		ret = guest->ops->log_start(guest, demo->session, demo->ram, err);
	if (!ret)
		ret = mfd_connect(demo->session, options->destination.to, err);
	if (!ret)
		ret = precopy(demo, err);
	if (!ret)
		ret = stop_and_copy(demo, err);
	guest->ops->log_stop(guest);
	return ret;
}

static int run_session(struct demo *demo, const struct mfd_params *params,
		       struct mfd_error *err)
{
	struct mfd_progress end = { .size = sizeof(end) };
	int ret = mfd_open(&demo->session, NULL, err);

	if (ret)
		return ret;
	ret = migrate(demo, params, err);
	mfd_progress(demo->session, &end);
	mfd_close(demo->session);
	ret = destination_ended(&demo->options->destination, ret, err);
	if (!ret && !demo->options->quiet) {
		report_summary(&demo->report, &end, false);
		printf(PROGRAM ": downtime %.1f ms\n", demo->downtime_ms);
	}
	return ret;
}

static int run_guest(struct demo *demo, const struct mfd_params *params, struct mfd_error *err)
{
	const struct options *options = demo->options;
	struct guest *guest = demo->guest;
	int ret = guest->ops->start(guest, err);

	if (!ret)
		ret = run_session(demo, params, err);
	if (!ret && options->dump)
		ret = ram_dump(&guest->ram, options->dump, err);
	return ret;
}

static int run(struct demo *demo, const struct mfd_params *params, struct mfd_error *err)
{
	const struct options *options = demo->options;
	int ret = guest_toy(&demo->guest, &options->guest, err);

	if (ret)
		return ret;
	/* Loading the image is not part of the migration. */
	report_start(&demo->report, PROGRAM, options->quiet);
	demo->report.total = demo->guest->ram.pages;
	ret = run_guest(demo, params, err);
	demo->guest->ops->destroy(demo->guest);
	return ret;
}

enum {
	OPT_SIZE = OPT_OTHERS,
	OPT_IMAGE,
	OPT_IDSTR,
	OPT_MEMORY,
	OPT_VCPUS,
	OPT_WRITE_RATE,
	OPT_DOWNTIME,
	OPT_MIN_ROUNDS,
	OPT_MAX_ROUNDS,
	OPT_DUMP,
	OPT_QUIET,
};

static const struct option long_options[] = {
	DESTINATION_OPTIONS,
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "idstr", required_argument, NULL, OPT_IDSTR },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "vcpus", required_argument, NULL, OPT_VCPUS },
	{ "write-rate", required_argument, NULL, OPT_WRITE_RATE },
	{ "downtime", required_argument, NULL, OPT_DOWNTIME },
	{ "min-rounds", required_argument, NULL, OPT_MIN_ROUNDS },
	{ "max-rounds", required_argument, NULL, OPT_MAX_ROUNDS },
	{ "dump", required_argument, NULL, OPT_DUMP },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	PROGRAM_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static void help(void)
{
	printf("Usage: " PROGRAM " --to ADDRESS [OPTION]…\n"
	       "\n"
	       "A toy VMM: run a guest whose vCPUs do nothing but write to their memory, and\n"
	       "migrate it to a QEMU that waits for it.\n"
	       "\n"
	       "The guest:\n"
	       "  --size N[K|M|G]      how much memory (default: as much as --image, or 256M)\n"
	       "  --image FILE         what is in it at the start (default: nothing)\n"
	       "  --idstr NAME         what the destination calls it (default ram0)\n"
	       "  --memory anon|memfd  what it is made of (default anon)\n"
	       "  --vcpus N            how many threads write to it (default 2)\n"
	       "  --write-rate N       how many pages a second each of them writes (default 1000)\n"
	       "  --dump FILE          write the memory to FILE after the migration, to compare\n"
	       "                       with the destination's\n"
	       "\n"
	       "The migration:\n"
	       "  --downtime MS        how long the guest may stop (default 300)\n"
	       "  --min-rounds N       rounds before it may stop (default 1)\n"
	       "  --max-rounds N       stop it after so many in any case (default 30)\n"
	       "  --quiet, -h, --help, -V, --version\n"
	       "\n"
	       "%s"
	       "\n"
	       "Exit status: 0: the destination has the guest; 1: it has not; 2: usage.\n"
	       "\n"
	       "Example (mfdsend --help shows how to start the destination):\n"
	       "  " PROGRAM " --to unix:mig.sock --peer-qmp qmp.sock --size 512M --dump source\n",
	       destination_help);
}

static int parse_size(const char *text, uint64_t *size, struct mfd_error *err)
{
	*size = size_parse(text);
	if (*size)
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "--size: a multiple of 4K like 64M or 2G is wanted, not '%.64s'", text);
	return -EINVAL;
}

static int parse_memory(const char *text, enum ram_kind *memory, struct mfd_error *err)
{
	if (!strcmp(text, "anon"))
		*memory = RAM_ANON;
	else if (!strcmp(text, "memfd"))
		*memory = RAM_MEMFD;
	else {
		snprintf(err->text, sizeof(err->text),
			 "--memory: anon or memfd is wanted, not '%.64s'", text);
		return -EINVAL;
	}
	return 0;
}

static int take_option(void *data, int option, const char *arg, struct mfd_error *err)
{
	struct options *options = data;

	switch (option) {
	case OPT_SIZE:
		return parse_size(arg, &options->guest.size, err);
	case OPT_IMAGE:
		options->guest.image = arg;
		return 0;
	case OPT_IDSTR:
		options->idstr = arg;
		return 0;
	case OPT_MEMORY:
		return parse_memory(arg, &options->guest.memory, err);
	case OPT_VCPUS:
		return parse_number("vcpus", arg, 1, 64, &options->guest.vcpus, err);
	case OPT_WRITE_RATE:
		return parse_number("write-rate", arg, 0, 100000000, &options->guest.write_rate, err);
	case OPT_DOWNTIME:
		return parse_number("downtime", arg, 0, 1000000, &options->downtime_ms, err);
	case OPT_MIN_ROUNDS:
		return parse_number("min-rounds", arg, 1, 1000000, &options->min_rounds, err);
	case OPT_MAX_ROUNDS:
		return parse_number("max-rounds", arg, 1, 1000000, &options->max_rounds, err);
	case OPT_DUMP:
		options->dump = arg;
		return 0;
	case OPT_QUIET:
		options->quiet = true;
		return 0;
	}
	return destination_option(&options->destination, option, arg, err);
}

/* Without --size, the image's size, filled up to whole pages. */
static int choose_size(struct options *options, struct mfd_error *err)
{
	struct stat st;

	if (options->guest.size)
		return 0;
	options->guest.size = 256 << 20;
	if (!options->guest.image)
		return 0;
	if (stat(options->guest.image, &st)) {
		snprintf(err->text, sizeof(err->text), "%.128s: %s", options->guest.image,
			 strerror(errno));
		return -EINVAL;
	}
	options->guest.size = (st.st_size + RAM_PAGE - 1) / RAM_PAGE * RAM_PAGE;
	return 0;
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
	struct mfd_error err = { .size = sizeof(err) };
	int status = program_parse(&program, options, argc, argv);

	if (status >= 0)
		return status;
	if (choose_size(options, &err))
		return program_usage(&program, err.text);
	if (options->guest.size / RAM_PAGE < options->guest.vcpus)
		return program_usage(&program, "the guest needs a page for each vCPU");
	return -1;
}

static int demonstrate(const struct options *options)
{
	struct demo demo = { .options = options, .report.program = PROGRAM };
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	int ret = destination_params(&options->destination, &params, &err);

	params.progress = report_progress;
	params.opaque = &demo.report;
	if (ret == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	program_raise_open_files();
	if (ret || run(&demo, &params, &err)) {
		report_error(&demo.report, &err);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = {
		.idstr = "ram0",
		.guest.vcpus = 2,
		.guest.write_rate = 1000,
		.downtime_ms = 300,
		.min_rounds = 1,
		.max_rounds = 30,
	};
	int status;

	program_open_standard_files();
	status = parse_options(&options, argc, argv);
	return status < 0 ? demonstrate(&options) : status;
}
