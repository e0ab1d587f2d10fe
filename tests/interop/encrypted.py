# SPDX-License-Identifier: GPL-2.0-only
"""Stock destinations with TLS; a part of cases.py.

Each kernel has its part of the combinations, so that each two settings meet when all three
kernels had their turn; with --full, each has all.
"""

import contextlib
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import matrix
from matrix import FOLDER, ONE, PAGE, REASON, TWO, Failed
from tls import NAME, Authority, Keys

PKI = "/dev/shm/pki"
KERNEL = [name for name in ("6.1", "6.12", "7")
          if os.uname().release.startswith(f"{name}.")][0]
KERNELS = ("6.1", "6.12", "7")
# since 6.14
RENEWS = KERNEL == "7"
PEERS = {version: ("--zero", zero, "--flush", flush) for version, zero, flush in matrix.PEERS}


class Pki:
    """All files, made once, when the first case wants them."""

    def __init__(self):
        # what a machine has by itself, and our VM has not
        for module in ("tls", "aesni_intel"):
            subprocess.run(["modprobe", module], stderr=subprocess.DEVNULL,
                           check=module == "tls")
        self.ca, self.other_ca = Authority(f"{PKI}/ca"), Authority(f"{PKI}/other-ca", "other CA")
        both = (self.ca, self.other_ca)
        self.good = self.ca.certificates(f"{PKI}/good")
        self.psk = Keys(f"{PKI}/psk")
        self.other_psk = Keys(f"{PKI}/other-psk")
        self.nobody = self.ca.certificates(f"{PKI}/nobody", sides=())
        self.other = self.other_ca.certificates(f"{PKI}/other")
        self.refused = self.other_ca.certificates(f"{PKI}/refused", trust=both)
        self.expired = self.ca.certificates(f"{PKI}/expired", expired=True)

    _made = None

    @classmethod
    def get(cls):
        """The one that there is."""
        if not cls._made:
            cls._made = cls()
        return cls._made


@contextlib.contextmanager
def encrypted(version, blocks, channels, uri, credentials, *options, properties=None, **settings):
    """A destination with TLS."""
    arguments = [*credentials.object("server", **properties or {}), *options]
    with matrix.qemu(version, blocks, channels, uri, options=arguments, tls_creds="tls0",
                     **settings) as destination:
        yield destination


def rounds(destination, version, channels, *options, address=None, **contents):
    """The sender whose memory changes; to that address, if it is not the destination's."""
    if address:
        options = (*options, "--to", address)
    zero, flush = PEERS[version][1::2]
    return matrix.rounds(destination, channels, zero, flush, *options, **contents)


def told(text, connections, kernel):
    """What the sender says of its connections is so."""
    said = re.search(r"tls: (.*TLS1\.3.*); (\d+) connections, (\d+) by the kernel, (\d+) new", text)
    if not said:
        raise Failed(f"does not say how it was encrypted: {text[-300:]}")
    if (int(said[2]), int(said[3])) != (connections, kernel):
        raise Failed(f"{said[0]}: instead of {kernel} of {connections} by the kernel")
    return int(said[4])


# --- what must work

def works(version, kind, mode, uri, method):
    channels = 3
    credentials = Pki.get().good if kind == "x509" else Pki.get().psk
    with encrypted(version, TWO, channels, uri, credentials,
                   multifd_compression=method) as destination:
        sender = rounds(destination, version, channels, *credentials.source, "--tls-mode", mode,
                        "--method", method)
        text = matrix.must_work(sender, destination)
        matrix.compare(destination, matrix.expected_of_rounds)
        told(text, channels + 1, channels if mode == "kernel" else 0)
        # or whoever gets to know the key one day can read what was recorded
        if not re.search(r"SECP|X25519|X448|FFDHE", text):
            raise Failed(f"no key exchange: {text[-200:]}")


