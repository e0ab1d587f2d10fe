# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx directive that embeds a header's kernel-doc comments.

    .. kernel-doc:: uapi/linux/multifd_zp.h
       :symbols: struct mzp_setup, enum mzp_detection

    .. kernel-doc:: uapi/linux/multifd_zp.h
       :doc: General ioctl format

The kernel's own script reads the comments. Its output is rearranged: what belongs
to a symbol is put below it, the description comes first and the errors last, and
names of other documented symbols become links. A symbol that is missing, and a
header symbol that no page shows, fails the build.
"""

import functools
import os
import re
import subprocess

import sphinx
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.nodes import nested_parse_with_titles

logger = logging.getLogger(__name__)

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.realpath(f"{HERE}/../..")

SYMBOL = re.compile(r"^\.\. c:(struct|enum|function):: (.*)$")
DOC = re.compile(r"^\.\. _(.+):$")
HEADING = re.compile(r"^\*\*(\w+)\*\*$")
# Attributes of a declaration that are none of the reader's business.
NOISE = re.compile(r"\bMFD_API ")
# Sphinx takes a struct and a function of one name for the same thing: the scope for
# such structs.
TAGS = "tag"
ERROR = re.compile(r"(?:^|\s)(E[A-Z0-9]{2,}): ")


def run_kernel_doc(header):
    """What the script says about a header, as lines."""
    found = subprocess.run([f"{HERE}/../find-kernel-doc"], stdout=subprocess.PIPE, text=True,
                           check=False)
    if found.returncode:
        raise ExtensionError("cannot render the headers without the kernel-doc script")
    done = subprocess.run([found.stdout.strip(), "-rst", "-Werror", "-sphinx-version",
                           sphinx.__version__, f"{TOP}/{header}"],
                          capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        raise ExtensionError(f"kernel-doc: {header}: {done.stderr.strip() or 'nothing in it'}")
    return done.stdout.split("\n")


@functools.lru_cache(maxsize=None)
def symbols_of(header):
    """("struct", name), … or ("doc", title) → declaration, lines about it."""
    symbols = {}
    body = []
    for line in run_kernel_doc(header):
        symbol, doc = SYMBOL.match(line), DOC.match(line)
        if symbol:
            kind, declaration = symbol.groups()
            declaration = NOISE.sub("", declaration)
            name = re.match(r"[^(]*?(\w+)\s*(\(|$)", declaration).group(1)
            body = []
            symbols[kind, name] = (declaration, body)
        elif doc:
            body = []
            symbols["doc", doc.group(1)] = (None, body)
        else:
            body.append(line)
    return symbols


def sections(body):
    """The bold headings of a symbol and what is below each; "" is the summary."""
    parts = {"": []}
    current = parts[""]
    for line in body:
        heading = HEADING.match(line)
        if heading:
            current = parts.setdefault(heading.group(1), [])
        else:
            current.append(line.strip() if current is parts[""] else line)
    return parts


def take_errors(description):
    """Cut the paragraph "Errors: EBUSY: …. EINVAL: …" out; return it as a list."""
    start = next((i for i, l in enumerate(description) if l.startswith("Errors: ")), None)
    if start is None:
        return []
    text = " ".join(description[start:]).strip()
    del description[start:]
    pieces = ERROR.split(text[len("Errors:"):])
    lines = []
    for code, meaning in zip(pieces[1::2], pieces[2::2]):
        lines += [f"``{code}``", f"  {meaning.strip()}", ""]
    return lines


class Links:
    """Turns the names of documented symbols into references."""

    def __init__(self, env, own):
        self.kinds = {}
        for header in env.config.kernel_doc_headers:
            for kind, name in symbols_of(header):
                self.kinds.setdefault(name, set()).add(kind)
        self.own = own
        # literals and bold text; the start of several names; a name
        self.word = re.compile(r"``[^`]*``|\*\*[^*]*\*\*|(\b\w+_…)|"
                               r"(?:\b(struct|enum) )?\b(m(?:zp|fd)_\w+)(?:\(\))?")

    def replace(self, match):
        """One word of a text, which may be the name of a symbol."""
        several, tag, name = match.groups()
        if several:
            return f"``{several}``"
        kinds = self.kinds.get(name, set())
        if not name or name == self.own or not kinds:
            return match.group(0)
        if tag:
            if tag not in kinds:
                return match.group(0)
            target = f"{name} <{TAGS}.{name}>" if "function" in kinds else name
            return f"{tag} :c:{tag}:`{target}`"
        if "function" in kinds:
            return f":c:func:`{name}`"
        return match.group(0)

    def apply(self, lines):
        """All of them in some lines of text."""
        return [self.word.sub(self.replace, line) for line in lines]


ORDER = ("Description", "Parameters", "Definition", "Constants", "Members", "Context", "Return")


def render(kind, declaration, body, links, clash):
    """reStructuredText of one symbol."""
    parts = sections(body)
    description = parts.get("Description", [])
    errors = take_errors(description)
    lines = links.apply(parts[""]) + [""]
    for heading in ORDER:
        text = parts.pop(heading, [])
        if not any(line.strip() for line in text):
            continue
        if heading == "Definition":
            # short of the "::" that the script begins with
            lines += [".. code-block:: c", ""] + [f" {l}" for l in text if l.strip() != "::"]
        else:
            if heading != "Description":
                lines += [f"**{heading}**", ""]
            lines += links.apply(text)
        lines.append("")
    if errors:
        lines += ["**Errors**", ""] + links.apply(errors)
    parts.pop("")
    if parts:
        raise ExtensionError(f"kernel-doc: {declaration}: unknown sections: {', '.join(parts)}")
    lines = [f".. c:{kind}:: {declaration}", ""] + [f"   {l}" if l else "" for l in lines] + [""]
    if clash:
        lines = [f".. c:namespace-push:: {TAGS}", ""] + lines + [".. c:namespace-pop::", ""]
    return lines


def split(text):
    """An option's comma-separated list."""
    return [entry.strip() for entry in text.replace("\n", " ").split(",") if entry.strip()]


