// SPDX-License-Identifier: GPL-2.0-only
/* What can be seen, as JSON. */
#include <time.h>

#include <json-c/json.h>

#include "export.h"

static struct json_object *flags(const char *const *names, uint32_t value)
{
	struct json_object *list = json_object_new_array();

	for (; *names; names++, value >>= 1)
		if (value & 1)
			json_object_array_add(list, json_object_new_string(*names));
	return list;
}

static struct json_object *value(const struct ctl_field *field, const void *member)
{
	switch (field->type) {
	case CTL_S32:
		return json_object_new_int(*(const int32_t *)member);
	case CTL_U64:
		return json_object_new_uint64(*(const uint64_t *)member);
	case CTL_ENUM:
		return json_object_new_string(ctl_name(field->names, *(const uint32_t *)member));
	case CTL_FLAGS:
		return flags(field->names, *(const uint32_t *)member);
	case CTL_TEXT:
	case CTL_UUID:
		return json_object_new_string(member);
	case CTL_ROUND:
		return ctl_json(&ctl_round_set, member);
	}
	return json_object_new_int64(*(const uint32_t *)member);
}

struct json_object *ctl_json(const struct ctl_set *set, const void *from)
{
	struct json_object *object = json_object_new_object();
	uint64_t has = *(const uint64_t *)from;
	unsigned int i;

	for (i = 0; i < set->nr; i++) {
		const struct ctl_field *field = &set->field[i];

		if (has >> field->attr & 1)
			json_object_object_add(object, field->name,
					       value(field, (const char *)from + field->offset));
	}
	return object;
}

void ctl_json_list(struct json_object *object, const char *name, const struct ctl_list *list)
{
	struct json_object *array = json_object_new_array();
	const char *item = list->item;
	size_t i;

	for (i = 0; i < list->nr; i++)
		json_object_array_add(array, ctl_json(list->set, item + i * list->set->size));
	json_object_object_add(object, name, array);
}

void ctl_json_time(struct json_object *object)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(object, "time",
			       json_object_new_double(now.tv_sec + now.tv_nsec / 1e9));
}

void ctl_json_print(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
