// SPDX-License-Identifier: GPL-2.0-only
/* The programs' options for the destination, and what they make of its answers. */
#include "unit.h"

#include <errno.h>

#include "destination.h"
#include "lib/mfd_qmp.h"

/* --- the destination, and what is known of it */

static struct {
	struct mfd_peer peer;
	struct mfd_outcome outcome;
	int ret;
	unsigned int asked;
} qemu;

int mfd_peer_query(struct mfd_peer *peer, const char *address, uint32_t timeout_ms,
		   struct mfd_error *err)
{
	(void)address;
	(void)timeout_ms;
	(void)err;
	qemu.asked++;
	*peer = qemu.peer;
	return qemu.ret;
}

int mfd_peer_outcome(struct mfd_outcome *outcome, const char *address, uint32_t timeout_ms,
		     struct mfd_error *err)
{
	(void)address;
	(void)timeout_ms;
	(void)err;
	qemu.asked++;
	*outcome = qemu.outcome;
	return qemu.ret;
}

int mfd_params_init(struct mfd_params *params)
{
	*params = (struct mfd_params) {
		.size = sizeof(*params), .channels = 2, .detection = MFD_DETECTION_MULTIFD,
		.flush = MFD_FLUSH_ROUND, .machine = "none", .level = MFD_LEVEL_DEFAULT,
	};
	return 0;
}

static int reset(void **unused)
{
	(void)unused;
	memset(&qemu, 0, sizeof(qemu));
	qemu.peer = (struct mfd_peer) {
		.size = sizeof(qemu.peer), .major = 10, .channels = 4, .multifd = true,
		.compat_major = 10, .machine = "pc-q35-10.0", .method = "zstd", .uuid = { 7 },
	};
	return 0;
}

/* --- what is wrong shows without asking it */

static struct mfd_params params;
static unsigned int first_flags;
static struct mfd_error err;

static int parse(const struct destination *destination)
{
	err = (struct mfd_error) { .size = sizeof(err) };
	params.size = sizeof(params);
	return destination_params(destination, &params, &first_flags, &err);
}

#define PARSE_TO(...) parse(&(struct destination) { .to = __VA_ARGS__ })
#define PARSE(...) PARSE_TO("unix:x", __VA_ARGS__)

