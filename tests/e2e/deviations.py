#!/usr/bin/env python3
"""Where Millrace answers otherwise than Pravega 0.13 on purpose, and no recorded transcript can say so: there, the reply depends on the
moment, or the request ruins the server. The other deviations are in conformance/deviations.

Arguments: words; only cases whose name contains one of them.
"""
import os
import shutil
import struct
import sys
import tempfile
import uuid

import cases
import wire
from cases import expect
from server import Server
from wire import Wire, event, frame, text

SCRATCH = tempfile.mkdtemp(prefix="millrace-deviations-")
SEGMENT_TYPE, ATTRIBUTE_ID_LENGTH = 9, 12
ILLEGAL_ARGUMENT = 0


def core_attribute(number):
    return struct.pack(">Qq", 1 << 63, number)


def merged_segment():
    """From the merge on, the source is gone for every request, and the connection stays."""
    server = Server(os.path.join(SCRATCH, "merged"))
    server.start()
    writer, target, source = uuid.uuid4(), "dev/merge/0.#epoch.0", "dev/merge/0.#epoch.0#transaction." + "0" * 32
    with Wire(server.store) as client:
        for segment in (target, source):
            client.create(segment)
        client.setup(source, writer)
        client.append(writer, event(b"one"), 1)
        client.send(frame(wire.MERGE_SEGMENTS, struct.pack(">q", client.next_id()) + text(target) + text(source) + text("")))
        expect(client.receive()[0] == wire.SEGMENTS_MERGED, "the merge failed")
        expect(client.read_all(target) == event(b"one"), "the target does not have the data")

        name = text(source)
        requests = {
            "append": client.append_frame(writer, event(b"two"), 2),
            "set-up": frame(wire.SETUP_APPEND, struct.pack(">q", 7) + uuid.uuid4().bytes + name + text("")),
            "seal": frame(wire.SEAL_SEGMENT, struct.pack(">q", 7) + name + text("")),
            "truncation": frame(wire.TRUNCATE_SEGMENT, struct.pack(">q", 7) + name + struct.pack(">q", 1) + text("")),
            "read": frame(wire.READ_SEGMENT, name + struct.pack(">qi", 0, 100) + text("") + struct.pack(">q", 7)),
            "info": frame(wire.GET_SEGMENT_INFO, struct.pack(">q", 7) + name + text("")),
            "attribute": frame(wire.GET_SEGMENT_ATTRIBUTE, struct.pack(">q", 7) + name + uuid.uuid4().bytes + text("")),
            "deletion": frame(wire.DELETE_SEGMENT, struct.pack(">q", 7) + name + text("")),
        }
        for what, request in requests.items():
            client.send(request)
            code, _ = client.receive()
            expect(code == wire.NO_SUCH_SEGMENT, f"{what} of a merged segment is answered with {code}")
        expect(client.read_all(target) == event(b"one"), "the target has changed")
    server.stop()


def fixed_attributes():
    """Type and attribute id length of a segment are refused to clients, with ERROR_MESSAGE; nothing changes, the connection stays."""
    server = Server(os.path.join(SCRATCH, "fixed"))
    server.start()
    writer, segment = uuid.uuid4(), "dev/fixed/0.#epoch.0"
    with Wire(server.store) as client:
        client.create(segment)

        def value_of(attribute):
            client.send(frame(wire.GET_SEGMENT_ATTRIBUTE, struct.pack(">q", client.next_id()) + text(segment) + attribute + text("")))
            code, fields = client.receive()
            expect(code == wire.SEGMENT_ATTRIBUTE, f"GET_SEGMENT_ATTRIBUTE is answered with {code}")
            fields.take("q")
            return fields.take("q")

        for number in (SEGMENT_TYPE, ATTRIBUTE_ID_LENGTH):
            attribute = core_attribute(number)
            before = value_of(attribute)
            for expected in (before, wire.NO_EVENT, 0):
                client.send(frame(wire.UPDATE_SEGMENT_ATTRIBUTE, struct.pack(">q", 7) + text(segment) + attribute +
                                  struct.pack(">qq", 1, expected) + text("")))
                code, fields = client.receive()
                expect(code == wire.ERROR_MESSAGE, f"changing attribute {number} is answered with {code}")
                fields.take("q"), fields.text(), fields.text()
                expect(fields.take("i") == ILLEGAL_ARGUMENT, f"changing attribute {number} is refused as something else")
            expect(value_of(attribute) == before, f"attribute {number} has changed")
        client.setup(segment, writer)
        expect(client.append(writer, event(b"one"), 1) == 1, "the segment takes no append any more")
    server.stop()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([("a merged segment is gone at once", merged_segment),
                            ("fixed attributes cannot be changed", fixed_attributes)], sys.argv[1:]))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
