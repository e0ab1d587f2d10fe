// SPDX-License-Identifier: GPL-2.0-only
/* What came: totals, and channel by channel. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "received.h"

void received_summary(const struct report *report, const struct received *received)
{
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };
	struct mfd_recv_progress sum = { .size = sizeof(sum) };
	unsigned int i;

	mfd_recv_progress(received->recv, &sum);
	printf("%s: %ju pages received (%ju normal, %ju zero, %ju of them cleared): %.1f MB in %.2f s, %.0f MB/s\n",
	       report->program, (uintmax_t)(sum.normal + sum.zero), (uintmax_t)sum.normal,
	       (uintmax_t)sum.zero, (uintmax_t)sum.cleared, sum.bytes / 1e6,
	       sum.ns / 1e9, sum.bytes * 1e3 / sum.ns);
	for (i = 0; i < received->channels; i++) {
		mfd_recv_channel_stats(received->recv, i, &of);
		printf("channel %u packets %ju normal pages %ju zero pages %ju\n", i,
		       (uintmax_t)of.packets, (uintmax_t)of.normal, (uintmax_t)of.zero);
	}
	if (sum.device_bytes)
		printf("device state %ju bytes\n", (uintmax_t)sum.device_bytes);
	if (*report->encryption)
		printf("%s: encrypted: %s\n", report->program, report->encryption);
}

static void add(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *json_channels(const struct received *received)
{
	struct json_object *list = json_object_new_array(), *channel;
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };
	unsigned int i;

	for (i = 0; i < received->channels; i++) {
		mfd_recv_channel_stats(received->recv, i, &of);
		channel = json_object_new_object();
		add(channel, "channel", i);
		add(channel, "packets", of.packets);
		add(channel, "normal", of.normal);
		add(channel, "zero", of.zero);
		add(channel, "cleared", of.cleared);
		add(channel, "syncs", of.syncs);
		add(channel, "bytes", of.bytes);
		json_object_array_add(list, channel);
	}
	return list;
}

static struct json_object *json_all(const struct received *received)
{
	struct json_object *all = json_object_new_object();
	struct mfd_recv_progress sum = { .size = sizeof(sum) };

	mfd_recv_progress(received->recv, &sum);
	json_object_object_add(all, "complete", json_object_new_boolean(!received->error));
	if (received->error)
		json_object_object_add(all, "error",
				       json_object_new_string(received->error->text));
	add(all, "packets", sum.packets);
	add(all, "normal", sum.normal);
	add(all, "zero", sum.zero);
	add(all, "cleared", sum.cleared);
	add(all, "syncs", sum.syncs);
	add(all, "bytes", sum.bytes);
	add(all, "device_bytes", sum.device_bytes);
	add(all, "strangers", sum.strangers);
	json_object_object_add(all, "seconds", json_object_new_double(sum.ns / 1e9));
	if (*received->encryption)
		json_object_object_add(all, "tls", json_object_new_string(received->encryption));
	json_object_object_add(all, "channels", json_channels(received));
	return all;
}

int received_json(const struct received *received, FILE *out)
{
	struct json_object *all = json_all(received);
	int ret = fprintf(out, "%s\n", json_object_to_json_string(all));

	json_object_put(all);
	return ret < 0 || fflush(out) ? -1 : 0;
}
