#!/usr/bin/env python3
"""Tests the receiver from outside: a process, a port, and a client that keeps its own count of the digest."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import grpc
import schema

event_pb2, service_pb2, service_grpc = schema.load()
HERE = pathlib.Path(__file__).parent
GATEWAY = "stade-1-a"
EPOCH = bytes(range(16))
RESULTS = event_pb2.LANE_RESULTS
PATIENCE_S = 20


def impulse(number: int, **fields) -> bytes:
    """A serialized event that is unlike every other number's."""
    content = event_pb2.Impulse(channel="C1", start_number=str(number))
    return event_pb2.Event(venue_id="stade-1", device_id="timer-a", impulse=content, **fields).SerializeToString()


def gap(first: int, last: int) -> bytes:
    """A serialized loss record for a range of the results lane."""
    scope = event_pb2.LaneRange(lane=RESULTS, first_sequence=first, last_sequence=last, journal_epoch=EPOCH)
    content = event_pb2.Gap(cause=event_pb2.GAP_CAUSE_QUARANTINED, lane_range=scope)
    return event_pb2.Event(venue_id="stade-1", device_id="gateway", gap=content).SerializeToString()


def digest(*elements: bytes, epoch: bytes = EPOCH, lane: int = RESULTS) -> bytes:
    """The digest of a lane after its elements."""
    value = hashlib.sha256(epoch + bytes([lane])).digest()
    for element in elements:
        value = hashlib.sha256(value + element).digest()
    return value


def hello(**fields):
    """A hello of a gateway that has nothing acknowledged yet."""
    epoch, lane = fields.get("journal_epoch", EPOCH), fields.get("lane", RESULTS)
    usual = {
        "protocol_version": 1,
        "gateway_id": GATEWAY,
        "journal_epoch": epoch,
        "lane": lane,
        "last_acknowledged_digest": digest(epoch=epoch, lane=lane),
        "first_retained_sequence": 1,
    }
    return service_pb2.DeliverRequest(hello=service_pb2.Hello(**usual | fields))


def batch(first: int, *events: bytes):
    """A batch of events that starts at a sequence."""
    return service_pb2.DeliverRequest(batch=service_pb2.Batch(first_sequence=first, events=events))


def skipped(first: int, last: int):
    """A range of the lane that is gone."""
    content = service_pb2.Skipped(first_sequence=first, last_sequence=last, gap_event=gap(first, last))
    return service_pb2.DeliverRequest(skipped=content)


class Process:
    """A receiver of its own process, with its lines in a file."""

    def __init__(self, directory: pathlib.Path, *options: str):
        self.output = directory / "lines.jsonl"
        command = [sys.executable, str(HERE / "receiver.py"), "--output", str(self.output)]
        command += ["--store", str(directory / "store.sqlite"), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self._process.stdout.readline())["port"]

    def end(self, how: signal.Signals) -> int:
        """Ends the process with a signal, unless it has ended; returns its exit code."""
        self._process.send_signal(how)
        code = self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        return code

    def lines(self, kind: str) -> list[dict]:
        """What the receiver wrote of one kind."""
        lines = map(json.loads, self.output.read_text().splitlines())
        return [line for line in lines if line["type"] == kind]


class Client:
    """A connection of a gateway; gRPC closes our side of a stream when its requests end."""

    def __init__(self, port: int, credentials=None):
        target = f"localhost:{port}"
        self._channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
        self._deliver = service_grpc.EventIngestServiceStub(self._channel).Deliver

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def open(self, *requests):
        """Sends requests, then closes our side; returns the responses as they come."""
        return self.open_with(iter(requests))

    def open_with(self, requests):
        """The same, with requests that come when the iterator yields them."""
        return self._deliver(requests, timeout=PATIENCE_S)


