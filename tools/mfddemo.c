// SPDX-License-Identifier: GPL-2.0-only
/*
 * mfddemo: a small VMM that migrates its running guest, or takes one in.
 *
 * The model for VMM authors. migrate() and demo/incoming.c are the whole of it; the rest of
 * demo/ stands for your VMM, destination.c reads options.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "demo/fail.h"
#include "demo/guest.h"
#include "demo/incoming.h"
#include "destination.h"
#include "leave.h"
#include "output.h"
#include "program.h"
#include "report.h"
#include "signals.h"
#include "size.h"

#define PROGRAM "mfddemo"

enum guest_kind { GUEST_BEST, GUEST_TOY, GUEST_KVM };

struct options {
	struct destination destination;
	struct guest_options guest;
	enum guest_kind kind;
	const char *listen;
	unsigned long run_for;		/* seconds, and the next one, too */
	unsigned long warm_up;
	uint64_t bandwidth;		/* bytes a second, 0: no limit */
	const char *state;
	const char *idstr;
	const char *dump;
	unsigned long downtime_ms;
	unsigned long min_rounds;
	unsigned long max_rounds;
	unsigned int first_flags;	/* of enum mfd_send_flags */
	bool quiet;
	bool json;			/* the summary, and nothing else */
};

struct demo {
	const struct options *options;
	struct report report;
	struct guest *guest;
	struct mfd_session *session;
	struct mfd_block *ram;
	unsigned int rounds;
	bool finishing;			/* the destination may have all that it needs */
	int status;			/* the exit status of what has failed */
	double downtime_ms;
};

/* What is going on may be told. */
static bool telling(const struct demo *demo)
{
	return !demo->options->quiet && !demo->options->json;
}

