# SPDX-License-Identifier: GPL-2.0-only
"""Between a source and its destination: so much goes through, and then nothing.

What a migration is in the midst of when something happens to one of its ends is so decided by
bytes, and not by time.
"""

import contextlib
import os
import socket
import threading
import time


class Valve:
    """Passes connections on from one UNIX socket to another.

    path         where it listens
    destination  where it connects to
    most         bytes from the source that it lets through, all connections together; None: all
    ends         whether it passes on that the source ends a connection

    What the destination says goes through. `passed` is what has been let through, and `held`
    is set when there is something that is not: bytes, or the end of a connection.
    """

    def __init__(self, path, destination, most=None, ends=True):
        self.path, self.destination = path, destination
        self.passed, self.most, self.ends = 0, most, ends
        self.held = threading.Event()
        self.lock = threading.Lock()
        self.sockets, self.threads = [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(300)
        self._start(self._accept)

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self.sockets += [near, far]
                far.connect(self.destination)
                self._start(self._pass, near, far, True)
                self._start(self._pass, far, near, False)

    def _room(self, size):
        """How much of that is let through."""
        with self.lock:
            room = size if self.most is None else min(size, self.most - self.passed)
            self.passed += room
        return room

    def _pass(self, sock, other, from_source):
        with contextlib.suppress(OSError):
            while data := sock.recv(1 << 16):
                room = self._room(len(data)) if from_source else len(data)
                other.sendall(data[:room])
                if room < len(data):
                    self.held.set()
                    return
        if from_source and not self.ends:
            self.held.set()
            return
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def wait(self, ended, timeout=60):
        """Until something is held. False: not so, or it has `ended`."""
        deadline = time.monotonic() + timeout
        while not self.held.wait(0.02):
            if ended() or time.monotonic() > deadline:
                return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in (self.listener, *self.sockets):
            sock.close()
        os.unlink(self.path)
