#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""All tests of this folder; run in the VM by tests/netlink/run.

With the Python of Debian, which has the libraries, wherever PATH leads.
"""

import importlib
import os
import sys

import kit

# In the order of running: those that do the most to the module come last.
for name in ("stats", "history", "requests", "users", "limit", "host", "events", "qemu", "top",
             "mfdctl", "stress"):
    importlib.import_module(f"t_{name}")

os.environ["PATH"] += ":/usr/sbin:/sbin"
os.chmod("/dev/multifd_zp", 0o666)
sys.exit(kit.main(sys.argv[1:]))
