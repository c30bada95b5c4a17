"""Variable-length integers (RFC 9000 16) and a reader over bytes that never runs past the end."""


class Truncated(ValueError):
    """The bytes end before the field does."""


VARINT_MAX = (1 << 62) - 1


def varint(value, size=None):
    """Encode value; size (1, 2, 4, 8) forces a longer form than necessary."""
    if not 0 <= value <= VARINT_MAX:
        raise ValueError("varint out of range: %r" % value)
    if size is None:
        size = 1 if value < 1 << 6 else 2 if value < 1 << 14 else 4 if value < 1 << 30 else 8
    prefix = {1: 0, 2: 1, 4: 2, 8: 3}[size]
    if value >> (8 * size - 2):
        raise ValueError("varint %d does not fit %d bytes" % (value, size))
    return (value | prefix << (8 * size - 2)).to_bytes(size, "big")


class Reader:
    """Takes fields from the front of a byte string."""

    def __init__(self, data, pos=0, end=None):
        self.data = bytes(data)
        self.pos = pos
        self.end = len(self.data) if end is None else end

    def left(self):
        return self.end - self.pos

    def bytes(self, count):
        if count < 0 or count > self.left():
            raise Truncated("%d bytes wanted, %d left" % (count, self.left()))
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def rest(self):
        return self.bytes(self.left())

    def uint(self, size):
        return int.from_bytes(self.bytes(size), "big")

    def varint(self):
        if not self.left():
            raise Truncated("varint wanted, nothing left")
        size = 1 << (self.data[self.pos] >> 6)
        return self.uint(size) & ((1 << (8 * size - 2)) - 1)

    def vector(self, size):
        """A byte string behind a length of `size` bytes (RFC 8446 3.4)."""
        return self.bytes(self.uint(size))

    def varbytes(self):
        """A byte string behind a varint length."""
        return self.bytes(self.varint())


def vector(size, data):
    """data behind its length in `size` bytes."""
    return len(data).to_bytes(size, "big") + data


def varbytes(data):
    return varint(len(data)) + data


class RangeSet:
    """Sorted, disjoint half-open ranges of integers."""

    def __init__(self):
        self.ranges = []

    def __bool__(self):
        return bool(self.ranges)

    def __contains__(self, value):
        return any(start <= value < stop for start, stop in self.ranges)

    def add(self, start, stop):
        if start >= stop:
            return
        kept = []
        for a, b in self.ranges:
            if b < start or a > stop:
                kept.append((a, b))
            else:
                start, stop = min(a, start), max(b, stop)
        kept.append((start, stop))
        self.ranges = sorted(kept)

    def remove(self, start, stop):
        kept = []
        for a, b in self.ranges:
            kept += [(a, min(b, start)), (max(a, stop), b)]
        self.ranges = [(a, b) for a, b in kept if a < b]
