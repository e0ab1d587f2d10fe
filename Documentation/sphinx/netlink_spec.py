# SPDX-License-Identifier: GPL-2.0-only
"""Directives that show parts of the netlink spec.

.. netlink-attributes:: SET     a table of an attribute set
.. netlink-operations::         a table of all operations
"""

import os

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

SPEC = "netlink/specs/multifd_zp.yaml"


def _named(things, name):
    return next(thing for thing in things if thing["name"] == name)


def _cell(text):
    return " ".join(str(text).split()) or "\\-"


def _table(widths, *rows):
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield f"   :widths: {widths}"
    yield ""
    for row in rows:
        for number, text in enumerate(row):
            yield f"   {' ' if number else '*'} - {_cell(text)}"


class _Directive(SphinxDirective):
    """Parses what lines() makes of the spec."""

    def lines(self, spec):
        raise NotImplementedError

    def run(self):
        path = os.path.join(self.env.srcdir, SPEC)
        self.env.note_dependency(path)
        with open(path, encoding="utf-8") as file:
            spec = yaml.safe_load(file)
        node = nodes.container()
        self.state.nested_parse(StringList(list(self.lines(spec)), SPEC), self.content_offset,
                                node)
        return node.children


class Attributes(_Directive):
    """A table of an attribute set."""

    required_arguments = 1

    @staticmethod
    def _kind(spec, attribute):
        kind = f"``{attribute['type']}``"
        if "enum" in attribute:
            values = _named(spec["definitions"], attribute["enum"])["entries"]
            names = [v["name"] if isinstance(v, dict) else v for v in values]
            kind += " bits: " if attribute.get("enum-as-flags") else ": "
            kind += ", ".join(f"``{name}``" for name in names)
        return kind

    def lines(self, spec):
        attributes = _named(spec["attribute-sets"], self.arguments[0])["attributes"]
        return _table("25 25 50", ("Name", "Type", "Meaning"),
                      *((f"``{a['name']}``", self._kind(spec, a), a.get("doc", ""))
                        for a in attributes if a["type"] != "pad"))


class Operations(_Directive):
    """A table of all operations."""

    @staticmethod
    def _ways(operation):
        ways = [way for way in ("do", "dump") if way in operation]
        if "notify" in operation or "event" in operation:
            ways.append(f"event in group ``{operation['mcgrp']}``")
        if "admin-perm" in operation.get("flags", ()):
            ways.append("administrators only")
        return ", ".join(ways)

    @staticmethod
    def _takes(operation):
        names = operation.get("do", {}).get("request", {}).get("attributes", ())
        return ", ".join(f"``{name}``" for name in names)

    def lines(self, spec):
        return _table("24 24 20 32", ("Name", "How", "Takes", "Meaning"),
                      *((f"``{o['name']}``", self._ways(o), self._takes(o), o.get("doc", ""))
                        for o in spec["operations"]["list"]))


def setup(app):
    app.add_directive("netlink-attributes", Attributes)
    app.add_directive("netlink-operations", Operations)
    return {"parallel_read_safe": True}
