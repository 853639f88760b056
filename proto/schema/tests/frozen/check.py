#!/usr/bin/env python3
"""Checks the frozen messages of v1 with an implementation of protobuf that is not ours.

Every JSON file must give the bytes beside it and the bytes that JSON, every field of every message of the schema must be
filled in one of them, and the acknowledged digest must follow from the elements. Writes nothing. Needs grpcio-tools.
"""

import hashlib
import importlib
import json
import pathlib
import sys
import tempfile

from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_tools import protoc

FROZEN = pathlib.Path(__file__).parent / "v1"
SCHEMA = pathlib.Path(__file__).parents[2]
FILES = ["venue/v1/event.proto", "venue/v1/event_ingest_service.proto"]
REQUESTS, RESPONSES = {"hello", "batch", "skipped"}, {"welcome", "ack"}
# Added to v1 after the files were frozen: "Message.field".
LATER_FIELDS: set[str] = set()


def compile_schema(directory: str) -> list:
    """Generates the Python code of the schema and returns its modules."""
    if protoc.main(["protoc", f"-I{SCHEMA}", f"--python_out={directory}", *FILES]) != 0:
        raise SystemExit("protoc refused the schema")
    sys.path.insert(0, directory)
    return [importlib.import_module(f.removesuffix(".proto").replace("/", ".") + "_pb2") for f in FILES]


def message_type(name: str, event: type, service) -> type:
    """The type of the message in NAME.hex."""
    if name in REQUESTS:
        return service.DeliverRequest
    return service.DeliverResponse if name in RESPONSES else event.Event


def compare(name: str, message: Message) -> Message:
    """Compares NAME.json and NAME.hex both ways; returns the decoded message."""
    frozen = bytes.fromhex((FROZEN / f"{name}.hex").read_text())
    text = (FROZEN / f"{name}.json").read_text()
    encoded = json_format.Parse(text, type(message)()).SerializeToString(deterministic=True)
    assert encoded == frozen, f"{name}.json gives other bytes: {encoded.hex()}"
    message.ParseFromString(frozen)
    form = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert form == json.loads(text), f"{name}.hex gives another JSON form: {form}"
    return message


def filled_fields(message: Message):
    """Names, as "Message.field", of all fields that are set in a message and those within it."""
    for field, value in message.ListFields():
        yield f"{message.DESCRIPTOR.name}.{field.name}"
        for part in value if field.is_repeated else [value]:
            if isinstance(part, Message):
                yield from filled_fields(part)


def check_digest(messages: dict) -> None:
    """The digest in `ack` is that of `batch` and `skipped` behind the journal epoch of `hello`."""
    digest = hashlib.sha256(messages["hello"].hello.journal_epoch + b"\x01").digest()
    assert digest == messages["welcome"].welcome.digest, "D(0) differs"
    for element in [*messages["batch"].batch.events, messages["skipped"].skipped.gap_event]:
        digest = hashlib.sha256(digest + element).digest()
    assert digest == messages["ack"].ack.digest, "the digest after the elements differs"


def main() -> None:
    """Runs all checks; an AssertionError says which failed."""
    with tempfile.TemporaryDirectory() as directory:
        event, service = compile_schema(directory)
    names = sorted(path.stem for path in FROZEN.glob("*.hex"))
    messages = {name: compare(name, message_type(name, event, service)()) for name in names}
    check_digest(messages)
    types = [t for module in (event, service) for t in module.DESCRIPTOR.message_types_by_name.values()]
    fields = {f"{t.name}.{f.name}" for t in types for f in t.fields}
    filled = {name for message in messages.values() for name in filled_fields(message)}
    missing = fields - filled - LATER_FIELDS
    assert not missing, f"no frozen message fills {sorted(missing)}"
    print(f"frozen v1: {len(names)} messages, {len(fields)} fields, bytes and JSON as another implementation has them")


if __name__ == "__main__":
    main()