class ReceiverTest(unittest.TestCase):
    """Each test has a receiver with a store of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="venue-receiver-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.start()

    def start(self, *options: str):
        """Starts a receiver over the test's store."""
        self.process = Process(self.directory, *options)
        self.addCleanup(self.process.end, signal.SIGKILL)

    def client(self, **options) -> Client:
        """A client that is closed when the test ends."""
        client = Client(self.process.port, **options)
        self.addCleanup(client.close)
        return client

    def refused(self, *requests, client: Client | None = None) -> grpc.StatusCode:
        """The status that ends a stream of these requests."""
        with self.assertRaises(grpc.RpcError) as raised:
            list((client or self.client()).open(*requests))
        return raised.exception.code()


class Delivery(ReceiverTest):
    """A lane that goes well."""

    def test_batches_and_a_lost_range_are_acknowledged_with_their_digest(self):
        events = [impulse(n) for n in range(1, 4)]
        replies = list(self.client().open(hello(), batch(1, *events[:2]), skipped(3, 7), batch(8, events[2])))
        self.assertEqual((replies[0].welcome.last_sequence, replies[0].welcome.digest), (0, digest()))
        end = digest(*events[:2], gap(3, 7), events[2])
        self.assertEqual((replies[-1].ack.sequence, replies[-1].ack.digest), (8, end))
        self.assertEqual([line["sequence"] for line in self.process.lines("event")], [1, 2, 8])
        self.assertEqual(self.process.lines("skipped")[0]["last_sequence"], 7)

    def test_the_mark_outlives_the_process(self):
        events = [impulse(1), impulse(2)]
        stream = self.client().open(hello(), batch(1, *events))
        self.assertEqual([next(stream).WhichOneof("message"), next(stream).ack.sequence], ["welcome", 2])
        self.assertEqual(self.process.end(signal.SIGKILL), -signal.SIGKILL)
        self.start()
        (welcome,) = self.client().open(hello())
        self.assertEqual((welcome.welcome.last_sequence, welcome.welcome.digest), (2, digest(*events)))
        self.assertEqual(self.process.end(signal.SIGTERM), 0)

    def test_an_event_known_by_its_identity_is_not_stored_again(self):
        key = event_pb2.ContentKey(key="C1|10:42:17", occurrence=1)
        first = impulse(1, content_key=key, evidence=b"live")
        again = impulse(1, content_key=key, evidence=b"from memory")
        second = impulse(1, content_key=event_pb2.ContentKey(key="C1|10:42:17", occurrence=2))
        anonymous = impulse(1)
        elements = [first, again, second, anonymous, anonymous]
        *_, last = self.client().open(hello(), batch(1, *elements))
        self.assertEqual((last.ack.sequence, last.ack.digest), (5, digest(*elements)))
        seen = [line["seen_again"] for line in self.process.lines("event")]
        self.assertEqual(seen, [False, True, False, False, False])

    def test_lanes_and_gateways_do_not_share_a_mark(self):
        list(self.client().open(hello(), batch(1, impulse(1))))
        for other in ({"lane": event_pb2.LANE_TELEMETRY}, {"gateway_id": "stade-1-b"}):
            (welcome,) = self.client().open(hello(**other))
            self.assertEqual(welcome.welcome.last_sequence, 0, other)