class KernelDoc(Directive):
    """The directive."""

    required_arguments = 1
    option_spec = {"symbols": split, "doc": directives.unchanged_required}

    def run(self):
        """Embed what was asked for."""
        self.env = self.state.document.settings.env
        self.header = self.arguments[0]
        self.env.note_dependency(f"{TOP}/{self.header}")
        lines = []
        if "doc" in self.options:
            lines += self.doc(self.options["doc"])
        for entry in self.options.get("symbols", []):
            kind, _, name = entry.rpartition(" ")
            lines += self.symbol(kind or "function", name)
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, self.header), node)
        return node.children

    def find(self, kind, name):
        """What the header has under that name."""
        symbols = symbols_of(self.header)
        if (kind, name) not in symbols:
            raise self.error(f"{self.header} has no {kind} {name}")
        shown(self.env).setdefault(self.env.docname, set()).add((self.header, kind, name))
        return symbols[kind, name]

    def doc(self, title):
        """A DOC comment, without its title."""
        _, body = self.find("doc", title)
        # lists are indented there, which here would make them quotations
        text = [re.sub(r"^ (?=[ -] )", "", line) for line in body[body.index(f"**{title}**") + 1:]]
        return Links(self.env, None).apply(text)

    def symbol(self, kind, name):
        """A struct, an enum or a function."""
        declaration, body = self.find(kind, name)
        clash = kind != "function" and ("function", name) in symbols_of(self.header)
        return render(kind, declaration, body, Links(self.env, name), clash)


def shown(env):
    """Per page, the symbols that it shows."""
    if not hasattr(env, "kernel_doc_shown"):
        env.kernel_doc_shown = {}
    return env.kernel_doc_shown


def forget(_app, env, docname):
    """A page is about to be read again."""
    shown(env).pop(docname, None)


def check(_app, env):
    """Is everything there that the headers document?"""
    everything = set().union(*shown(env).values())
    for header in env.config.kernel_doc_headers:
        for kind, name in symbols_of(header):
            if (header, kind, name) not in everything:
                logger.warning("%s: no page shows %s %s", header, kind, name)


def setup(app):
    """Sphinx calls this."""
    app.add_config_value("kernel_doc_headers", [], "env")
    app.add_directive("kernel-doc", KernelDoc)
    app.connect("env-purge-doc", forget)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": False}