static void count_round(struct demo *demo, const struct mfd_round *round)
{
	double seconds = round->ns / 1e9;

	demo->rounds++;
	if (!telling(demo) || output_would_wait(STDOUT_FILENO))
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
 * The first round: everything, but pages that never held data need not be sent to a
 * destination whose memory is new.
 */
static int send_everything(struct demo *demo, struct mfd_error *err)
{
	int ret = mfd_send_all(demo->ram, demo->options->first_flags, err);

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
	if (!ret) {
		demo->finishing = true;
		ret = mfd_finish(demo->session, err);
	}
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
	report_wait(&demo->report, "connecting");
	if (!ret)
		ret = mfd_connect(demo->session, options->destination.to, err);
	report_begin(&demo->report);
	if (!ret)
		ret = precopy(demo, err);
	if (!ret)
		ret = stop_and_copy(demo, err);
	guest->ops->log_stop(guest);
	return ret;
}

static void cancel(void *session)
{
	mfd_cancel(session);
}

/* From now on a signal ends the program: the guest has gone, or what becomes of it is known. */
static void conclude(struct demo *demo, int ret)
{
	demo->status = destination_status(ret, demo->finishing);
	leave_with(&demo->report, ret ? demo->status : PROGRAM_UNREPORTED,
		   ret ? "cancelled" : "the guest has gone; cancelled before that could be reported");
}

static int run_session(struct demo *demo, const struct mfd_params *params,
		       struct mfd_error *err)
{
	const struct options *options = demo->options;
	struct mfd_progress end = { .size = sizeof(end) };
	int ret = mfd_open(&demo->session, NULL, err);

	if (ret)
		return ret;
	signals_act(cancel, demo->session);
	ret = migrate(demo, params, err);
	signals_act(NULL, NULL);
	signals_explain(err);
	mfd_progress(demo->session, &end);
	mfd_close(demo->session);
	tls_describe(params->tls, demo->report.encryption, sizeof(demo->report.encryption));
	conclude(demo, ret);
	ret = destination_ended(&options->destination, ret, err);
	if (ret && !demo->status)
		demo->status = 1;
	if (!ret && (options->json || !options->quiet)) {
		report_summary(&demo->report, &end, options->json);
		if (!options->json)
			printf(PROGRAM ": downtime %.1f ms\n", demo->downtime_ms);
	}
	return ret;
}

/* Where the guest is, for people. */
static void tell(struct demo *demo, const char *what)
{
	const struct guest_ops *ops = demo->guest->ops;
	char text[128];

	if (!telling(demo) || !ops->tell)
		return;
	ops->tell(demo->guest, text, sizeof(text));
	report_clear(&demo->report);
	printf(PROGRAM ": %s: %s\n", what, text);
	fflush(stdout);
}

static int write_state(struct demo *demo, struct mfd_error *err)
{
	FILE *file = fopen(demo->options->state, "we");
	int ret;

	if (!file)
		return demo_fail(err, demo->options->state);
	ret = demo->guest->ops->print_state(demo->guest, file, err);
	if (fclose(file) && !ret)
		ret = demo_fail(err, demo->options->state);
	return ret;
}

/* Of a guest that is stopped, here or before it runs there: what has to be the same. */
static int dump(struct demo *demo, struct mfd_error *err)
{
	const struct options *options = demo->options;
	int ret = 0;

	if (options->dump)
		ret = ram_dump(&demo->guest->ram, options->dump, err);
	if (!ret && options->state && demo->guest->ops->print_state)
		ret = write_state(demo, err);
	return ret;
}

/* Whether that will be possible. */
static int check_outputs(const struct options *options, struct mfd_error *err)
{
	int ret = program_check_output(options->dump, err);

	return ret ? ret : program_check_output(options->state, err);
}

static void pass_time(unsigned long seconds)
{
	const struct timespec time = { .tv_sec = seconds };

	nanosleep(&time, NULL);
}

/* Let the guest run on from where it stopped, and look whether all is as it should be. */
static int run_on(struct demo *demo, struct mfd_error *err)
{
	const struct guest_ops *ops = demo->guest->ops;
	int ret = ops->start(demo->guest, err);

	if (ret)
		return ret;
	pass_time(demo->options->run_for);
	ret = ops->stop(demo->guest, err);
	if (!ret && ops->check)
		ret = ops->check(demo->guest, err);
	if (!ret)
		tell(demo, "it ran on, and its memory is what it should be");
	return ret;
}

/*
 * The migration has failed with @code, so the guest goes on here; unless the destination may
 * run it, since it has been sent everything, and did not say that it has failed. Two of the
 * same guest are worse than none. The toy has nothing to show.
 */
static void keep_guest(struct demo *demo, int code)
{
	struct mfd_error err = { .size = sizeof(err) };
	int ret = demo->guest->ops->stop(demo->guest, &err);

	if (!demo->guest->ops->check)
		return;
	if (!ret && demo->finishing && code != -EREMOTEIO) {
		tell(demo, "the guest stays stopped, since it may be running there");
		return;
	}
	if (!ret)
		tell(demo, "the guest goes on here");
	if (!ret)
		ret = run_on(demo, &err);
	if (ret)
		report_error(&demo->report, &err);
}

static int run_guest(struct demo *demo, const struct mfd_params *params, struct mfd_error *err)
{
	int ret = demo->guest->ops->start(demo->guest, err);

	if (ret)
		return ret;
	pass_time(demo->options->warm_up);
	ret = run_session(demo, params, err);
	if (!ret) {
		tell(demo, "the guest has gone");
		demo->status = PROGRAM_UNREPORTED;
		return dump(demo, err);
	}
	report_error(&demo->report, err);
	err->text[0] = '\0';
	keep_guest(demo, ret);
	return ret;
}

/* KVM may be there, and unable to run the guest: where it is emulated itself. */
static int try_kvm(struct demo *demo, struct mfd_error *err)
{
	const struct timespec moment = { .tv_nsec = 50000000 };
	int ret = guest_kvm(&demo->guest, &demo->options->guest, err);

	if (ret)
		return ret;
	ret = demo->guest->ops->start(demo->guest, err);
	if (!ret) {
		nanosleep(&moment, NULL);
		ret = demo->guest->ops->stop(demo->guest, err);
	}
	if (ret)
		demo->guest->ops->destroy(demo->guest);
	return ret;
}

static int make_guest(struct demo *demo, struct mfd_error *err)
{
	const struct options *options = demo->options;

	if (options->kind == GUEST_KVM)
		return guest_kvm(&demo->guest, &options->guest, err);
	if (options->kind == GUEST_BEST) {
		if (!try_kvm(demo, err))
			return 0;
		if (telling(demo))
			printf(PROGRAM ": a toy guest, since KVM cannot run one (%s)\n", err->text);
	}
	return guest_toy(&demo->guest, &options->guest, err);
}

static int run(struct demo *demo, const struct mfd_params *params, struct mfd_error *err)
{
	const struct options *options = demo->options;
	int ret = check_outputs(options, err);

	if (!ret)
		ret = make_guest(demo, err);
	if (ret)
		return ret;
	demo->report.total = demo->guest->ram.pages;
	ret = run_guest(demo, params, err);
	demo->guest->ops->destroy(demo->guest);
	return ret;
}

static int run_arrived(struct demo *demo, struct mfd_error *err)
{
	int ret;

	leave_with(&demo->report, PROGRAM_UNREPORTED, "the guest has come; cancelled");
	report_complete(&demo->report);
	tell(demo, "the guest has come");
	demo->status = PROGRAM_UNREPORTED;
	ret = dump(demo, err);
	if (ret)
		return ret;
	demo->status = 1;
	return run_on(demo, err);
}

static void tell_encryption(struct demo *demo, struct mfd_tls *tls)
{
	struct report *report = &demo->report;

	if (!telling(demo) ||
	    !tls_describe_destination(tls, report->encryption, sizeof(report->encryption)))
		return;
	report_clear(report);
	printf(PROGRAM ": encrypted: %s\n", report->encryption);
}

static int take_in(struct demo *demo, const struct mfd_recv_params *params,
		   struct mfd_error *err)
{
	const struct options *options = demo->options;
	struct incoming incoming = {
		.listen = options->listen,
		.idstr = options->idstr,
		.params = params,
		.report = &demo->report,
	};
	int ret = check_outputs(options, err);

	if (!ret)
		ret = guest_kvm(&demo->guest, &options->guest, err);
	if (ret)
		return ret;
	demo->report.total = demo->guest->ram.pages;
	incoming.guest = demo->guest;
	ret = incoming_receive(&incoming, err);
	if (!ret) {
		tell_encryption(demo, params->tls);
		ret = run_arrived(demo, err);
	}
	demo->guest->ops->destroy(demo->guest);
	return ret;
}

enum {
	OPT_SIZE = OPT_OTHERS,
	OPT_LISTEN,
	OPT_GUEST,
	OPT_DIRTY,
	OPT_RUN_FOR,
	OPT_WARM_UP,
	OPT_BANDWIDTH,
	OPT_STATE,
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
	OPT_JSON,
};

static const struct option long_options[] = {
	DESTINATION_OPTIONS,
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "guest", required_argument, NULL, OPT_GUEST },
	{ "dirty", required_argument, NULL, OPT_DIRTY },
	{ "bandwidth", required_argument, NULL, OPT_BANDWIDTH },
	{ "warm-up", required_argument, NULL, OPT_WARM_UP },
	{ "run-for", required_argument, NULL, OPT_RUN_FOR },
	{ "state", required_argument, NULL, OPT_STATE },
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
	{ "json", no_argument, NULL, OPT_JSON },
	PROGRAM_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static void help(void)
{
	printf("Usage: " PROGRAM " --to ADDRESS [OPTION]…\n"
	       "       " PROGRAM " --listen ADDRESS [OPTION]…\n"
	       "\n"
	       "A small VMM: run a guest and migrate it, or take in a guest and run it on.\n"
	       "\n"
	       "The guest:\n"
	       "  --guest toy|kvm      kvm: a vCPU under KVM that writes to all of its memory, and\n"
	       "                       a serial device; it can go to another " PROGRAM ". toy: threads\n"
	       "                       that write, for a QEMU. Default: kvm if there is KVM and no\n"
	       "                       option that only a toy or a QEMU has, else toy\n"
	       "  --size SIZE          how much memory (default: as much as --image, or 256M)\n"
	       "  --idstr NAME         what the destination calls it (default ram0)\n"
	       "  --memory anon|memfd  what it is made of (default anon)\n"
	       "  --write-rate N       how many pages a second each vCPU writes (default 1000)\n"
	       "  --image FILE         toy: what is in its memory at the start (default: nothing)\n"
	       "  --vcpus N            toy: how many threads write to it (default 2)\n"
	       "  --dirty bitmap|manual|ring\n"
	       "                       kvm: how KVM says what was written (default bitmap)\n"
	       "  --dump FILE          write the memory to FILE when the guest has gone, or come,\n"
	       "                       to compare both ends\n"
	       "  --state FILE         kvm: likewise the state of its vCPU and device, as text\n"
	       "\n"
	       "The migration:\n"
	       "  --warm-up SECONDS    let the guest run for so long before it begins (default 0)\n"
	       "  --downtime MS        how long the guest may stop (default 300)\n"
	       "  --bandwidth RATE     how many bytes a second it may take (default: no limit)\n"
	       "  --min-rounds N       rounds before it may stop (default 1)\n"
	       "  --max-rounds N       stop it after so many in any case (default 30)\n"
	       "  --json               --to: the summary as a JSON object, also of a failure, and\n"
	       "                       nothing else\n"
	       "  --quiet, -h, --help, -V, --version\n"
	       "\n"
	       "SIZE is like 64M, 1.5G or 64MiB, powers of 1024; RATE like 100M or 250kB/s, powers\n"
	       "of 1000, or 100Mi, of 1024.\n"
	       "\n"
	       "Taking a guest in:\n"
	       "  --listen tcp:HOST:PORT|unix:PATH  where it will come from, with the source's\n"
	       "                       --channels, --method, --size and --idstr; if it encrypts,\n"
	       "                       --tls-psk FILE, or --tls-creds DIR with server-cert.pem and\n"
	       "                       server-key.pem\n"
	       "  --run-for SECONDS    let the guest run on for so long, then look whether all is as\n"
	       "                       it should be (default 3). So does a source that has failed.\n"
	       "\n"
	       "%s"
	       "\n"
	       "Exit status: 0: the destination has the guest; 1: it has not, or the guest is not as\n"
	       "it should be; 2: usage; 3: as 0, but that could not be reported, or written where\n"
	       "--dump and --state say; 4: it failed at the end, and the destination may have the\n"
	       "guest or not. SIGINT, SIGTERM and SIGHUP cancel the migration.\n"
	       "\n"
	       "Examples:\n"
	       "  A guest under KVM from one " PROGRAM " to another:\n"
	       "    " PROGRAM " --listen unix:mig.sock\n"
	       "    " PROGRAM " --to unix:mig.sock\n"
	       "  To a QEMU (mfdsend --help shows how to start it):\n"
	       "    " PROGRAM " --to unix:mig.sock --peer-qmp qmp.sock --size 512M --dump source\n",
	       destination_help);
}

static int parse_size(const char *option, const char *text, uint64_t *size,
		      struct mfd_error *err)
{
	*size = size_parse(text);
	if (*size)
		return 0;
	snprintf(err->text, sizeof(err->text),
		 "--%s: a multiple of 4K like 64M or 2G is wanted, not '%.64s'", option, text);
	return -EINVAL;
}

static int parse_bandwidth(const char *text, uint64_t *bandwidth, struct mfd_error *err)
{
	double rate = rate_parse(text);

	/* 2^63 as a double; the kernel may want less, and says so */
	if (rate >= 1 && rate < 9223372036854775808.0) {
		*bandwidth = rate;
		return 0;
	}
	snprintf(err->text, sizeof(err->text),
		 "--bandwidth: bytes per second like 100M or 1.5Gi are wanted, not '%.64s'", text);
	return -EINVAL;
}

/* Which of @names, ending with NULL, is @text? */
static int parse_name(const char *option, const char *text, const char *const names[],
		      unsigned int *which, struct mfd_error *err)
{
	char list[64] = "";
	unsigned int i;

	for (i = 0; names[i]; i++) {
		if (!strcmp(text, names[i])) {
			*which = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i ? " or " : "", names[i]);
	}
	snprintf(err->text, sizeof(err->text), "--%s: %s is wanted, not '%.64s'", option, list,
		 text);
	return -EINVAL;
}

static int parse_memory(const char *text, enum ram_kind *memory, struct mfd_error *err)
{
	static const char *const names[] = { "anon", "memfd", NULL };
	unsigned int which = 0;
	int ret = parse_name("memory", text, names, &which, err);

	*memory = which ? RAM_MEMFD : RAM_ANON;
	return ret;
}

static int parse_guest(const char *text, enum guest_kind *kind, struct mfd_error *err)
{
	static const char *const names[] = { "toy", "kvm", NULL };
	unsigned int which = 0;
	int ret = parse_name("guest", text, names, &which, err);

	*kind = which ? GUEST_KVM : GUEST_TOY;
	return ret;
}

static int parse_dirty(const char *text, enum dirty_log *log, struct mfd_error *err)
{
	/* in the order of enum dirty_log */
	static const char *const names[] = { "bitmap", "manual", "ring", NULL };
	unsigned int which = 0;
	int ret = parse_name("dirty", text, names, &which, err);

	*log = which;
	return ret;
}

static int take_guest_option(struct options *options, int option, const char *arg,
			     struct mfd_error *err)
{
	switch (option) {
	case OPT_LISTEN:
		options->listen = arg;
		return check_listen(arg, err);
	case OPT_GUEST:
		return parse_guest(arg, &options->kind, err);
	case OPT_DIRTY:
		return parse_dirty(arg, &options->guest.dirty_log, err);
	case OPT_RUN_FOR:
		return parse_number("run-for", arg, 0, 1000000, &options->run_for, err);
	case OPT_WARM_UP:
		return parse_number("warm-up", arg, 0, 1000000, &options->warm_up, err);
	case OPT_BANDWIDTH:
		return parse_bandwidth(arg, &options->bandwidth, err);
	case OPT_STATE:
		options->state = arg;
		return 0;
	}
	return destination_option(&options->destination, option, arg, err);
}

static int take_option(void *data, int option, const char *arg, struct mfd_error *err)
{
	struct options *options = data;

	switch (option) {
	case OPT_SIZE:
		return parse_size("size", arg, &options->guest.size, err);
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
	case OPT_JSON:
		options->json = true;
		return 0;
	}
	return take_guest_option(options, option, arg, err);
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

/*
 * KVM's guest can only go where somebody understands its state. --listen is for nothing else.
 */
static int choose_kind(struct options *options, struct mfd_error *err)
{
	const struct destination *to = &options->destination;
	bool toy = options->guest.image || options->guest.vcpus || to->peer_qmp || to->compat ||
		   to->machine || to->uuid;

	if (options->listen && (toy || to->to || options->kind == GUEST_TOY))
		return demo_wrong(err, EINVAL, "--listen is for a guest of KVM from an mfddemo, and goes without the options of others");
	if (toy && options->kind == GUEST_KVM)
		return demo_wrong(err, EINVAL, "--guest kvm goes without options of the toy and of QEMUs: it can only go to an mfddemo");
	options->guest.incoming = options->listen;
	if (toy)
		options->kind = GUEST_TOY;
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
	if (choose_size(options, &err) || choose_kind(options, &err))
		return program_usage(&program, err.text);
	if (!options->guest.vcpus)
		options->guest.vcpus = 2;
	if (options->guest.size / RAM_PAGE < options->guest.vcpus)
		return program_usage(&program, "the guest needs a page for each vCPU");
	return -1;
}

static int accept_guest(const struct options *options)
{
	struct demo demo = { .options = options, .status = 1 };
	struct mfd_recv_params recv_params = { .size = sizeof(recv_params) };
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	struct destination source = options->destination;
	unsigned int unused;
	int ret;

	mfd_recv_params_init(&recv_params);
	report_start(&demo.report, PROGRAM, options->quiet);
	leave_with(&demo.report, 1, "cancelled before it began");
	/* The options are the same at both ends, but for credentials; nobody connects to this. */
	source.to = "unix:source";
	source.tls = (struct tls) { .creds = NULL };
	ret = destination_params(&source, &params, &unused, &err);
	if (!ret)
		ret = tls_destination(&options->destination.tls, &recv_params.tls, &err);
	if (ret == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	recv_params.channels = params.channels;
	recv_params.method = params.method;
	recv_params.stall_ms = params.stall_ms;
	program_raise_open_files();
	if (!ret)
		ret = take_in(&demo, &recv_params, &err);
	tls_close(recv_params.tls);
	if (ret)
		report_error(&demo.report, &err);
	return ret ? demo.status : 0;
}

static int demonstrate(struct options *options)
{
	struct demo demo = { .options = options, .status = 1, .report.json = options->json };
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error err = { .size = sizeof(err) };
	int ret;

	report_start(&demo.report, PROGRAM, options->quiet);
	leave_with(&demo.report, 1, "cancelled before it began");
	ret = destination_params(&options->destination, &params, &options->first_flags, &err);
	params.rate = options->bandwidth;
	params.progress = report_progress;
	params.opaque = &demo.report;
	if (ret == PROGRAM_USAGE)
		return program_usage(&program, err.text);
	program_raise_open_files();
	if (!ret)
		ret = run(&demo, &params, &err);
	tls_close(params.tls);
	if (ret && err.text[0])
		report_error(&demo.report, &err);
	return ret ? demo.status : 0;
}

int main(int argc, char **argv)
{
	struct options options = {
		.idstr = "ram0",
		.guest.write_rate = 1000,
		.run_for = 3,
		.downtime_ms = 300,
		.min_rounds = 1,
		.max_rounds = 30,
	};
	struct mfd_error err = { .size = sizeof(err) };
	int status;

	program_start();
	status = parse_options(&options, argc, argv);
	if (status < 0 && signals_start(&err))
		status = program_failed(&program, &err);
	if (status < 0)
		status = options.listen ? accept_guest(&options) : demonstrate(&options);
	status = program_end(&program, status);
	signals_stop();
	return status;
}
