// SPDX-License-Identifier: GPL-2.0-only
/* A terminal that is drawn upon, and whose keys are read one by one. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "screen.h"

/* Another screen, so that the old one comes back in the end; no cursor. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

static struct {
	struct termios was;
	FILE *picture;
	char *text;
	size_t length;
} screen;

static volatile sig_atomic_t ending, resized;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else
		ending = 1;
}

static void catch(int sig)
{
	/* no SA_RESTART: poll is to return */
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(sig, &action, NULL);
}

bool ctl_screen_open(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
	    tcgetattr(STDIN_FILENO, &screen.was))
		return false;
	catch(SIGINT);
	catch(SIGTERM);
	catch(SIGHUP);
	catch(SIGWINCH);
	raw = screen.was;
	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(ENTER, stdout);
	return true;
}

void ctl_screen_close(void)
{
	fputs(LEAVE, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &screen.was);
}

FILE *ctl_screen_begin(void)
{
	screen.picture = open_memstream(&screen.text, &screen.length);
	return screen.picture ? screen.picture : stdout;
}

/* At most so many lines and characters of each; the rest of the screen is cleared. */
static void draw(const char *text, unsigned int lines, unsigned int columns)
{
	unsigned int line = 0, column = 0;

	fputs("\033[H", stdout);
	for (; *text && line < lines; text++) {
		if (*text == '\n') {
			/* a newline on the last line would scroll */
			fputs(++line < lines ? "\033[K\n" : "\033[K", stdout);
			column = 0;
			continue;
		}
		/* what continues a character of UTF-8 takes no room */
		column += (*text & 0xc0) != 0x80;
		if (column <= columns)
			putchar(*text);
	}
	fputs("\033[J", stdout);
}

void ctl_screen_show(void)
{
	struct winsize size = { .ws_row = 0 };

	if (!screen.picture)
		return;
	fclose(screen.picture);
	screen.picture = NULL;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	draw(screen.text, size.ws_row ? size.ws_row : 24, size.ws_col ? size.ws_col : 80);
	free(screen.text);
	fflush(stdout);
}

int ctl_screen_key(int ms)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char key;
	int n;

	if (ending)
		return -1;
	n = poll(&keys, 1, ms);
	if (ending || (n < 0 && errno != EINTR))
		return -1;
	if (resized || n <= 0) {
		resized = 0;
		return 0;
	}
	return read(STDIN_FILENO, &key, 1) == 1 ? key : -1;
}