TEST(wrong_usage)
{
	char machine[257];

	memset(machine, 'x', sizeof(machine));
	machine[256] = '\0';
	assert_int_equal(PARSE_TO(NULL), PROGRAM_USAGE);
	assert_int_equal(PARSE_TO("foo", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE_TO("tcp:host:69982"), PROGRAM_USAGE);
	assert_int_equal(PARSE_TO("tcp:host:0"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.ring = 3, .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.machine = machine, .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.machine = "", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.uuid = "zz", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.method = "lz4", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.zero = "some", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.flush = "often", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(PARSE(.compat = "8", .peer_qmp = "q"), PROGRAM_USAGE);
	assert_int_equal(qemu.asked, 0);
	assert_int_equal(PARSE(.level = 3), PROGRAM_USAGE);
	assert_int_equal(PARSE(.zero = "multifd", .compat = "8.2"), PROGRAM_USAGE);
	machine[255] = '\0';
	assert_int_equal(PARSE(.machine = machine, .ring = 4, .compat = "9.0"), 0);
}

TEST(by_hand)
{
	assert_int_equal(PARSE(.compat = "8.2", .method = "zlib", .level = 3, .channels = 9), 0);
	assert_int_equal(params.flush, MFD_FLUSH_ROUND);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_int_equal(params.method, MFD_METHOD_ZLIB);
	assert_int_equal(params.level, 3);
	assert_int_equal(params.channels, 9);
	assert_int_equal(PARSE(.flush = "section"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	/* its name may tell, as far as it is known */
	assert_int_equal(PARSE(.machine = "pc-q35-rhel8.6.0"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_int_equal(PARSE(.machine = "pc-q35-8.2"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_ROUND);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_int_equal(PARSE(.machine = "pc-q35-8.2", .compat = "9.0"), 0);
	assert_int_equal(params.detection, MFD_DETECTION_MULTIFD);
	assert_int_equal(PARSE(.machine = "pc-q35-acme4"), PROGRAM_USAGE);
	assert_non_null(strstr(err.text, "--compat X.Y"));
	assert_int_equal(PARSE(.machine = "pc-q35-acme4", .compat = "8.0"), 0);
	assert_int_equal(PARSE(.machine = "pc-q35-acme4", .flush = "round", .zero = "none"), 0);
	assert_int_equal(PARSE(.machine = "none"), 0);
	assert_int_equal(params.detection, MFD_DETECTION_MULTIFD);
	assert_int_equal(qemu.asked, 0);
}

/* --- what it says counts where the options say nothing */

TEST(its_word)
{
	assert_int_equal(PARSE(.peer_qmp = "q", .level = 3), 0);
	assert_int_equal(params.channels, 4);
	assert_int_equal(params.method, MFD_METHOD_ZSTD);
	assert_int_equal(params.level, 3);
	assert_memory_equal(params.uuid, qemu.peer.uuid, 16);
	assert_string_equal(params.machine, "pc-q35-10.0");
	assert_int_equal(params.flush, MFD_FLUSH_ROUND);
	assert_int_equal(params.detection, MFD_DETECTION_MULTIFD);
	qemu.peer.compat_major = 7;
	assert_int_equal(PARSE(.peer_qmp = "q"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	/* it has been asked, and yet people know better */
	assert_int_equal(PARSE(.peer_qmp = "q", .machine = "acme"), 0);
	assert_string_equal(params.machine, "acme");
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(PARSE(.peer_qmp = "q", .machine = "none"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(PARSE(.peer_qmp = "q", .compat = "8.1", .machine = "other"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_ROUND);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_string_equal(params.machine, "other");
	assert_int_equal(PARSE(.peer_qmp = "q", .method = "zstd", .channels = 4,
			       .uuid = "07000000-0000-0000-0000-000000000000"), 0);
}

static void refused(int status, const char *why)
{
	assert_int_equal(status, 1);
	if (!strstr(err.text, why))
		fail_msg("'%s' without '%s'", err.text, why);
}

TEST(whose_memory_is_new)
{
	assert_int_equal(PARSE(.fresh = "auto"), 0);
	assert_int_equal(first_flags, MFD_SEND_FRESH);
	assert_int_equal(PARSE(.fresh = "no"), 0);
	assert_int_equal(first_flags, 0);
	/* it takes for granted that zero pages in packets are zero */
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_int_equal(PARSE(.fresh = "no", .zero = "none"), 0);
	assert_int_equal(params.detection, MFD_DETECTION_NONE);
	assert_int_equal(PARSE(.fresh = "no", .zero = "multifd"), 2);
	assert_int_equal(PARSE(.peer_qmp = "q"), 0);
	assert_int_equal(first_flags, MFD_SEND_FRESH);
	qemu.peer.memory_files = 1;
	assert_int_equal(PARSE(.peer_qmp = "q", .fresh = "auto"), 0);
	assert_int_equal(first_flags, 0);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	assert_int_equal(PARSE(.peer_qmp = "q", .zero = "multifd"), 2);
	assert_int_equal(PARSE(.peer_qmp = "q", .fresh = "yes", .zero = "multifd"), 0);
	assert_int_equal(first_flags, MFD_SEND_FRESH);
	assert_int_equal(params.detection, MFD_DETECTION_MULTIFD);
	assert_int_equal(PARSE(.fresh = "perhaps"), 2);
}

TEST(what_does_not_fit)
{
	refused(PARSE(.peer_qmp = "q", .channels = 3), "migrate-set-parameters");
	refused(PARSE(.peer_qmp = "q", .method = "none"), "multifd-compression is zstd");
	refused(PARSE(.peer_qmp = "q", .uuid = "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39"), "-uuid");
	strcpy(qemu.peer.method, "qpl");
	refused(PARSE(.peer_qmp = "q"), "multifd-compression is qpl");
	qemu.peer.multifd = false;
	refused(PARSE(.peer_qmp = "q"), "migrate-set-capabilities");
	qemu.ret = -ETIMEDOUT;
	assert_int_equal(PARSE(.peer_qmp = "q"), 1);
	qemu.ret = -EINVAL;
	assert_int_equal(PARSE(.peer_qmp = "tcp:q"), PROGRAM_USAGE);
}

TEST(an_unknown_machine)
{
	strcpy(qemu.peer.machine, "pc-q35-acme4");
	qemu.peer.compat_major = 0;
	refused(PARSE(.peer_qmp = "q"), "--compat X.Y");
	refused(PARSE(.peer_qmp = "q"), "pc-q35-acme4");
	refused(PARSE(.peer_qmp = "q", .flush = "round"), "--compat X.Y");
	refused(PARSE(.peer_qmp = "q", .zero = "legacy"), "--compat X.Y");
	assert_int_equal(PARSE(.peer_qmp = "q", .compat = "8.0"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_SECTION);
	assert_int_equal(PARSE(.peer_qmp = "q", .flush = "round", .zero = "legacy"), 0);
	assert_int_equal(params.flush, MFD_FLUSH_ROUND);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
	/* every one understands legacy */
	assert_int_equal(PARSE(.peer_qmp = "q", .flush = "section"), 0);
	assert_int_equal(params.detection, MFD_DETECTION_LEGACY);
}

/* --- the end */

static int ended(uint32_t state, const char *reason, int asked, int ret, uint32_t kind)
{
	const struct destination destination = { .to = "unix:x", .peer_qmp = "q" };

	qemu.asked = 0;
	qemu.outcome.state = state;
	strcpy(qemu.outcome.reason, reason);
	qemu.ret = asked;
	err = (struct mfd_error) { .size = sizeof(err), .kind = kind, .text = "channel 1" };
	return destination_ended(&destination, ret, &err);
}

TEST(it_went_well)
{
	assert_int_equal(ended(MFD_OUTCOME_COMPLETED, "", 0, 0, 0), 0);
	assert_int_equal(qemu.asked, 1);
	assert_int_equal(ended(MFD_OUTCOME_NONE, "", 0, 0, 0), 0);
	/* somebody else is at its QMP */
	assert_int_equal(ended(MFD_OUTCOME_NONE, "", -ETIMEDOUT, 0, 0), 0);
}

TEST(it_failed_at_the_end)
{
	assert_true(ended(MFD_OUTCOME_FAILED, "no such device", 0, 0, 0) < 0);
	assert_non_null(strstr(err.text, "no such device"));
	assert_true(ended(MFD_OUTCOME_FAILED, "", 0, 0, 0) < 0);
	assert_non_null(strstr(err.text, "log"));
	assert_true(ended(MFD_OUTCOME_ACTIVE, "", 0, 0, 0) < 0);
	assert_true(ended(MFD_OUTCOME_NONE, "", -ECONNREFUSED, 0, 0) < 0);
	assert_non_null(strstr(err.text, "QEMU has ended"));
}

TEST(its_reason)
{
	assert_int_equal(ended(MFD_OUTCOME_FAILED, "unknown ramblock", 0, -EPIPE, MFD_ERROR_NETWORK),
			 -EPIPE);
	assert_string_equal(err.text, "channel 1; the destination says: unknown ramblock");
	assert_int_equal(ended(MFD_OUTCOME_NONE, "", -ECONNREFUSED, -EPIPE, MFD_ERROR_NETWORK),
			 -EPIPE);
	assert_string_equal(err.text, "channel 1; the destination's QEMU has ended");
	assert_int_equal(ended(MFD_OUTCOME_ACTIVE, "", 0, -EPIPE, MFD_ERROR_NETWORK), -EPIPE);
	assert_string_equal(err.text, "channel 1");
	/* it has nothing to do with this one */
	assert_int_equal(ended(MFD_OUTCOME_NONE, "", 0, -EFAULT, MFD_ERROR_MEMORY), -EFAULT);
	assert_int_equal(qemu.asked, 0);
}

/* What was wrong comes last, behind all that it was about to do. */
TEST(a_long_reason)
{
	char reason[256];

	memset(reason, 'x', sizeof(reason));
	strcpy(reason + sizeof(reason) - 20, "in the machine type");
	ended(MFD_OUTCOME_FAILED, reason, 0, -EPIPE, MFD_ERROR_NETWORK);
	assert_non_null(strstr(err.text, "channel 1; the destination says: …xxx"));
	assert_string_equal(err.text + strlen(err.text) - 23, "xxxxin the machine type");
	ended(MFD_OUTCOME_FAILED, reason, 0, 0, 0);
	assert_non_null(strstr(err.text, "failed: …xxx"));
	assert_string_equal(err.text + strlen(err.text) - 23, "xxxxin the machine type");
}

TEST(nobody_to_ask)
{
	const struct destination destination = { .to = "unix:x" };

	assert_int_equal(destination_ended(&destination, -EPIPE, &err), -EPIPE);
	assert_int_equal(destination_ended(&destination, 0, &err), 0);
	assert_int_equal(qemu.asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(wrong_usage, reset),
		cmocka_unit_test_setup(by_hand, reset),
		cmocka_unit_test_setup(its_word, reset),
		cmocka_unit_test_setup(whose_memory_is_new, reset),
		cmocka_unit_test_setup(what_does_not_fit, reset),
		cmocka_unit_test_setup(an_unknown_machine, reset),
		cmocka_unit_test_setup(it_went_well, reset),
		cmocka_unit_test_setup(it_failed_at_the_end, reset),
		cmocka_unit_test_setup(its_reason, reset),
		cmocka_unit_test_setup(a_long_reason, reset),
		cmocka_unit_test_setup(nobody_to_ask, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