class Refusals(ReceiverTest):
    """What the contract says must be refused."""

    def test_elements_that_do_not_follow_are_refused_and_not_stored(self):
        for wrong in (batch(2, impulse(2)), batch(0, impulse(1)), skipped(3, 4), skipped(1, 0)):
            self.assertEqual(self.refused(hello(), wrong), grpc.StatusCode.INVALID_ARGUMENT, wrong)
        self.assertEqual(self.process.lines("event") + self.process.lines("skipped"), [])

    def test_broken_messages_are_refused(self):
        not_a_gap = service_pb2.Skipped(first_sequence=1, last_sequence=1, gap_event=impulse(1))
        for requests in (
            [batch(1, impulse(1))],
            [hello(), hello()],
            [hello(), service_pb2.DeliverRequest()],
            [hello(), batch(1)],
            [hello(), batch(1, *[impulse(1)] * 513)],
            [hello(), batch(1, impulse(1, evidence=bytes(300_000)))],
            [hello(), batch(1, b"\x0a\xff")],
            [hello(), service_pb2.DeliverRequest(skipped=not_a_gap)],
            [hello(protocol_version=0)],
            [hello(journal_epoch=b"short")],
            [hello(lane=event_pb2.LANE_UNSPECIFIED)],
            [hello(last_acknowledged_digest=b"")],
            [hello(predecessor_epochs=[EPOCH])],
        ):
            self.assertEqual(self.refused(*requests), grpc.StatusCode.INVALID_ARGUMENT, str(requests)[:200])

    def test_a_digest_that_differs_at_a_common_mark_is_refused(self):
        events = [impulse(1), impulse(2)]
        list(self.client().open(hello(), batch(1, *events)))
        for sequence, differs in ((2, digest(*events[::-1])), (1, digest(events[1])), (0, digest(events[0]))):
            request = hello(last_acknowledged_sequence=sequence, last_acknowledged_digest=differs)
            self.assertEqual(self.refused(request), grpc.StatusCode.FAILED_PRECONDITION, sequence)
        # Behind our mark but of the same chain: the gateway lost an acknowledgement.
        request = hello(last_acknowledged_sequence=1, last_acknowledged_digest=digest(events[0]))
        (welcome,) = self.client().open(request)
        self.assertEqual(welcome.welcome.last_sequence, 2)

    def test_a_succeeded_journal_may_not_speak_again(self):
        list(self.client().open(hello(), batch(1, impulse(1))))
        (welcome,) = self.client().open(hello(journal_epoch=b"a younger epoch.", predecessor_epochs=[EPOCH]))
        self.assertEqual(welcome.welcome.last_sequence, 0)
        self.assertEqual(self.refused(hello()), grpc.StatusCode.FAILED_PRECONDITION)

    def test_a_newer_hello_fences_the_older_stream(self):
        ended = threading.Event()
        self.addCleanup(ended.set)

        def requests():
            yield hello()
            ended.wait()

        older = self.client().open_with(requests())
        self.assertEqual(next(older).WhichOneof("message"), "welcome")
        (welcome,) = self.client().open(hello())
        self.assertEqual(welcome.WhichOneof("message"), "welcome")
        with self.assertRaises(grpc.RpcError) as raised:
            next(older)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.ABORTED)


class MutualTls(ReceiverTest):
    """A gateway proves its name by its certificate."""

    def start(self, *options: str):
        for name, extension in (("server", "DNS:localhost"), ("gateway", f"DNS:{GATEWAY},DNS:other.example")):
            self.certify(name, extension)
        files = [f"{self.directory}/{name}" for name in ("server.pem", "server.key", "ca.pem")]
        super().start("--cert", files[0], "--key", files[1], "--client-ca", files[2], *options)

    def openssl(self, *command: str):
        """Runs openssl in the test's directory."""
        subprocess.run(["openssl", *command], cwd=self.directory, check=True, capture_output=True)

    def certify(self, name: str, alternative_names: str):
        """Makes NAME.pem and NAME.key, signed by ca.pem."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        if not (self.directory / "ca.pem").exists():
            self.openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
        self.openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.directory / "names").write_text(f"subjectAltName={alternative_names}\n")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        self.openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")

    def credentials(self, name: str | None):
        """Credentials of a client; without a name it has no certificate."""
        files = ["ca.pem", f"{name}.key", f"{name}.pem"] if name else ["ca.pem"]
        return grpc.ssl_channel_credentials(*[(self.directory / file).read_bytes() for file in files])

    def test_a_name_of_the_certificate_is_believed_and_no_other(self):
        client = self.client(credentials=self.credentials("gateway"))
        (welcome,) = client.open(hello())
        self.assertEqual(welcome.welcome.last_sequence, 0)
        self.assertEqual(self.refused(hello(gateway_id="stade-2-a"), client=client), grpc.StatusCode.PERMISSION_DENIED)

    def test_without_a_certificate_there_is_no_stream(self):
        client = self.client(credentials=self.credentials(None))
        self.assertEqual(self.refused(hello(), client=client), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    unittest.main(verbosity=2)
