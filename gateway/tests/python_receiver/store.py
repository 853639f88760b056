"""What a receiver keeps: events, and per lane the mark and the digest, in one transaction.

A lane is (gateway, journal epoch, lane number). An element is one event of a batch or one skipped range.
"""

import dataclasses
import hashlib
import sqlite3

Lane = tuple[str, bytes, int]

TABLES = """
CREATE TABLE IF NOT EXISTS receiver (receiver_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS closed_epoch (gateway_id TEXT, journal_epoch BLOB, PRIMARY KEY (gateway_id, journal_epoch));
-- Every element's last sequence and the digest after it; the highest is the mark.
CREATE TABLE IF NOT EXISTS element (
  gateway_id TEXT, journal_epoch BLOB, lane INTEGER, last_sequence INTEGER, digest BLOB NOT NULL,
  PRIMARY KEY (gateway_id, journal_epoch, lane, last_sequence)) WITHOUT ROWID;
-- `identity` is NULL where the event has none but its origin: SQLite holds NULLs to be distinct.
CREATE TABLE IF NOT EXISTS event (
  venue_id TEXT, device_id TEXT, device_epoch TEXT, identity TEXT, gateway_id TEXT, journal_epoch BLOB, lane INTEGER,
  sequence INTEGER, bytes BLOB NOT NULL, UNIQUE (venue_id, device_id, device_epoch, identity));
"""


@dataclasses.dataclass(frozen=True)
class Element:
    """One element as it crossed the wire, with the event in it: `kind` is "event" or "skipped"."""

    kind: str
    first_sequence: int
    last_sequence: int
    raw: bytes
    event: object


@dataclasses.dataclass(frozen=True)
class Mark:
    """The last sequence held and the digest after it."""

    sequence: int
    digest: bytes


def initial_digest(journal_epoch: bytes, lane: int) -> bytes:
    """D(0) of a lane."""
    return hashlib.sha256(journal_epoch + bytes([lane])).digest()


def next_digest(digest: bytes, element: bytes) -> bytes:
    """The digest after one more element."""
    return hashlib.sha256(digest + element).digest()


def identity(event) -> str | None:
    """What makes an event the same when it comes a second time; none where only its origin does."""
    which = event.WhichOneof("identity")
    if which == "device_sequence":
        return f"sequence {event.device_sequence}"
    if which == "content_key":
        return f"key {event.content_key.occurrence} {event.content_key.key}"
    return None


class Store:
    """Events and marks in an SQLite file; ":memory:" keeps them for the life of the process."""

    def __init__(self, path: str, receiver_id: str):
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(TABLES)
        held = self._connection.execute("SELECT receiver_id FROM receiver").fetchone()
        if held is None:
            self._connection.execute("INSERT INTO receiver VALUES (?)", (receiver_id,))
        elif held[0] != receiver_id:
            raise SystemExit(f"receiver: {path} belongs to receiver {held[0]!r}; pass --receiver-id {held[0]}")

    def close_epochs(self, gateway_id: str, epochs) -> None:
        """Closes journal epochs of a gateway for good."""
        rows = [(gateway_id, epoch) for epoch in epochs]
        self._connection.executemany("INSERT OR IGNORE INTO closed_epoch VALUES (?, ?)", rows)

    def is_closed(self, gateway_id: str, epoch: bytes) -> bool:
        """Whether a later journal has taken over from this one."""
        query = "SELECT 1 FROM closed_epoch WHERE gateway_id = ? AND journal_epoch = ?"
        return self._connection.execute(query, (gateway_id, epoch)).fetchone() is not None

    def mark(self, lane: Lane) -> Mark:
        """Where a lane stands; 0 and D(0) if nothing is held of it."""
        query = """SELECT last_sequence, digest FROM element WHERE gateway_id = ? AND journal_epoch = ? AND lane = ?
                   ORDER BY last_sequence DESC LIMIT 1"""
        row = self._connection.execute(query, lane).fetchone()
        return Mark(*row) if row else Mark(0, initial_digest(lane[1], lane[2]))

    def digest_at(self, lane: Lane, sequence: int) -> bytes | None:
        """The digest after `sequence`; none where no element held ends there."""
        if sequence == 0:
            return initial_digest(lane[1], lane[2])
        query = """SELECT digest FROM element
                   WHERE gateway_id = ? AND journal_epoch = ? AND lane = ? AND last_sequence = ?"""
        row = self._connection.execute(query, (*lane, sequence)).fetchone()
        return row and row[0]

    def append(self, lane: Lane, elements: list[Element]) -> list[tuple[bytes, bool]]:
        """Makes elements and the mark behind them durable together.

        The first must follow the mark. Returns for each the digest after it and whether its event was held already.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            digest = self.mark(lane).digest
            results = []
            for element in elements:
                digest = next_digest(digest, element.raw)
                self._connection.execute(
                    "INSERT INTO element VALUES (?, ?, ?, ?, ?)", (*lane, element.last_sequence, digest)
                )
                results.append((digest, not self._insert(lane, element)))
            self._connection.execute("COMMIT")
            return results
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _insert(self, lane: Lane, element: Element) -> bool:
        """Inserts an event unless its identity is held; says whether it did."""
        event = element.event
        # As text: an epoch takes all 64 bits, SQLite's integers are signed.
        key = (event.venue_id, event.device_id, str(event.device_epoch), identity(event))
        row = (*key, *lane, element.first_sequence, element.raw)
        return self._connection.execute("INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?,?,?)", row).rowcount == 1

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()
