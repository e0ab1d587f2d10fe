# SPDX-License-Identifier: GPL-2.0-only
"""Plots by gnuplot, which look alike."""

import subprocess
import sys
from pathlib import Path

# Legible on a light card, which is legible on any page.
LOOK = """
set terminal svg size 900,420 noenhanced font "Helvetica,Arial,DejaVu Sans,sans-serif,13" \\
    background rgb "#fcfcfd"
set output "{output}"
set border 3 lc rgb "#455a64"
set tics nomirror textcolor rgb "#263238"
set grid y lc rgb "#cfd8dc"
set key below center horizontal textcolor rgb "#263238"
set title "{title}" textcolor rgb "#263238"
set ylabel "{ylabel}" textcolor rgb "#263238"
set yrange [0:*]
"""


def draw(output, title, ylabel, script):
    """Make the file `output` by a script of gnuplot's; its lines end without blanks."""
    look = LOOK.format(output=output, title=title, ylabel=ylabel)
    try:
        done = subprocess.run(["gnuplot"], input=look + script, text=True, check=False,
                              stderr=subprocess.PIPE)
    except FileNotFoundError:
        sys.exit("gnuplot is missing; run: tests/setup bench")
    if done.returncode:
        sys.exit(f"gnuplot: {done.stderr}")
    lines = Path(output).read_text(encoding="utf-8").splitlines()
    Path(output).write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
