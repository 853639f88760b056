-- What `venue-sim cloud --store sqlite:FILE` keeps. Written in one transaction: events, mark, digest.

-- The name of this store; one row.
CREATE TABLE IF NOT EXISTS receiver (
  only        INTEGER PRIMARY KEY CHECK (only = 1),
  receiver_id TEXT NOT NULL
);

-- A lane of a journal of a gateway, with its mark. lane: 1 results, 2 telemetry.
CREATE TABLE IF NOT EXISTS lane (
  lane_id       INTEGER PRIMARY KEY,
  gateway_id    TEXT NOT NULL,
  journal_epoch BLOB NOT NULL,
  lane          INTEGER NOT NULL,
  sequence      INTEGER NOT NULL,
  digest        BLOB NOT NULL,
  UNIQUE (gateway_id, journal_epoch, lane)
);

-- Every mark that a lane has had.
CREATE TABLE IF NOT EXISTS mark (
  lane_id  INTEGER NOT NULL REFERENCES lane,
  sequence INTEGER NOT NULL,
  digest   BLOB NOT NULL,
  PRIMARY KEY (lane_id, sequence)
) WITHOUT ROWID;

-- Journals that a successor has replaced.
CREATE TABLE IF NOT EXISTS closed_epoch (
  gateway_id    TEXT NOT NULL,
  journal_epoch BLOB NOT NULL,
  PRIMARY KEY (gateway_id, journal_epoch)
) WITHOUT ROWID;

-- Stored events; `event_row` counts in the order of arrival. `bytes` is a serialized venue.v1.Event. `identity` is
-- `sequence N`, `key K TEXT` or `origin GATEWAY EPOCH LANE SEQUENCE`, and `gap …` for one that stands for a skipped
-- range; NULL where the bytes say none. device_epoch: the 64 bits as a signed number.
CREATE TABLE IF NOT EXISTS event (
  event_row      INTEGER PRIMARY KEY AUTOINCREMENT,
  lane_id        INTEGER NOT NULL REFERENCES lane,
  first_sequence INTEGER NOT NULL,
  sequence       INTEGER NOT NULL,
  gap            INTEGER NOT NULL,
  venue_id       TEXT NOT NULL,
  device_id      TEXT NOT NULL,
  device_epoch   INTEGER NOT NULL,
  identity       TEXT,
  bytes          BLOB NOT NULL,
  arrived_utc_ns INTEGER NOT NULL,
  UNIQUE (venue_id, device_id, device_epoch, identity)
);

CREATE INDEX IF NOT EXISTS event_by_lane ON event (lane_id, sequence);
