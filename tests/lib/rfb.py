"""A small RFB client (RFC 6143): raw encoding, 32-bit pixels, keys and pointer; and a reader of the PNG files that Ringer writes."""

import ctypes
import ctypes.util
import socket
import struct
import zlib

from machine import Failure


class Refused(Failure):
    pass


class Client:
    def __init__(self, port, password=None, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.read(12)
        self.socket.sendall(b"RFB 003.008\n")
        self.security = list(self.read(self.read(1)[0]))
        if password is None:
            if 1 not in self.security:
                raise Refused("a password is asked for")
            self.socket.sendall(b"\x01")
        else:
            self.socket.sendall(b"\x02")
            challenge = ctypes.create_string_buffer(self.read(16), 16)
            library = ctypes.CDLL(ctypes.util.find_library("vncserver"))
            library.rfbEncryptBytes(challenge, password.encode())
            self.socket.sendall(challenge.raw)
        if struct.unpack(">I", self.read(4))[0]:
            raise Refused("authentication failed")
        self.socket.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.format = self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0])
        # Raw, and changes of the screen's size.
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, -223))
        self.pixels = bytearray(self.width * self.height * 4)

    def read(self, n):
        data = bytearray(n)
        view, got = memoryview(data), 0
        while got < n:
            more = self.socket.recv_into(view[got:])
            if not more:
                raise Refused("the server closed the connection")
            got += more
        return bytes(data)

    def request(self, incremental=False):
        """Asks for the screen, or for its changes: the answer comes when there are any."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def receive(self):
        """Reads the answer to a request. Returns the number of pixels that came."""
        kind, count = struct.unpack(">BxH", self.read(4))
        assert kind == 0, kind
        came = 0
        for _ in range(count):
            x, y, w, h, encoding = struct.unpack(">HHHHi", self.read(12))
            if encoding == -223:
                self.width, self.height = w, h
                self.pixels = bytearray(w * h * 4)
                continue
            assert encoding == 0, encoding
            data = self.read(w * h * 4)
            for row in range(h):
                at = ((y + row) * self.width + x) * 4
                self.pixels[at:at + w * 4] = data[row * w * 4:(row + 1) * w * 4]
            came += w * h
        return came

    def update(self, incremental=False):
        """Asks for the screen (or its changes) and waits for it. Returns the number of pixels that came."""
        self.request(incremental)
        return self.receive()

    def rgb(self):
        """The screen as bytes red, green, blue."""
        out = bytearray(self.width * self.height * 3)
        out[0::3] = self.pixels[2::4]
        out[1::3] = self.pixels[1::4]
        out[2::3] = self.pixels[0::4]
        return bytes(out)

    def key(self, keysym, down=None):
        for state in (1, 0) if down is None else (down,):
            self.socket.sendall(struct.pack(">BBxxI", 4, state, keysym))

    def type(self, text):
        for c in text:
            self.key(0xff0d if c == "\n" else ord(c))

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def close(self):
        self.socket.close()


def read_png(path):
    """Width, height and bytes red, green, blue of a PNG file with 8-bit RGB pixels."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG file"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0], "a chunk is damaged"
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
            assert (depth, color) == (8, 2), (depth, color)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    raw, out, above = zlib.decompress(packed), bytearray(), bytes(3 * width)
    for y in range(height):
        start = y * (3 * width + 1)
        how, line = raw[start], bytearray(raw[start + 1:start + 1 + 3 * width])
        for i in range(len(line) if how else 0):
            left = line[i - 3] if i >= 3 else 0
            up, corner = above[i], above[i - 3] if i >= 3 else 0
            if how == 1:
                line[i] = line[i] + left & 255
            elif how == 2:
                line[i] = line[i] + up & 255
            elif how == 3:
                line[i] = line[i] + (left + up) // 2 & 255
            else:
                p = left + up - corner
                nearest = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
                line[i] = line[i] + nearest & 255
        out += line
        above = bytes(line)
    return width, height, bytes(out)
