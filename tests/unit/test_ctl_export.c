// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl: attributes to structures, and these to JSON and Prometheus' text format. */
#include "unit.h"

#include <json-c/json.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "ctl/export.h"

/* Parse what @put has put into a message. */
static void parse(const struct ctl_set *set, void (*put)(struct nl_msg *), void *to)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct nlmsghdr *header = nlmsg_put(msg, 0, 0, 0x20, 0, 0);

	put(msg);
	ctl_parse(set, nlmsg_attrdata(header, 0), nlmsg_attrlen(header, 0), to);
	nlmsg_free(msg);
}

static void put_session(struct nl_msg *msg)
{
	static const uint8_t uuid[16] = { 0x6f, 0x2e, 0x60, 0xcc, [15] = 0x39 };
	struct nlattr *round;

	nla_put_u64(msg, MZP_A_SESSION_ID, UINT64_MAX);
	nla_put_u32(msg, MZP_A_SESSION_STATE, MZP_SESSION_FAILED);
	nla_put_u32(msg, MZP_A_SESSION_PID, 4711);
	nla_put_string(msg, MZP_A_SESSION_COMM, "a\"b\\c\nd\xff");
	nla_put_s32(msg, MZP_A_SESSION_LEVEL, -1);
	nla_put(msg, MZP_A_SESSION_UUID, sizeof(uuid), uuid);
	nla_put_u32(msg, MZP_A_SESSION_SLOT, 3);
	nla_put_u64(msg, MZP_A_SESSION_BUSY, 12000000034);
	nla_put_u64(msg, MZP_A_SESSION_RING_FULL, 5);
	/* newer than this program, shorter than it should be, and out of range */
	nla_put_u32(msg, MZP_A_SESSION_MAX + 1, 1);
	nla_put_u32(msg, MZP_A_SESSION_RING_EMPTY, 1);
	nla_put_u32(msg, MZP_A_SESSION_METHOD, 99);
	round = nla_nest_start(msg, MZP_A_SESSION_ROUND);
	nla_put_u32(msg, MZP_A_ROUND_NUMBER, 3);
	nla_nest_end(msg, round);
}

TEST(attributes_become_structures)
{
	struct ctl_session session;

	parse(&ctl_session_set, put_session, &session);
	assert_true(session.id == UINT64_MAX);
	assert_int_equal(session.state, MZP_SESSION_FAILED);
	assert_string_equal(session.comm, "a\"b\\c\nd\xef\xbf\xbd");
	assert_int_equal(session.level, -1);
	assert_string_equal(session.uuid, "6f2e60cc-0000-0000-0000-000000000039");
	assert_int_equal(session.count.busy, 12000000034);
	assert_true(ctl_has(&session, MZP_A_SESSION_RING_FULL));
	assert_false(ctl_has(&session, MZP_A_SESSION_RING_EMPTY));
	assert_false(ctl_has(&session, MZP_A_SESSION_NORMAL));
	assert_int_equal(session.round.number, 3);
	assert_string_equal(ctl_name(ctl_method_names, session.method), "?");
}

TEST(json)
{
	struct json_object *object, *member;
	struct ctl_session session;

	parse(&ctl_session_set, put_session, &session);
	object = ctl_json(&ctl_session_set, &session);
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
		"{\"id\":18446744073709551615,\"state\":\"failed\",\"pid\":4711,"
		"\"comm\":\"a\\\"b\\\\c\\nd\xef\xbf\xbd\","
		"\"uuid\":\"6f2e60cc-0000-0000-0000-000000000039\",\"slot\":3,"
		"\"method\":\"?\",\"level\":-1,\"ring-full\":5,\"busy\":12000000034,"
		"\"round\":{\"number\":3}}");
	assert_false(json_object_object_get_ex(object, "ring-empty", &member));
	json_object_put(object);
}

static void put_info(struct nl_msg *msg)
{
	nla_put_string(msg, MZP_A_INFO_VERSION, "0.1");
	nla_put_u32(msg, MZP_A_INFO_METHODS, 5);
	nla_put_u32(msg, MZP_A_INFO_SESSIONS, 1);
	nla_put_u32(msg, MZP_A_INFO_WORKERS, 2);
}

