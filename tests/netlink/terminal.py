# SPDX-License-Identifier: GPL-2.0-only
"""A terminal that programs run on: tmux, and in it a shell."""

import itertools
import os
import shlex
import subprocess

from kit import must, same, until

_NUMBERS = itertools.count()


class Terminal:
    """A shell on a terminal of that size."""

    def __init__(self, columns=80, rows=24, **environment):
        self.columns, self.rows = columns, rows
        self.name = f"mfd-{os.getpid()}-{next(_NUMBERS)}"
        settings = {"PS1": "$ ", "LC_ALL": "C", **environment}
        words = [f"{name}={value}" for name, value in settings.items()]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows,
                  shlex.join(["env", *words, "bash", "--norc", "--noprofile", "-i"]))
        self.tmux("set-option", "-g", "status", "off")
        self.resize(columns, rows)
        self.until(lambda text: text.startswith("$"), "a prompt")

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-L", self.name, *map(str, words)], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, env={**os.environ, "TERM": "screen"})
        same(done.returncode, 0, f"tmux {words}: {done.stderr}")
        return done.stdout

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.tmux("resize-window", "-x", columns, "-y", rows)

    def text(self):
        """What is on it."""
        return self.tmux("capture-pane", "-p").rstrip("\n")

    def lines(self):
        return self.text().split("\n")

    def all_text(self):
        """That; what went on in the next line is one."""
        return self.tmux("capture-pane", "-p", "-J").rstrip("\n")

    def until(self, condition, what):
        """Until it is so of the text, which is returned."""
        def look():
            seen = self.text()
            return (seen,) if condition(seen) else None

        try:
            return until(look, what, 60)[0]
        except Exception as error:
            raise type(error)(f"{error}; there is {self.text()!r}") from error

    def shows(self, *words):
        return self.until(lambda text: all(word in text for word in words), words)

    def press(self, *keys):
        """Keys by tmux's names."""
        self.tmux("send-keys", *keys)

    def type(self, line):
        """A line for the shell, or whatever reads lines."""
        self.tmux("send-keys", "-l", line)
        self.press("Enter")

    def run(self, line):
        """A line for the shell; all that is there when it has ended."""
        # its own echo is not to be taken for the end
        self.type(f"clear; {line}; echo en''ded")
        return self.until(lambda text: "\nended" in f"\n{text}", line)

    def is_put_back(self):
        """The shell's own screen, with a cursor, and what is typed is shown and read."""
        # a key was pressed, or a signal sent, and what that ends needs time for it
        until(lambda: self.ask("alternate_on") == "0" and self.ask("cursor_flag") == "1",
              "the shell's screen, with a cursor", 60)
        # marked, since the line itself may still be there
        text = self.run("stty -a | grep -ow -e -icanon -e -echo | sed s/^/is/")
        must("is-" not in text, text)

    def ask(self, what):
        return self.tmux("display-message", "-p", f"#{{{what}}}").strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")
