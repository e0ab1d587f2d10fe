// SPDX-License-Identifier: GPL-2.0-only
/* Numbers and names as people read and write them. */
#include <errno.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attr.h"
#include "text.h"
#include "lib/error.h"
#include "size.h"

#define SECOND 1000000000ull

/* Three digits and a prefix. */
static struct ctl_text scaled(double n, const char *unit)
{
	static const char prefixes[] = "\0kMGTPE";
	struct ctl_text text;
	unsigned int i = 0;

	/* what would be rounded to 1000 is one of the next */
	while (n >= (i ? 999.5 : 1000) && i < sizeof(prefixes) - 2) {
		n /= 1000;
		i++;
	}
	snprintf(text.s, sizeof(text.s), "%.*f %.1s%s",
		 !i || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2, n, &prefixes[i], unit);
	return text;
}

struct ctl_text ctl_bytes(double bytes)
{
	return scaled(bytes, "B");
}

struct ctl_text ctl_number(double n)
{
	struct ctl_text text;

	if (n >= 9999.5)
		return scaled(n, "");
	snprintf(text.s, sizeof(text.s), "%.0f", n);
	return text;
}

struct ctl_text ctl_percent(double part, double whole)
{
	struct ctl_text text = { "-" };
	double percent;

	if (whole <= 0)
		return text;
	percent = 100 * part / whole;
	if (percent > 0 && percent < 1)
		snprintf(text.s, sizeof(text.s), "<1%%");
	else if (percent > 99 && percent < 100)
		snprintf(text.s, sizeof(text.s), ">99%%");
	else
		snprintf(text.s, sizeof(text.s), "%.0f%%", percent);
	return text;
}

struct ctl_text ctl_duration(uint64_t ns)
{
	uint64_t s = ns / SECOND;
	struct ctl_text text;

	if (s < 60)
		snprintf(text.s, sizeof(text.s), "%.*f s", s ? 1 : 3,
			 floor(ns / (s ? 1e8 : 1e6)) / (s ? 10 : 1000));
	else if (s < 3600)
		snprintf(text.s, sizeof(text.s), "%u min %02u s", (unsigned int)s / 60,
			 (unsigned int)s % 60);
	else if (s < 24 * 3600)
		snprintf(text.s, sizeof(text.s), "%u h %02u min", (unsigned int)s / 3600,
			 (unsigned int)s / 60 % 60);
	else
		snprintf(text.s, sizeof(text.s), "%ju d %02u h", (uintmax_t)s / (24 * 3600),
			 (unsigned int)(s / 3600 % 24));
	return text;
}

struct ctl_text ctl_count(uint64_t n, const char *what)
{
	struct ctl_text text;

	snprintf(text.s, sizeof(text.s), "%ju %s%s", (uintmax_t)n, what, n == 1 ? "" : "s");
	return text;
}

struct ctl_text ctl_time(uint64_t ns)
{
	time_t seconds = ns / SECOND;
	struct ctl_text text;
	char day[32], zone[8];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(text.s, sizeof(text.s), "%s.%03u%.3s:%.2s", day,
		 (unsigned int)(ns % SECOND / 1000000), zone, zone + 3);
	return text;
}

static struct ctl_text look_up(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);
	struct ctl_text text;

	if (user)
		snprintf(text.s, sizeof(text.s), "%s", user->pw_name);
	else
		snprintf(text.s, sizeof(text.s), "%u", uid);
	return text;
}

/* To look one up may mean to ask over a network, and a table asks for each row again. */
struct ctl_text ctl_user(uint32_t uid)
{
	static struct {
		bool known;
		uint32_t uid;
		struct ctl_text name;
	} cache[64];
	unsigned int at = uid % 64;

	if (!cache[at].known || cache[at].uid != uid) {
		cache[at].name = look_up(uid);
		cache[at].uid = uid;
		cache[at].known = true;
	}
	return cache[at].name;
}

/* Digits, perhaps with a fraction: no sign, exponent, infinity or hexadecimals. */
static bool decimal(const char *text, double *value, char **end)
{
	size_t digits = strspn(text, "0123456789");
	size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;

	if (!digits || (text[digits] == '.' && !fraction))
		return false;
	*value = strtod(text, end);
	return *end == text + digits + (fraction ? fraction + 1 : 0);
}

int ctl_parse_rate(const char *text, uint64_t *rate, struct mfd_error *err)
{
	double value = rate_parse(text);

	*rate = 0;
	if (!strcmp(text, "none"))
		return 0;
	if (value < 0)
		return mfd_error_set(err, EINVAL,
				     "'%.64s' is no rate: bytes per second such as 100M or 1.5Gi are wanted, or none",
				     text);
	/* 2^64 as a double; the kernel may want less, and says so */
	if (value < 1 || value >= 18446744073709551616.0)
		return mfd_error_set(err, EINVAL, "a rate of '%.64s' is too %s%s", text,
				     value < 1 ? "low" : "high",
				     value < 1 ? "; none is no limit" : "");
	*rate = value;
	return 0;
}

int ctl_parse_id(const char *text, uint64_t *id, struct mfd_error *err)
{
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end)
		return mfd_error_set(err, EINVAL,
				     "'%.64s' is no session: a number is wanted, as mfdctl stats shows it",
				     text);
	return 0;
}

int ctl_parse_seconds(const char *option, const char *text, double *seconds,
		      struct mfd_error *err)
{
	char *end;

	if (!decimal(text, seconds, &end) || *end || *seconds < 0.1 || *seconds > 86400)
		return mfd_error_set(err, EINVAL,
				     "%s: seconds from 0.1 to 86400 are wanted, not '%.64s'",
				     option, text);
	return 0;
}

/* Bytes of the UTF-8 character at @s, of which @len are left; 0 if it is none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	uint32_t c = n > 1 ? *s & (0x7f >> n) : *s;
	size_t i;

	if (!n || n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c >= least[n] && c <= 0x10ffff && c >> 11 != 0x1b ? n : 0;
}

void ctl_utf8(char *to, size_t size, const char *from, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";

	while (len) {
		size_t n = utf8_length((const unsigned char *)from, len);
		const char *what = n ? from : replacement;
		size_t room = n ? n : sizeof(replacement) - 1;

		if (room >= size)
			break;
		memcpy(to, what, room);
		to += room;
		size -= room;
		from += n ? n : 1;
		len -= n ? n : 1;
	}
	*to = '\0';
}

void ctl_put(FILE *to, const char *text, unsigned int width)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned int column;

	for (column = 0; *s && (!width || column < width); column++) {
		size_t n = utf8_length(s, strlen((const char *)s));

		/* C0 and DEL; C1, which is 0x80 to 0x9f in two bytes; what is no UTF-8 */
		if (!n || *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0))
			fputc('?', to);
		else
			fwrite(s, 1, n, to);
		s += n ? n : 1;
	}
	for (; column < width; column++)
		fputc(' ', to);
}

void ctl_print_who(const struct ctl_session *session)
{
	printf("session %ju (", (uintmax_t)session->id);
	ctl_put(stdout, session->comm, 0);
	printf(", pid %u, of %s)", session->pid, ctl_user(session->uid).s);
}

void ctl_print_kinds(uint64_t normal, uint64_t zero, uint64_t absent, uint64_t lost)
{
	uint64_t all = normal + zero + absent + lost;

	printf("%s with data, %s zero, %s never touched", ctl_percent(normal, all).s,
	       ctl_percent(zero, all).s, ctl_percent(absent, all).s);
	if (lost)
		printf(", %s lost", ctl_percent(lost, all).s);
}
