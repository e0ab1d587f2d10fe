# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx configuration; `make -C Documentation html` uses it."""

import importlib.util
import os
import re
import sys

from sphinx.errors import ConfigError

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{here}/sphinx")

with open(f"{here}/../Kbuild", encoding="utf-8") as source:
    release = re.search(r"^MZP_VERSION := (.*)$", source.read(), re.MULTILINE).group(1)

project = "multifd_zp"
version = release
extensions = ["kernel_doc", "netlink_spec"]
kernel_doc_headers = [
    "uapi/linux/multifd_zp.h",
    "uapi/linux/multifd_wire.h",
    "tools/lib/mfd.h",
    "tools/lib/mfd_recv.h",
    "tools/lib/mfd_qmp.h",
]

exclude_patterns = ["examples", "sphinx"]
highlight_language = "c"
primary_domain = "c"
nitpicky = True
# Signatures name types of the C library and the kernel, too.
nitpick_ignore_regex = [("c:identifier", ".*")]

html_theme = "furo"
if not importlib.util.find_spec(html_theme):
    raise ConfigError("Sphinx's theme furo is missing; run: tests/setup docs")
html_title = f"multifd_zp {release}"
html_static_path = ["sphinx/static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = True
html_theme_options = {
    "sidebar_hide_name": False,
    "navigation_with_keys": True,
}
