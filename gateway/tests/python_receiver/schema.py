"""Python code of the published contract, generated from the .proto files at start."""

import importlib
import pathlib
import sys
import tempfile

from grpc_tools import protoc

FILES = ("venue/v1/event.proto", "venue/v1/event_ingest_service.proto")
PROTO_DIRECTORY = pathlib.Path(__file__).resolve().parents[3] / "proto" / "schema"


def load(directory: pathlib.Path = PROTO_DIRECTORY):
    """Returns the modules (messages of an event, messages of the service, gRPC stubs) of the schema in `directory`."""
    with tempfile.TemporaryDirectory(prefix="venue-schema-") as generated:
        arguments = [f"-I{directory}", f"--python_out={generated}", f"--grpc_python_out={generated}", *FILES]
        if protoc.main(["protoc", *arguments]) != 0:
            raise SystemExit(f"receiver: protoc refused the schema in {directory}")
        sys.path.insert(0, generated)
        names = ("event_pb2", "event_ingest_service_pb2", "event_ingest_service_pb2_grpc")
        return tuple(importlib.import_module(f"venue.v1.{name}") for name in names)
