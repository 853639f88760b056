#!/usr/bin/env python3
"""A receiver of venue.v1 that knows nothing but the .proto files.

It exists to prove that the contract is enough: grpcio, the schema, and what its comments say. Serves
EventIngestService.Deliver, keeps events and marks in SQLite, and writes what happens as JSON lines. See README.md.
"""

import argparse
import asyncio
import base64
import itertools
import json
import pathlib
import signal
import sys

import grpc
import schema
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from store import Element, Store

PROTOCOL_VERSION = 1
MAX_BATCH_EVENTS = 512
MAX_BATCH_BYTES = 256 * 1024
LANES = {1: "results", 2: "telemetry"}
STOP_GRACE_S = 2

SERVER_OPTIONS = (
    # A gateway pings an idle stream every few seconds; grpc's default ends the connection after three such pings.
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Refused(Exception):
    """A stream that ends with a status of the contract."""

    def __init__(self, code: grpc.StatusCode, details: str):
        super().__init__(details)
        self.code = code
        self.details = details


def broken(details: str) -> Refused:
    """A message that is not what the contract says."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, details)


class Receiver:
    """The service. One instance serves all gateways; the event loop serializes what happens to the store."""

    def __init__(self, modules, store: Store, receiver_id: str, mutual_tls: bool, write_line):
        self._event, self._service, _ = modules
        self._store = store
        self._receiver_id = receiver_id
        self._mutual_tls = mutual_tls
        self._write_line = write_line
        self._stream_numbers = itertools.count(1)
        # The newest stream of each (gateway, lane number); all older ones are fenced.
        self._newest: dict[tuple[str, int], Stream] = {}

    async def Deliver(self, _requests, context):  # noqa: N802 - the name is gRPC's
        """Serves one stream from hello to its end."""
        stream = Stream(next(self._stream_numbers), context)
        try:
            await self._serve(stream)
            self._report("end", stream)
        except Refused as refused:
            self._report("refused", stream, code=refused.code.name, details=refused.details)
            await context.abort(refused.code, refused.details)
        finally:
            if stream.lane and self._newest.get(stream.owner) is stream:
                del self._newest[stream.owner]

    async def _serve(self, stream: "Stream") -> None:
        first = await stream.read()
        if first is None or first.WhichOneof("message") != "hello":
            raise broken("the first message must be a hello")
        await stream.write(self._service.DeliverResponse(welcome=self._welcome(stream, first.hello)))
        while (request := await stream.read()) is not None:
            elements = self._elements(request, self._store.mark(stream.lane).sequence)
            self._append(stream, elements)
            mark = self._store.mark(stream.lane)
            ack = self._service.Ack(sequence=mark.sequence, digest=mark.digest)
            self._report("ack", stream, sequence=mark.sequence, digest=mark.digest.hex())
            await stream.write(self._service.DeliverResponse(ack=ack))

    def _welcome(self, stream: "Stream", hello):
        """Checks a hello, fences what it supersedes and says where the lane stands."""
        check_hello(hello)
        if self._mutual_tls:
            check_certificate(stream.context, hello.gateway_id)
        if self._store.is_closed(hello.gateway_id, hello.journal_epoch):
            raise closed_epoch(hello.journal_epoch)
        lane = (hello.gateway_id, hello.journal_epoch, hello.lane)
        common = self._store.digest_at(lane, hello.last_acknowledged_sequence)
        if common is not None and common != hello.last_acknowledged_digest:
            sequence = hello.last_acknowledged_sequence
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, f"the digest after sequence {sequence} differs")
        self._store.close_epochs(hello.gateway_id, hello.predecessor_epochs)
        stream.lane = lane
        self._take_over(stream)
        mark = self._store.mark(lane)
        self._report("hello", stream, hello=as_json(hello), mark=mark.sequence, digest=mark.digest.hex())
        return self._service.Welcome(
            receiver_id=self._receiver_id,
            last_sequence=mark.sequence,
            digest=mark.digest,
            protocol_version=PROTOCOL_VERSION,
        )

    def _take_over(self, stream: "Stream") -> None:
        older = self._newest.get(stream.owner)
        if older:
            older.fence()
        self._newest[stream.owner] = stream

    def _elements(self, request, mark: int) -> list[Element]:
        """Checks a request behind the hello; returns its elements, which follow `mark`."""
        kind = request.WhichOneof("message")
        if kind == "batch":
            return self._batch_elements(request.batch, mark)
        if kind == "skipped":
            return [self._skipped_element(request.skipped, mark)]
        raise broken(f"expected a batch or a skipped range, not {kind or 'an empty message'}")

    def _batch_elements(self, batch, mark: int) -> list[Element]:
        check_follows(batch.first_sequence, mark)
        count, size = len(batch.events), sum(map(len, batch.events))
        if not 0 < count <= MAX_BATCH_EVENTS or size > MAX_BATCH_BYTES:
            raise broken(f"a batch holds 1 to {MAX_BATCH_EVENTS} events in {MAX_BATCH_BYTES} bytes, not {count} in {size}")
        numbered = enumerate(batch.events, batch.first_sequence)
        return [Element("event", sequence, sequence, raw, self._decode(raw, sequence)) for sequence, raw in numbered]

    def _skipped_element(self, skipped, mark: int) -> Element:
        check_follows(skipped.first_sequence, mark)
        if skipped.last_sequence < skipped.first_sequence:
            raise broken(f"a skipped range ends at {skipped.last_sequence}, before it starts")
        event = self._decode(skipped.gap_event, skipped.first_sequence)
        if event.WhichOneof("content") != "gap":
            raise broken(f"the event of a skipped range at {skipped.first_sequence} is not a gap")
        return Element("skipped", skipped.first_sequence, skipped.last_sequence, skipped.gap_event, event)

    def _decode(self, raw: bytes, sequence: int):
        try:
            return self._event.Event.FromString(raw)
        except DecodeError as error:
            raise broken(f"the event at sequence {sequence} is not a venue.v1.Event") from error

    def _append(self, stream: "Stream", elements: list[Element]) -> None:
        _, epoch, _ = stream.lane
        if self._store.is_closed(stream.owner[0], epoch):
            raise closed_epoch(epoch)
        for element, (digest, seen_again) in zip(elements, self._store.append(stream.lane, elements), strict=True):
            self._report(
                element.kind,
                stream,
                sequence=element.first_sequence,
                last_sequence=element.last_sequence,
                seen_again=seen_again,
                digest=digest.hex(),
                bytes=base64.b64encode(element.raw).decode(),
                event=as_json(element.event),
            )

    def _report(self, kind: str, stream: "Stream", **facts) -> None:
        place = {"stream": stream.number}
        if stream.lane:
            gateway_id, epoch, lane = stream.lane
            place |= {"gateway_id": gateway_id, "journal_epoch": epoch.hex(), "lane": LANES[lane]}
        self._write_line({"type": kind, **place, **facts})


class Stream:
    """One call of Deliver; reading and writing end at once when a newer stream takes over."""

    def __init__(self, number: int, context):
        self.number = number
        self.context = context
        self.lane: tuple[str, bytes, int] | None = None
        self._fenced = asyncio.get_running_loop().create_future()

    @property
    def owner(self) -> tuple[str, int]:
        """What only one stream at a time may speak for: a gateway's lane."""
        gateway_id, _, lane = self.lane
        return gateway_id, lane

    def fence(self) -> None:
        """Ends this stream in favour of a newer one."""
        if not self._fenced.done():
            self._fenced.set_result(None)

    async def read(self):
        """The next request; none when the gateway has closed its side."""
        request = await self._unless_fenced(self.context.read())
        return None if request is grpc.aio.EOF else request

    async def write(self, response) -> None:
        """Sends a response."""
        await self._unless_fenced(self.context.write(response))

    async def _unless_fenced(self, operation):
        task = asyncio.ensure_future(operation)
        await asyncio.wait({task, self._fenced}, return_when=asyncio.FIRST_COMPLETED)
        if self._fenced.done():
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise Refused(grpc.StatusCode.ABORTED, "a newer hello of this gateway and lane took over")
        return task.result()


def closed_epoch(epoch: bytes) -> Refused:
    """A journal that was succeeded by another speaks again."""
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, f"journal epoch {epoch.hex()} is closed")


