"""A small client of the segment store protocol (wire version 16): enough to write with event numbers, read back, and misbehave.

Everything is big-endian; a frame is int32 type, int32 length, payload. One Wire is one connection, used by one thread.
"""
import socket
import struct
import uuid

HELLO = -127
PADDING, SETUP_APPEND, APPEND_SETUP, APPEND_BLOCK, APPEND_BLOCK_END = -1, 1, 2, 3, 4
DATA_APPENDED, READ_SEGMENT, SEGMENT_READ = 7, 9, 10
GET_SEGMENT_INFO, SEGMENT_INFO = 11, 12
CREATE_SEGMENT, SEGMENT_CREATED = 20, 21
SEAL_SEGMENT, SEGMENT_SEALED, DELETE_SEGMENT = 28, 29, 30
GET_SEGMENT_ATTRIBUTE, SEGMENT_ATTRIBUTE, UPDATE_SEGMENT_ATTRIBUTE = 34, 35, 36
TRUNCATE_SEGMENT, SEGMENT_TRUNCATED = 38, 39
WRONG_HOST, SEGMENT_IS_SEALED, SEGMENT_ALREADY_EXISTS, NO_SUCH_SEGMENT, INVALID_EVENT_NUMBER = 50, 51, 52, 53, 55
MERGE_SEGMENTS, SEGMENTS_MERGED, ERROR_MESSAGE = 58, 59, 61
KEEP_ALIVE = 100

NO_EVENT = -(1 << 63)
FRAME_MAX = 17 << 20


class Closed(Exception):
    """The peer ended or reset the connection."""


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def frame(code, payload=b""):
    return struct.pack(">ii", code, len(payload)) + payload


def event(payload):
    """An event as it stands in a segment: type 0, length, bytes."""
    return frame(0, payload)


class Fields:
    """Reads a payload field by field."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values[0] if len(values) == 1 else values

    def uuid(self):
        value = self.data[self.at:self.at + 16]
        self.at += 16
        return uuid.UUID(bytes=bytes(value))

    def text(self):
        # The protocol's text is Java's modified UTF-8; what differs (NUL, beyond the first plane) is only ever looked at.
        return bytes(self.raw(self.take("H"))).decode(errors="replace")

    def blob(self):
        return bytes(self.raw(self.take("i")))

    def raw(self, size):
        value = self.data[self.at:self.at + size]
        if len(value) != size:
            raise ValueError("a reply that ends too early")
        self.at += size
        return value


class Wire:
    def __init__(self, address, timeout=10.0, hello=True):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.request_id = 0
        if hello:
            self.send(frame(HELLO, struct.pack(">ii", 16, 5)))
            code, _ = self.receive()
            if code != HELLO:
                raise ValueError(f"HELLO was answered with {code}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with a reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed(str(error)) from error

    def receive(self):
        """The next frame: (type, Fields of its payload)."""
        while True:
            if len(self.received) >= 8:
                code, size = struct.unpack_from(">ii", self.received)
                if not 0 <= size <= FRAME_MAX:
                    raise ValueError(f"a frame of type {code} that claims {size} bytes")
                if len(self.received) >= 8 + size:
                    payload = bytes(self.received[8:8 + size])
                    del self.received[:8 + size]
                    return code, Fields(payload)
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionError as error:
                raise Closed(str(error)) from error
            if not data:
                raise Closed("end of the connection")
            self.received += data

    def ends(self):
        """Whether the server ends the connection before it sends anything but complete frames, within the time-out."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except socket.timeout:
            return False

    def next_id(self):
        self.request_id += 1
        return self.request_id

    def create(self, segment):
        """True: created, False: it was there."""
        self.send(frame(CREATE_SEGMENT, struct.pack(">q", self.next_id()) + text(segment) + struct.pack(">ib", 0, 0) +
                        text("") + struct.pack(">q", 0)))
        code, _ = self.receive()
        if code not in (SEGMENT_CREATED, SEGMENT_ALREADY_EXISTS):
            raise ValueError(f"CREATE_SEGMENT was answered with {code}")
        return code == SEGMENT_CREATED

    def setup(self, segment, writer):
        """Returns the number of the writer's last event that is stored (NO_EVENT: none)."""
        self.send(frame(SETUP_APPEND, struct.pack(">q", self.next_id()) + writer.bytes + text(segment) + text("")))
        code, fields = self.receive()
        if code != APPEND_SETUP:
            raise ValueError(f"SETUP_APPEND was answered with {code}")
        fields.take("q"), fields.text(), fields.uuid()
        return fields.take("q")

    def append_frame(self, writer, data, last_event, count=1):
        return frame(APPEND_BLOCK_END, writer.bytes + struct.pack(">ii", len(data), len(data)) + data +
                     struct.pack(">iqq", count, last_event, self.next_id()))

    def append(self, writer, data, last_event, count=1):
        """Writes and waits: returns the acknowledged event number."""
        self.send(self.append_frame(writer, data, last_event, count))
        return self.acknowledged()

    def acknowledged(self):
        code, fields = self.receive()
        if code != DATA_APPENDED:
            raise ValueError(f"an append was answered with {code}")
        fields.uuid()
        return fields.take("q")

    def info(self, segment):
        """(start offset, length, sealed), or None where there is no such segment."""
        self.send(frame(GET_SEGMENT_INFO, struct.pack(">q", self.next_id()) + text(segment) + text("")))
        code, fields = self.receive()
        if code == NO_SUCH_SEGMENT:
            return None
        if code != SEGMENT_INFO:
            raise ValueError(f"GET_STREAM_SEGMENT_INFO was answered with {code}")
        fields.take("q"), fields.text()
        _, sealed, _, _, length, start = fields.take("bbbqqq")
        return start, length, bool(sealed)

    def truncate(self, segment, offset):
        self.send(frame(TRUNCATE_SEGMENT, struct.pack(">q", self.next_id()) + text(segment) + struct.pack(">q", offset) +
                        text("")))
        code, _ = self.receive()
        if code != SEGMENT_TRUNCATED:
            raise ValueError(f"TRUNCATE_SEGMENT was answered with {code}")

    def ask_for(self, segment, offset, size):
        self.send(frame(READ_SEGMENT, text(segment) + struct.pack(">qi", offset, size) + text("") +
                        struct.pack(">q", self.next_id())))

    def read(self, segment, offset, size):
        self.ask_for(segment, offset, size)
        code, fields = self.receive()
        if code != SEGMENT_READ:
            raise ValueError(f"READ_SEGMENT was answered with {code}")
        fields.text()
        got = fields.take("q")
        fields.take("bb")
        if got != offset:
            raise ValueError(f"asked for offset {offset}, answered for {got}")
        return fields.blob()

    def read_all(self, segment):
        start, length, _ = self.info(segment)
        parts = []
        while start < length:
            data = self.read(segment, start, min(1 << 20, length - start))
            if not data:
                raise ValueError(f"an empty read of {segment} at {start}, whose length is {length}")
            parts.append(data)
            start += len(data)
        return b"".join(parts)


def events_of(data):
    """The payloads of the events in a segment's bytes. Raises ValueError at anything that is no event."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError(f"{len(data) - at} stray bytes at {at}")
        code, size = struct.unpack_from(">ii", data, at)
        if code != 0 or size < 0 or at + 8 + size > len(data):
            raise ValueError(f"no event at {at}: type {code}, length {size}")
        yield data[at + 8:at + 8 + size]
        at += 8 + size
