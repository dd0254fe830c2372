"""A machine's screen as a person at it has it, by VNC: read as text, looked at as a picture, typed at. The same under Ringer and under QEMU.

Text is read off the pixels with the 8x16 font of the VGA BIOS, which both have from the same file; what is in another font reads as question marks.
"""

import collections
import re
import select
import time

from machine import Failure
from rfb import Client

VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin"
# The first characters of the 8x16 font: nothing, then a face.
FONT = bytes(16) + bytes.fromhex("00007e81a58181bd9981817e00000000")
KEYS = {"enter": 0xff0d, "tab": 0xff09, "escape": 0xff1b, "left": 0xff51, "up": 0xff52, "right": 0xff53, "down": 0xff54, "end": 0xff57}
# The characters of code page 437, as they look.
CHARACTERS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼" + bytes(range(32, 127)).decode() + "⌂" + bytes(range(128, 256)).decode("cp437")


def read_font():
    """Glyphs of 16 bytes, and the characters that they show: the lowest one where two look alike, but an empty one is a blank."""
    with open(VGABIOS, "rb") as f:
        rom = f.read()
    at = rom.index(FONT)
    return {rom[at + 16 * code:at + 16 * code + 16]: CHARACTERS[code] for code in range(255, -1, -1)}


class Screen:
    def __init__(self, port, limit=20):
        """Connects to a machine that was started with -vnc; the server is there a moment after the program is."""
        deadline = time.monotonic() + limit
        while True:
            try:
                self.client = Client(port)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise Failure(f"no VNC server on port {port}") from None
                time.sleep(0.05)
        self.glyphs, self.cells, self.rows = read_font(), {}, {}
        self.client.request()

    @property
    def size(self):
        return self.client.width, self.client.height

    def look(self, timeout):
        """Waits up to timeout seconds for a change of the screen."""
        if select.select([self.client.socket], [], [], max(timeout, 0))[0]:
            size = self.size
            self.client.receive()
            self.client.request(incremental=self.size == size)
            return True
        return False

    def cell(self, pixels):
        """The character that 8x16 pixels show, foreground and background being any two colours."""
        dots = [pixels[i:i + 3] for i in range(0, len(pixels), 4)]
        first = dots[0]
        rows = [0] * 16
        for i, dot in enumerate(dots):
            if dot != first:
                rows[i >> 3] |= 0x80 >> (i & 7)
        glyph = bytes(rows)
        return self.glyphs.get(glyph) or self.glyphs.get(bytes(b ^ 255 for b in glyph)) or "?"

    def row(self, pixels, stride, width):
        """The text of 16 lines of pixels, `stride` bytes each, with cells that are `width` pixels wide."""
        text = ""
        for x in range(0, stride, 4 * width):
            cell = b"".join(pixels[at + x:at + x + 32] for at in range(0, 16 * stride, stride))
            if cell not in self.cells:
                self.cells[cell] = self.cell(cell)
            text += self.cells[cell]
        return text.rstrip()

    def text(self):
        """The screen's lines; nothing unless it has the size of a text mode with characters 16 pixels high."""
        width, height = self.size
        if height % 16 or height > 480 or width not in (640, 720):
            return ""
        lines = []
        for y in range(0, height, 16):
            pixels = bytes(self.client.pixels[y * width * 4:(y + 16) * width * 4])
            if pixels not in self.rows:
                if len(self.rows) > 1000:
                    self.rows.clear()
                self.rows[pixels] = self.row(pixels, width * 4, 9 if width == 720 else 8)
            lines.append(self.rows[pixels])
        return "\n".join(lines)

    def wait(self, condition, limit, what):
        """Looks until condition(self) is true and returns that; what: what it waits for, for the message."""
        deadline = time.monotonic() + limit
        while True:
            value = condition(self)
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"no {what} on the screen within {limit:.0f} s: {self.size}\n{self.text()}")
            self.look(min(left, 1))

    def expect(self, pattern, limit):
        """Waits for a regular expression on the text screen."""
        regex = re.compile(pattern, re.M)
        return self.wait(lambda screen: regex.search(screen.text()), limit, repr(pattern))

    def pixels(self):
        """The picture as it is now: numbers 0xRRGGBB, line by line."""
        return [pixel & 0xffffff for pixel in memoryview(self.client.pixels).cast("I")]

    def colors(self):
        """How many pixels there are of each colour."""
        return collections.Counter(self.pixels())

    def type(self, *keys):
        """Presses keys: names of KEYS, or characters."""
        for key in keys:
            if key in KEYS:
                self.client.key(KEYS[key])
            else:
                self.client.type(key)

    def close(self):
        self.client.close()