def check_hello(hello) -> None:
    """Refuses a hello that is not what the contract says."""
    epochs = [hello.journal_epoch, *hello.predecessor_epochs]
    if hello.protocol_version < PROTOCOL_VERSION:
        raise broken(f"protocol version {hello.protocol_version} is not known")
    if not hello.gateway_id or hello.lane not in LANES:
        raise broken("a hello names a gateway and one of the two lanes")
    if any(len(epoch) != 16 for epoch in epochs) or hello.journal_epoch in hello.predecessor_epochs:
        raise broken("a journal epoch is 16 bytes and does not succeed itself")
    if len(hello.last_acknowledged_digest) != 32:
        raise broken("a digest is 32 bytes")


def check_certificate(context, gateway_id: str) -> None:
    """Refuses a gateway whose id is not a DNS name of its client certificate."""
    identities = context.auth_context()
    if "x509_pem_cert" not in identities:
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "no client certificate")
    names = [name.decode() for name in identities.get("peer_dns", [])]
    if gateway_id not in names:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{gateway_id!r} is not among the certificate's names {names}")


def check_follows(first_sequence: int, mark: int) -> None:
    """Refuses an element that leaves a hole or comes again."""
    if first_sequence != mark + 1:
        raise broken(f"sequence {first_sequence} does not follow {mark}")


