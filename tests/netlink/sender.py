# SPDX-License-Identifier: GPL-2.0-only
"""Sessions by hand: the module's ioctls, and somebody who reads the channels."""

import ctypes
import fcntl
import os
import re
import struct
import threading

PAGE = 4096
PACKET = 128
NONE, ZLIB, ZSTD = range(3)
MULTIFD = 2
FRESH = 1
BLOCK_FD = 1
DEFAULT_LEVEL = 4
NO_ROUND = 2


def _ioctl(fd, number, layout, *members):
    """Call with a structure that starts with its size; returns its members."""
    data = bytearray(struct.pack("=I" + layout, struct.calcsize("=I" + layout), *members))
    fcntl.ioctl(fd, 0xbd00 + number, data)
    return struct.unpack("=I" + layout, data)[1:]


class Memory:
    """A file with a number of pages of data, of zero pages, and of holes, in this order."""

    def __init__(self, data, zero=0, absent=0):
        self.data, self.zero, self.absent = data, zero, absent
        self.pages = data + zero + absent
        self.fd = os.memfd_create("memory")
        os.truncate(self.fd, self.pages * PAGE)
        for page in range(data):
            os.pwrite(self.fd, struct.pack("=Q", page + 1) * (PAGE // 8), page * PAGE)
        for page in range(data, data + zero):
            os.pwrite(self.fd, bytes(PAGE), page * PAGE)

    def close(self):
        os.close(self.fd)


class Session:
    """A session; set up, unless channels is 0."""

    def __init__(self, channels=1, method=NONE, ring=0, packet_pages=0, uuid=bytes(16)):
        self.fd = os.open("/dev/multifd_zp", os.O_RDWR | os.O_CLOEXEC)
        with open(f"/proc/self/fdinfo/{self.fd}", encoding="ascii") as info:
            self.id = int(re.search(r"^mzp-session:\s*(\d+)", info.read(), re.M).group(1))
        self.channels = []
        self.readers = []
        self.read = [0] * channels
        try:
            if channels:
                self.set_up(channels, method, ring, packet_pages, uuid)
            for n in range(channels):
                self.channels.append(_ioctl(self.fd, 4, "IIi", 0, n, 0)[2])
        except OSError:
            self.close()
            raise

    def set_up(self, channels, method=NONE, ring=0, packet_pages=0, uuid=bytes(16)):
        _ioctl(self.fd, 1, "IIIiIII16sQIIQ", DEFAULT_LEVEL, channels, method, 0, MULTIFD,
               packet_pages, ring, uuid, 0, 0, 0, 0)

    def block(self, memory, idstr=b"ram0"):
        buffer = ctypes.create_string_buffer(idstr)
        return _ioctl(self.fd, 2, "IQIIQQiIQ", BLOCK_FD, ctypes.addressof(buffer), len(idstr), 0,
                      memory.pages * PAGE, 0, memory.fd, 0, 0)[3]

    def block_at(self, address, pages, idstr=b"ram0"):
        """Memory of this process."""
        buffer = ctypes.create_string_buffer(idstr)
        return _ioctl(self.fd, 2, "IQIIQQiIQ", 0, ctypes.addressof(buffer), len(idstr), 0,
                      pages * PAGE, address, 0, 0, 0)[3]

    def send(self, block, first, count, flags=0):
        """Hand pages over; the job."""
        return _ioctl(self.fd, 5, "IIIQQQIIQQQ", flags, block, 0, first, count, 0, 0, 0, 0, 0,
                      0)[-2]

    def sync(self, flags=0):
        return _ioctl(self.fd, 6, "IQ", flags, 0)[1]

    def wait(self, job=0, timeout=60):
        """(errno, submitted, normal, zero, absent) of a job, or of all."""
        members = _ioctl(self.fd, 7, "IQqQQIIIIQQQQQ", 0, job, int(timeout * 1e9), 0, 0,
                         0, 0, 0, 0, 0, 0, 0, 0, 0)
        return (members[5],) + members[10:]

    def cancel(self):
        _ioctl(self.fd, 8, "I", 0)

    def read_on(self):
        """From now on, somebody reads all channels until they end."""
        for number, fd in enumerate(self.channels):
            thread = threading.Thread(target=self._read, args=(number, fd))
            thread.start()
            self.readers.append(thread)

    def _read(self, number, fd):
        try:
            while data := os.read(fd, 1 << 20):
                self.read[number] += len(data)
        except OSError:
            pass

    def pump(self, channel, sock, most):
        """PUMP to a socket, at most so many bytes: how many there were."""
        return _ioctl(self.channels[channel], 9, "IiIQQII", 0, sock.fileno(), 0, most, 0, 0, 0)[4]

    def set_rate(self, rate):
        """What its owner wants."""
        _ioctl(self.fd, 14, "IQ", 0, rate)

    def end(self):
        """There is no more to come."""
        _ioctl(self.fd, 12, "I", 0)
        self.close_device()

    def close_device(self):
        os.close(self.fd)
        self.fd = -1

    def close(self):
        """Channels are read to their ends, or closed."""
        if self.fd >= 0:
            self.close_device()
        for reader in self.readers:
            reader.join()
        for fd in self.channels:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def short_session():
    """One that is set up, and gone."""
    fd = os.open("/dev/multifd_zp", os.O_RDWR | os.O_CLOEXEC)
    _ioctl(fd, 1, "IIIiIII16sQIIQ", DEFAULT_LEVEL, 1, NONE, 0, MULTIFD, 1, 1, bytes(16), 0, 0, 0, 0)
    os.close(fd)