def register_matrix():
    k = KERNELS.index(KERNEL)
    for v, version in enumerate(PEERS):
        for kind in ("x509", "psk"):
            for mode, uri in (("kernel", "tcp"), ("user", "tcp"), ("user", "unix")):
                for method in ("none", "zstd"):
                    mine = ((kind == "x509") == ((v + k + (mode == "user")) % 2 == 0) and
                            (method == "none") == ((v // 2 + k + (mode == "user")) % 2 == 0) and
                            (mode == "kernel" or (uri == "unix") == ((v + k) % 3 == 0)))
                    matrix.case(f"TLS, Linux {KERNEL}, QEMU {version}, {kind}, {mode}, {uri}, "
                                f"{method}", version, kind, mode, uri, method, quick=mine)(works)


def splices(mode):
    credentials = Pki.get().good
    with encrypted("stable", TWO, 3, "tcp", credentials) as destination:
        text = matrix.must_work(rounds(destination, "stable", 3, *credentials.source, "--splice",
                                       "--tls-mode", mode), destination)
        matrix.compare(destination, matrix.expected_of_rounds)
        told(text, 4, 3 if mode == "kernel" else 0)


def programs():
    """mfdsend, which finds the name in the address; and what it says."""
    credentials = Pki.get().good
    with encrypted("stable", ONE, 3, "tcp", credentials) as destination:
        sender = matrix.mfdsend(destination, "--channels", 3, "--tls-creds", credentials.folder,
                                *matrix.PEER)
        text = matrix.must_work(sender, destination)
        matrix.compare(destination, lambda idstr: matrix.image(*ONE[0]))
        if not re.search(r"encrypted: \(TLS1\.3\).* 3 of 4 connections by the kernel", text):
            raise Failed(f"does not say how: {text}")


def automatic():
    """A UNIX socket is nothing for the kernel; that is said, or another way is found."""
    credentials = Pki.get().psk
    for mode, well in (("auto", True), ("kernel", False)):
        with encrypted("stable", ONE, 2, "unix", credentials) as destination:
            sender = rounds(destination, "stable", 2, *credentials.source, "--tls-mode", mode)
            if well:
                told(matrix.must_work(sender, destination), 3, 0)
                matrix.compare(destination, matrix.expected_of_rounds)
            else:
                matrix.must_fail(sender, "kernel cannot encrypt.*no TCP")


def scribbled(cipher, seconds):
    """What is written to while it is encrypted is encrypted as something, and arrives."""
    credentials = Pki.get().good
    with encrypted("stable", (("random", 512),), 2, "tcp", credentials) as destination:
        sender = rounds(destination, "stable", 2, *credentials.source, "--tls-mode", "kernel",
                        "--tls-priority", f"NORMAL:-CIPHER-ALL:+{cipher}", "--scribble", seconds,
                        by_kind=True)
        text = matrix.must_work(sender, destination)
        matrix.compare(destination, matrix.expected_of_rounds)
        if cipher not in text:
            raise Failed(f"not {cipher}: {text[-200:]}")


def renewed(version):
    """New keys every few MB; or an end, where the kernel cannot have them."""
    credentials = Pki.get().good
    with encrypted(version, TWO, 1, "tcp", credentials) as destination:
        sender = rounds(destination, version, 1, *credentials.source, "--tls-mode", "kernel",
                        "--tls-key-records", 256)
        if RENEWS:
            if told(matrix.must_work(sender, destination), 2, 1) < 3:
                raise Failed("hardly any new keys")
            matrix.compare(destination, matrix.expected_of_rounds)
        else:
            matrix.must_fail(sender, "records are encrypted with one key.*more channels")


# --- what is on the wire

class Wire(threading.Thread):
    """Whoever listens at the loopback device, and looks for some bytes."""

    def __init__(self, wanted):
        super().__init__(daemon=True)
        self.wanted, self.found, self.bytes = wanted, 0, 0
        self.over = False
        # ETH_P_IP
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        # SO_RCVBUFFORCE: all of it fits, though we are slow
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)

    def run(self):
        while True:
            try:
                packet = self.socket.recv(1 << 17)
            except TimeoutError:
                if self.over:
                    return
                continue
            self.bytes += len(packet)
            self.found += self.wanted in packet

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()
        # SOL_PACKET, PACKET_STATISTICS
        _, dropped = struct.unpack("=II", self.socket.getsockopt(263, 6, 8))
        self.socket.close()
        if dropped:
            raise Failed(f"missed {dropped} packets")


def wiretapped(mode):
    """Nothing of the guest is to be seen; in plain text, it is."""
    secret = b"Nobody else must see this"
    path, pages = "/dev/shm/secret", 1024
    with open(path, "wb") as out:
        out.write((secret * (PAGE // len(secret) + 1))[:PAGE] * pages)
    credentials = Pki.get().good
    options = ("--tls-mode", mode, *credentials.source) if mode else ()
    blocks = (("ram0", pages),)
    destination = encrypted("stable", blocks, 2, "tcp", credentials) if mode else \
        matrix.qemu("stable", blocks, 2, "tcp")
    with destination as destination, Wire(secret) as wire:
        matrix.must_work(matrix.mfdsend(destination, "--channels", 2, *options,
                                        images={"ram0": path}), destination)
        matrix.compare(destination, lambda idstr: path)
    if wire.bytes < pages * PAGE:
        raise Failed(f"saw {wire.bytes} bytes only")
    if bool(wire.found) == bool(mode):
        raise Failed(f"saw it in {wire.found} packets")


# --- what must be refused

def refused(what, ours, theirs, options, pattern, properties=None, extra=(), **settings):
    pki = Pki.get()
    theirs = theirs and getattr(pki, theirs)
    ours = getattr(pki, ours).source if ours else ()
    with encrypted("stable", ONE, 2, "tcp", theirs, *extra, properties=properties,
                   **settings) if theirs else \
            matrix.qemu("stable", ONE, 2, "tcp") as destination:
        sender = matrix.mfdsend(destination, "--channels", 2, "--timeout", 20, *ours, *options)
        matrix.must_fail(sender, pattern, f" ({what})")
        status = "gone"
        # it may have exited, or be about to
        with contextlib.suppress(Failed):
            status = destination.status()
        if status in ("active", "completed"):
            raise Failed(f"the destination is {status}")


WRONG = (
    ("another name", "good", "good", ("--tls-hostname", "other.test"),
     "destination's certificate is not accepted for 'other.test'.*name"),
    ("another CA", "other", "good", (), "destination's certificate is not accepted"),
    ("a certificate of another CA", "refused", "good", (), "may have refused client-cert.pem"),
    ("no certificate", "nobody", "good", (), "may want a client-cert.pem"),
    ("the destination's has expired", "good", "expired", (), "not accepted.*expired",
     {"sanity_check": False}),
    ("ours has expired", "expired", "good", (), "client-cert.pem is good only until 2020"),
    ("another key", "other_psk", "psk", (), "refuses the handshake|this user's key"),
    ("no such user", "psk", "psk", ("--tls-psk", f"{PKI}/psk/keys.psk:nobody"),
     "no key of user 'nobody'"),
    ("certificates for keys", "good", "psk", (), "TLS"),
    ("to one without TLS", "good", None, (), "expect TLS"),
    ("from one without TLS", None, "good", (), "expect TLS"),
    ("authorization denied", "good", "good", (), "may have refused client-cert.pem", None,
     ("-object", "authz-simple,id=authz,identity=CN=somebody.else"), {"tls_authz": "authz"}),
)


def register_wrong():
    for name, ours, theirs, options, pattern, *rest in WRONG:
        properties, extra, settings = [*rest, None, (), {}][:3] if rest else (None, (), {})
        if len(rest) == 1:
            extra, settings = (), {}
        matrix.case(f"TLS, refused: {name}", name, ours, theirs, options, pattern, properties,
                    extra)(lambda *a, s=settings: refused(*a, **s))


def readable_key():
    """A key that everybody can read."""
    pki = Pki.get()
    folder = f"{PKI}/open"
    if not os.path.exists(folder):
        pki.ca.certificates(folder)
    os.chmod(f"{folder}/client-key.pem", 0o644)
    with encrypted("stable", ONE, 2, "tcp", pki.good) as destination:
        matrix.must_fail(matrix.mfdsend(destination, "--channels", 2, "--tls-creds", folder),
                         "everybody can read.*client-key.pem")


class Deaf:
    """One who accepts connections and never says a word."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def stalled():
    """A handshake that gets no answer: the time-out, and being cancelled."""
    pki = Pki.get()
    os.makedirs(FOLDER, exist_ok=True)
    with Deaf() as deaf:
        begun = time.monotonic()
        sender = matrix.start(f"{matrix.BUILD}/mfdsend", "--to", deaf.address, "--timeout", 3,
                              *pki.good.source, "--block", f"ram0={matrix.image(*ONE[0])}")
        matrix.must_fail(sender, "does not answer")
        took = time.monotonic() - begun
        if not 3 <= took < 4:
            raise Failed(f"gave up after {took:.1f} s instead of 3")
        sender = matrix.start(f"{matrix.BUILD}/interop/rounds_sender", "--to", deaf.address,
                              "--cancel", 700, *pki.good.source, f"ram0=64={FOLDER}/ram0")
        _, text = matrix.finish(sender, 30)
        late = re.search(r"(\d+) ms after it was cancelled.*was cancelled", text)
        if not late or int(late[1]) >= 500:
            raise Failed(f"cancelled: {text}")


def nothing_before_verification():
    """Who has another name gets a handshake, an alert, and not a byte of data."""
    pki = Pki.get()
    os.makedirs(FOLDER, exist_ok=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pki.good.folder}/server-cert.pem",
                            f"{pki.good.folder}/server-key.pem")
    for name, wanted in (("other.test", b""), (NAME, b"QEVM")):
        with Deaf() as listener:
            sender = matrix.start(f"{matrix.BUILD}/mfdsend", "--to", listener.address,
                                  "--timeout", 5, "--tls-creds", pki.good.folder,
                                  "--tls-hostname", name, "--block",
                                  f"ram0={matrix.image(*ONE[0])}")
            connection, _ = listener.socket.accept()
            got = b""
            try:
                with context.wrap_socket(connection, server_side=True) as peer:
                    got = peer.recv(4)
            except ssl.SSLError:
                pass
            matrix.must_fail(sender, REASON + "|not accepted|closed|gave up")
            if got != wanted:
                raise Failed(f"{name}: sent {got!r}, not {wanted!r}")


# --- ways to end

class Proxy:
    """Between source and destination: passes bytes on, until so many were passed on.

    cut   bytes
    how   what happens then: "reset" (both sides), "end" (both see an end), "pause" (for
          a second nothing is read)
    """

    def __init__(self, address, cut=None, how=None):
        _, host, port = address.split(":")
        self.target, self.cut, self.how = (host, int(port)), cut, how
        self.passed, self.lock, self.ends = 0, threading.Lock(), []
        self.cut_off = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            # what waits does so at the source, not in our sockets
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            for end in (near, far):
                # a socket that somebody reads is not closed before that comes back
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 50000))
            self.ends += [near, far]
            for here, there, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.forward, args=(here, there, counts),
                                 daemon=True).start()

    def forward(self, here, there, counts):
        try:
            while data := self.receive(here):
                if counts and self.due(len(data)):
                    self.act()
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (here, there):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def receive(here):
        while True:
            with contextlib.suppress(BlockingIOError):
                return here.recv(16384)

    def due(self, count):
        """Has the moment come?"""
        with self.lock:
            before, self.passed = self.passed, self.passed + count
            return self.cut is not None and before < self.cut <= self.passed

    def act(self):
        self.cut_off.set()
        if self.how == "pause":
            time.sleep(1)
            return
        for end in list(self.ends):
            with contextlib.suppress(OSError):
                if self.how == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
                    end.close()
                else:
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for end in self.ends:
            end.close()


_whole = {}


def through(mode, cut=None, how=None):
    """A migration through a proxy; the number of bytes that it has passed on."""
    credentials = Pki.get().good
    with encrypted("stable", TWO, 2, "tcp", credentials) as destination, \
            Proxy(destination.address, cut, how) as proxy:
        sender = rounds(destination, "stable", 2, *credentials.source, "--tls-mode", mode,
                        address=proxy.address)
        if how in (None, "pause"):
            matrix.must_work(sender, destination)
            matrix.compare(destination, matrix.expected_of_rounds)
        elif not proxy.cut_off.wait(matrix.PROMPT):
            raise Failed(f"it came to {proxy.passed} bytes, and was to be cut at {cut}")
        else:
            matrix.must_fail(sender, REASON)
        return proxy.passed


def whole(mode):
    """The number of bytes when nothing happens, or some pages more or less.

    Pages change while a round is under way, so it depends on who is faster.
    """
    if mode not in _whole:
        _whole[mode] = through(mode)
    return _whole[mode]


def cut_short(mode, how, hundredths):
    through(mode, whole(mode) * hundredths // 100, how)


def register():
    """Make these cases known."""
    register_matrix()
    for mode in ("kernel", "user"):
        matrix.case(f"TLS, splice, {mode}", mode, quick=mode == "kernel")(splices)
    matrix.case("TLS, mfdsend by address")(programs)
    matrix.case("TLS, who can encrypt does")(automatic)
    for cipher in ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"):
        matrix.case(f"TLS, written to, {cipher}", cipher, 60 if matrix.FULL else 3,
                    quick=cipher != "AES-256-GCM")(scribbled)
    for version in PEERS:
        matrix.case(f"TLS, Linux {KERNEL}, keys wear out, {version}", version,
                    quick=RENEWS or version == "stable")(renewed)
    for mode in (None, "kernel", "user"):
        matrix.case(f"TLS, Linux {KERNEL}, the wire, {mode or 'plain'}", mode)(wiretapped)
    register_wrong()
    matrix.case("TLS, a key for everybody")(readable_key)
    matrix.case("TLS, a handshake stalls")(stalled)
    matrix.case("TLS, nothing before verification")(nothing_before_verification)
    for mode in ("kernel", "user"):
        for how in ("reset", "end"):
            for hundredths in (1, 5, 15, 30, 45, 60, 75, 90, 95, 98):
                matrix.case(f"TLS, {how} after {hundredths} %, {mode}", mode, how, hundredths,
                            quick=(mode, how, hundredths) in (("kernel", "end", 95),
                                                              ("kernel", "reset", 60),
                                                              ("user", "end", 30)))(cut_short)
        for hundredths in (50, 98):
            matrix.case(f"TLS, a pause after {hundredths} %, {mode}", mode, "pause", hundredths,
                        quick=hundredths == 98)(cut_short)
