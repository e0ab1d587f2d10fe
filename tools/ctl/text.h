/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers and names as people read and write them. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ctl_session;
struct mfd_error;

/* A short text, to be returned by value. */
struct ctl_text {
	char s[64];
};

/* Decimal prefixes, three digits at least: "812 MB", "1.50 GB", "999 B". */
struct ctl_text ctl_bytes(double bytes);
/* The same without a unit: "1.50 M". Up to 9999 exactly. */
struct ctl_text ctl_number(double n);
/* "84%"; never 0% or 100% unless it is, and "-" if there is no whole. */
struct ctl_text ctl_percent(double part, double whole);
/* "0.123 s", "12.3 s", "5 min 02 s", "3 h 05 min", "2 d 03 h" */
struct ctl_text ctl_duration(uint64_t ns);
/* "1 round", "2 rounds" */
struct ctl_text ctl_count(uint64_t n, const char *what);
/* Nanoseconds since 1970 as ISO 8601 has them, here: "2026-11-28T09:41:12.345+00:00" */
struct ctl_text ctl_time(uint64_t ns);
/* The user's name, or the number. */
struct ctl_text ctl_user(uint32_t uid);

/*
 * Bytes per second, as rate_parse() takes them, or "none", which is 0. Not less than one byte
 * otherwise. Returns 0 or -EINVAL.
 */
int ctl_parse_rate(const char *text, uint64_t *rate, struct mfd_error *err);

/* A session's id. Returns 0 or -EINVAL. */
int ctl_parse_id(const char *text, uint64_t *id, struct mfd_error *err);

/* Seconds, from 0.1 to a day, perhaps with a fraction. Returns 0 or -EINVAL. */
int ctl_parse_seconds(const char *option, const char *text, double *seconds,
		      struct mfd_error *err);

/*
 * Copy @len bytes to @to, which has room for @size, and end them with NUL. What
 * is not UTF-8 becomes U+FFFD; what does not fit is left out.
 */
void ctl_utf8(char *to, size_t size, const char *from, size_t len);

/*
 * Print text that came from somewhere else: control characters, by which it
 * could lead the terminal or the reader astray, become '?'. @width: at most so
 * many characters, and blanks up to that; 0: all of it. @text is UTF-8.
 */
void ctl_put(FILE *to, const char *text, unsigned int width);

/* "session 3 (mfdsend, pid 140, of root)" */
void ctl_print_who(const struct ctl_session *session);

/* "83% with data, 17% zero, 0% never touched", and how many are lost, if some are. */
void ctl_print_kinds(uint64_t normal, uint64_t zero, uint64_t absent, uint64_t lost);

#endif /* CTL_TEXT_H */