def as_json(message) -> dict:
    """The proto3 JSON form with original field names."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Receives venue.v1 events and writes them as JSON lines.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT", help="0 takes a free port")
    parser.add_argument("--output", metavar="FILE", help="appends the JSON lines here instead of to stdout")
    parser.add_argument("--store", default=":memory:", metavar="FILE", help="SQLite file that outlives the process")
    parser.add_argument("--receiver-id", default="python-receiver", help="name of the store")
    parser.add_argument("--proto", default=schema.PROTO_DIRECTORY, type=pathlib.Path, help="directory of the schema")
    parser.add_argument("--cert", type=pathlib.Path, help="certificate chain of this server, PEM")
    parser.add_argument("--key", type=pathlib.Path, help="its private key, PEM")
    parser.add_argument("--client-ca", type=pathlib.Path, help="authority that signs the gateways' certificates, PEM")
    options = parser.parse_args()
    tls = [options.cert, options.key, options.client_ca]
    if any(tls) and not all(tls):
        parser.error("--cert, --key and --client-ca go together: over TLS a gateway proves its name")
    return options


def bind(server, options) -> int:
    """Opens the port; returns its number."""
    if not options.cert:
        return server.add_insecure_port(options.listen)
    pair = (options.key.read_bytes(), options.cert.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], options.client_ca.read_bytes(), require_client_auth=True)
    return server.add_secure_port(options.listen, credentials)


def line_writer(output):
    """A function that writes an object as one JSON line, at once."""

    def write_line(value: dict) -> None:
        output.write(json.dumps(value, ensure_ascii=False) + "\n")
        output.flush()

    return write_line


async def serve(options, output) -> None:
    """Serves until SIGTERM or SIGINT."""
    modules = schema.load(options.proto)
    store = Store(options.store, options.receiver_id)
    receiver = Receiver(modules, store, options.receiver_id, options.cert is not None, line_writer(output))
    server = grpc.aio.server(options=SERVER_OPTIONS)
    modules[2].add_EventIngestServiceServicer_to_server(receiver, server)
    port = bind(server, options)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    line_writer(sys.stdout)({"type": "listening", "port": port, "receiver_id": options.receiver_id})
    await stop.wait()
    await server.stop(STOP_GRACE_S)
    store.close()


def main() -> None:
    """Runs the receiver."""
    options = arguments()
    if options.output is None:
        asyncio.run(serve(options, sys.stdout))
    else:
        with open(options.output, "a", encoding="utf-8") as output:
            asyncio.run(serve(options, output))


if __name__ == "__main__":
    main()
