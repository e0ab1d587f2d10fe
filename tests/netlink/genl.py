# SPDX-License-Identifier: GPL-2.0-only
"""Generic netlink on a bare socket, so that every byte of a request can be wrong."""

import errno
import os
import re
import socket
import struct

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")

NETLINK_GENERIC = 16
SOL_NETLINK = 270
ADD_MEMBERSHIP, CAP_ACK, EXT_ACK = 1, 10, 11
ERROR, DONE = 2, 3
REQUEST, MULTI, ACK, DUMP = 0x1, 0x2, 0x4, 0x300
CAPPED, ACK_TLVS = 0x100, 0x200
MSGERR_MSG = 1
CONTROL, GETFAMILY, FAMILY_ID, FAMILY_NAME, MCAST_GROUPS = 16, 3, 1, 2, 7


def constants():
    """What the uapi header calls by name, as numbers."""
    numbers = {}
    with open(f"{TOP}/uapi/linux/multifd_zp_netlink.h", encoding="ascii") as header:
        for body in re.findall(r"^enum[^{]*{(.*?)^}", header.read(), re.M | re.S):
            value = 0
            for name, start in re.findall(r"^\t(\w+)(?: = (\d+))?,?$", body, re.M):
                value = int(start) if start else value
                numbers[name] = value
                value += 1
    return numbers


NR = constants()


def attr(kind, data):
    """An attribute; kind is a number or a name of the header."""
    if isinstance(kind, str):
        kind = NR["MZP_A_" + kind]
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def u32(kind, value):
    return attr(kind, struct.pack("=I", value))


def u64(kind, value):
    return attr(kind, struct.pack("=Q", value))


def text(kind, value):
    return attr(kind, value.encode() + b"\0")


def parse(data):
    """Attributes as a dict of bytes."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4 or length > len(data):
            raise ValueError(f"an attribute of {length} bytes, {len(data)} are left")
        found[kind & 0x3fff] = data[4:length]
        data = data[length + 3 & ~3:]
    return found


class Refused(OSError):
    """The kernel's answer is an error; `said` is its explanation, or None."""

    def __init__(self, code, said):
        super().__init__(code, f"{os.strerror(code)} ({said})")
        self.said = said


class Link:
    """A socket to the module."""

    def __init__(self, buffer=None):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.sock.settimeout(20)
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        self.sock.bind((0, 0))
        self.seq = 0
        (_, family), = self.ask(CONTROL, GETFAMILY, attr(FAMILY_NAME, b"multifd_zp\0"))
        self.family, = struct.unpack("=H", family[FAMILY_ID])
        group = parse(next(iter(parse(family[MCAST_GROUPS]).values())))
        self.group, = struct.unpack("=I", group[2])

    def close(self):
        self.sock.close()

    def message(self, kind, cmd, attrs=b"", flags=0, version=1):
        """A whole request, as bytes."""
        self.seq += 1
        body = struct.pack("=BBH", cmd, version, 0) + attrs
        return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, self.seq, 0) + body

    def send(self, data):
        self.sock.send(data)

    def receive(self):
        """Messages of one datagram: (type, flags, seq, payload)."""
        data = self.sock.recv(1 << 20)
        while len(data) >= 16:
            length, kind, flags, seq, _ = struct.unpack_from("=IHHII", data)
            yield kind, flags, seq, data[16:length]
            data = data[length + 3 & ~3:]

    @staticmethod
    def _error(flags, payload, skip):
        """An error or its absence, from the end of an answer."""
        code, = struct.unpack_from("=i", payload)
        if not code:
            return
        attrs = parse(payload[skip:]) if flags & ACK_TLVS else {}
        said = attrs.get(MSGERR_MSG)
        raise Refused(-code, said.rstrip(b"\0").decode() if said else None)

    def answer(self):
        """All of the answer to the last request: [(cmd, attributes)]; or raises Refused."""
        messages = []
        while True:
            for kind, flags, seq, payload in self.receive():
                if seq != self.seq:
                    continue
                if kind == ERROR:
                    self._error(flags, payload, 4 + 16)
                    return messages
                if kind == DONE:
                    self._error(flags, payload, 4)
                    return messages
                messages.append((payload[0], parse(payload[4:])))

    def ask(self, kind, cmd, attrs=b"", flags=ACK):
        self.send(self.message(kind, cmd, attrs, flags))
        return self.answer()

    def do(self, cmd, attrs=b""):
        """A request for one thing: its reply's attributes, or None without one."""
        replies = self.ask(self.family, NR["MZP_NL_CMD_" + cmd], attrs)
        return replies[0][1] if replies else None

    def dump(self, cmd, attrs=b""):
        """All of a kind: a list of their attributes."""
        return [found for _, found in
                self.ask(self.family, NR["MZP_NL_CMD_" + cmd], attrs, DUMP)]

    def listen(self):
        self.sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, self.group)

    def events(self):
        """Wait for events: [(cmd, attributes)]. None: some were lost."""
        try:
            return [(payload[0], parse(payload[4:])) for _, _, _, payload in self.receive()]
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return None
            raise
