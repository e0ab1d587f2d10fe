// SPDX-License-Identifier: GPL-2.0-only
/*
 * A terminal that is drawn upon, and whose keys are read one by one: with ncurses.
 *
 * ncurses takes care of being stopped and of other sizes by itself. What ends the program
 * gently is noticed where it waits for keys. What ends it at once, or is its own fault, has
 * the terminal put back by the little that may be done in such a handler.
 */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <curses.h>
#include <term.h>

#include "screen.h"
#include "output.h"

static const int gentle[] = { SIGINT, SIGTERM, SIGHUP };
static const int sudden[] = { SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static struct {
	struct termios was;
	SCREEN *curses;
	char leave[128];		/* what puts the terminal back */
} screen;

static volatile sig_atomic_t ending;		/* the signal that said so */

static void on_gentle(int number)
{
	ending = number;
}

/* The default action follows: SA_RESETHAND. */
static void on_sudden(int number)
{
	if (write(STDOUT_FILENO, screen.leave, strlen(screen.leave)) < 0)
		errno = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &screen.was);
	raise(number);
}

static void catch(const int *numbers, unsigned int nr, void (*handler)(int), int flags)
{
	/* no SA_RESTART: what waits for keys is to return */
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, was;
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!sigaction(numbers[i], NULL, &was) && was.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

/* What the terminal is told by endwin(). */
static void find_leave(void)
{
	static const char *const names[] = { "sgr0", "cnorm", "rmkx", "rmcup" };
	unsigned int i;

	for (i = 0; i < NR(names); i++) {
		const char *text = tigetstr(names[i]);

		if (text && text != (const char *)-1 &&
		    strlen(screen.leave) + strlen(text) < sizeof(screen.leave))
			strcat(screen.leave, text);
	}
}

/* One that can go to any place, and has one to come back from. */
static bool can_draw(void)
{
	return tigetstr("cup") && tigetstr("clear") && tigetstr("el");
}

bool ctl_screen_open(void)
{
	if (!isatty(STDIN_FILENO) || !output_can_draw(STDOUT_FILENO) ||
	    tcgetattr(STDIN_FILENO, &screen.was))
		return false;
	/* names are in UTF-8, if the terminal is */
	setlocale(LC_CTYPE, "");
	catch(gentle, NR(gentle), on_gentle, 0);
	set_escdelay(50);
	screen.curses = newterm(NULL, stdout, stdin);
	if (!screen.curses)
		return false;
	if (!can_draw()) {
		endwin();
		delscreen(screen.curses);
		return false;
	}
	find_leave();
	catch(sudden, NR(sudden), on_sudden, SA_RESETHAND | SA_NODEFER);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	return true;
}

void ctl_screen_close(void)
{
	endwin();
	delscreen(screen.curses);
}

void ctl_screen_size(unsigned int *height, unsigned int *width)
{
	*height = LINES;
	*width = COLS;
}

void ctl_screen_row(unsigned int row, const char *text, enum ctl_look look)
{
	static const attr_t looks[] = {
		[CTL_PLAIN] = A_NORMAL, [CTL_BOLD] = A_BOLD, [CTL_MARKED] = A_REVERSE,
	};

	if (row >= (unsigned int)LINES)
		return;
	move(row, 0);
	clrtoeol();
	attrset(looks[look]);
	addnstr(text, -1);
	attrset(A_NORMAL);
}

void ctl_screen_show(unsigned int rows)
{
	if (rows < (unsigned int)LINES) {
		move(rows, 0);
		clrtobot();
	}
	refresh();
}

static int translate(int key)
{
	switch (key) {
	case '\r':
	case '\n':
	case KEY_ENTER:
		return CTL_KEY_ENTER;
	case 27:
		return CTL_KEY_ESCAPE;
	case KEY_BACKSPACE:
	case 127:
	case '\b':
		return CTL_KEY_ERASE;
	case KEY_UP:
		return CTL_KEY_UP;
	case KEY_DOWN:
		return CTL_KEY_DOWN;
	case KEY_PPAGE:
		return CTL_KEY_PAGE_UP;
	case KEY_NPAGE:
		return CTL_KEY_PAGE_DOWN;
	case KEY_HOME:
		return CTL_KEY_FIRST;
	case KEY_END:
		return CTL_KEY_LAST;
	case '\f':
		clearok(curscr, TRUE);
		return CTL_KEY_REPAINT;
	}
	return key < 0 || key > 255 ? CTL_KEY_NONE : key;
}

/* Has it been closed? Then there will never be a key. */
static bool is_gone(void)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&keys, 1, 0) == 1 && (keys.revents & (POLLHUP | POLLERR | POLLNVAL));
}

int ctl_screen_key(int ms)
{
	int key;

	if (ending)
		return -1;
	timeout(ms);
	key = getch();
	return ending || (key == ERR && is_gone()) ? -1 : translate(key);
}
