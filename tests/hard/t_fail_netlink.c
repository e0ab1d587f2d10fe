// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink's requests, each of which fails at its first allocation or user copy, then
 * at its second, and so on (see sweep.h).
 */
#include "genl.h"
#include "sweep.h"

struct ask {
	uint8_t cmd;
	bool dump;
	void (*fill)(struct genl_request *r, struct state *st);
};

static const struct ask *asked;
static unsigned int answers;

static void count_answers(const uint8_t *attrs, size_t size, void *arg)
{
	(void)attrs;
	(void)size;
	(void)arg;
	answers++;
}

static void prepare_ask(struct state *st)
{
	st->nl = genl_open();
	st->number = session_number(st->s.fd);
}

static int act_ask(struct state *st)
{
	struct genl_request r;
	int err;

	if (st->broken) {
		close(st->nl);
		st->nl = genl_open();
	}
	genl_begin(&r, asked->cmd, asked->dump);
	if (asked->fill)
		asked->fill(&r, st);
	answers = 0;
	err = genl_ask(st->nl, &r, count_answers, NULL);
	st->broken = err;
	return err;
}

static void ask(uint8_t cmd, bool dump, void (*fill)(struct genl_request *r, struct state *st))
{
	struct ask what = { cmd, dump, fill };

	asked = &what;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_ask, .act = act_ask });
}

static void fill_session(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_SESSION_ID, st->number);
}

static void fill_channel(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_CHANNEL_SESSION, st->number);
	genl_put_u32(r, MZP_A_CHANNEL_ID, 1);
}

static void fill_channels(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_CHANNEL_SESSION, st->number);
}

static void fill_worker(struct genl_request *r, struct state *st)
{
	(void)st;
	genl_put_u32(r, MZP_A_WORKER_CPU, 0);
}

static void fill_limit(struct genl_request *r, struct state *st)
{
	fill_session(r, st);
	genl_put(r, MZP_A_SESSION_CPUS, "0", 2);
	genl_put_u64(r, MZP_A_SESSION_RATE, 1ull << 40);
}

static void nl_info(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_INFO_GET, false, NULL);
}

static void nl_session(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_GET, false, fill_session);
}

static void nl_sessions(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_GET, true, NULL);
}

static void nl_channel(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_CHANNEL_GET, false, fill_channel);
}

static void nl_channels(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_CHANNEL_GET, true, fill_channels);
}

static void nl_worker(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_WORKER_GET, false, fill_worker);
}

static void nl_workers(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_WORKER_GET, true, NULL);
}

static void nl_limit(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_LIMIT, false, fill_limit);
}

static void nl_totals(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_TOTALS_GET, false, NULL);
}

static void nl_history(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_HISTORY_GET, true, NULL);
}

static void nl_host(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_HOST_GET, false, NULL);
}

static void fill_host(struct genl_request *r, struct state *st)
{
	(void)st;
	genl_put_u32(r, MZP_A_HOST_DRAINING, 0);
	genl_put_u32(r, MZP_A_HOST_MAX_SESSIONS, 0);
	genl_put_u64(r, MZP_A_HOST_DEFAULT_RATE, 0);
	genl_put_u64(r, MZP_A_HOST_MAX_RATE, 1ull << 40);
	genl_put_u64(r, MZP_A_HOST_TOTAL_RATE, 1ull << 40);
}

static void nl_host_set(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_HOST_SET, false, fill_host);
}

static void prepare_nl_cancel(struct state *st)
{
	prepare_pending(st);
	prepare_ask(st);
}

static void nl_cancel(void **state)
{
	static const struct ask what = { MZP_NL_CMD_SESSION_CANCEL, false, fill_session };

	(void)state;
	asked = &what;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_nl_cancel, .act = act_ask,
			       .finish = finish_cancel });
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nl_info),
		cmocka_unit_test(nl_session),
		cmocka_unit_test(nl_sessions),
		cmocka_unit_test(nl_channel),
		cmocka_unit_test(nl_channels),
		cmocka_unit_test(nl_worker),
		cmocka_unit_test(nl_workers),
		cmocka_unit_test(nl_limit),
		cmocka_unit_test(nl_totals),
		cmocka_unit_test(nl_history),
		cmocka_unit_test(nl_host),
		cmocka_unit_test(nl_host_set),
		cmocka_unit_test(nl_cancel),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}