TEST(flags_in_json)
{
	struct json_object *object;
	struct ctl_info info;

	parse(&ctl_info_set, put_info, &info);
	object = ctl_json(&ctl_info_set, &info);
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
		"{\"version\":\"0.1\",\"methods\":[\"none\",\"zstd\"],\"sessions\":1,\"workers\":2}");
	json_object_put(object);
}

static void put_channel(struct nl_msg *msg)
{
	nla_put_u64(msg, MZP_A_CHANNEL_SESSION, UINT64_MAX);
	nla_put_u32(msg, MZP_A_CHANNEL_ID, 254);
	nla_put_u64(msg, MZP_A_CHANNEL_NORMAL, 7);
}

TEST(prometheus)
{
	struct ctl_session session;
	struct ctl_channel channel;
	struct ctl_snapshot snapshot = {
		.sessions = { &ctl_session_set, &session, 1, 1, false },
		.channels = { &ctl_channel_set, &channel, 1, 1, false },
		.workers = { &ctl_worker_set, NULL, 0, 0, false },
	};
	static char text[8192];
	FILE *to = fmemopen(text, sizeof(text), "w");

	parse(&ctl_info_set, put_info, &snapshot.info);
	parse(&ctl_session_set, put_session, &session);
	parse(&ctl_channel_set, put_channel, &channel);
	ctl_prometheus(to, &snapshot, true);
	fclose(to);
#define WHO "{slot=\"3\""
	assert_non_null(strstr(text, "\nmultifd_zp_session_info" WHO ",session=\"18446744073709551615\","
			       "pid=\"4711\",comm=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",uid=\"0\","));
	assert_non_null(strstr(text, "# TYPE multifd_zp_session_ring_full_total counter\n"
			       "multifd_zp_session_ring_full_total" WHO "} 5\n"));
	/* nanoseconds as seconds, all digits of them */
	assert_non_null(strstr(text, "\nmultifd_zp_session_busy_seconds_total" WHO
			       "} 12.000000034\n"));
	assert_non_null(strstr(text, "\nmultifd_zp_channel_normal_pages_total" WHO
			       ",channel=\"254\"} 7\n"));
	assert_non_null(strstr(text, "\nmultifd_zp_module_workers 2\n"));
	/* what is not there is not 0 */
	assert_null(strstr(text, "session_ring_empty_total"));
	assert_null(strstr(text, "sessions_failed_total"));
	assert_null(strstr(text, "multifd_zp_host_"));
	/* without names, nothing that only one session can have */
	to = fmemopen(text, sizeof(text), "w");
	snapshot.totals = (struct ctl_totals) { .has = ~0ull, .failed_reader = 5 };
	ctl_prometheus(to, &snapshot, false);
	fclose(to);
	assert_null(strstr(text, "4711"));
	assert_null(strstr(text, "18446744073709551615"));
	assert_non_null(strstr(text, "\nmultifd_zp_module_sessions_failed_total{reason=\"reader\"} 5\n"));
	assert_non_null(strstr(text, "\nmultifd_zp_module_visible_sessions{state=\"failed\"} 1\n"));
}

TEST(speed)
{
	struct ctl_session before = { .age = 1000000000, .count = { .normal = 10, .busy = 100 } };
	struct ctl_session now = { .age = 3000000000, .count = { .normal = 20, .zero = 10,
				   .bytes_read = 4000, .busy = 1000000100 } };
	struct ctl_speed speed = ctl_speed(&now, &before);

	assert_true(speed.seconds == 2 && speed.pages == 10 && speed.bytes == 2000 &&
		    speed.cpus == 0.5);
	speed = ctl_speed(&now, NULL);
	assert_true(speed.seconds == 3 && speed.pages == 10);
	/* no time has passed */
	speed = ctl_speed(&now, &now);
	assert_true(speed.seconds == 0 && speed.pages == 0 && speed.bytes == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_become_structures),
		cmocka_unit_test(json),
		cmocka_unit_test(flags_in_json),
		cmocka_unit_test(prometheus),
		cmocka_unit_test(speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
