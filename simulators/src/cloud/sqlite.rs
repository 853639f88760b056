//! The store in an SQLite file; its tables are in `schema.sql`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use venue_delivery::Mark;
use venue_delivery::receiver::{
    Append, Appended, Element, ElementKind, Identity, Key, LaneKey, LaneRecord, Store, StoreFault,
};
use venue_schema::{Digest, GatewayId, JournalEpoch, Sequence, v1};

use super::stored::StoredEvent;

/// Why a file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// SQLite.
    #[error("open the store {file}: {cause}; does its directory exist, and may this user write there?")]
    Open {
        /// The file.
        file: String,
        /// Why.
        cause: rusqlite::Error,
    },
    /// The file is the store of another receiver.
    #[error("{file} is the store of receiver `{held}`; name that one, or another file")]
    OtherReceiver {
        /// The file.
        file: String,
        /// Whose it is.
        held: String,
    },
}

/// A store in an SQLite file. An append is durable when it returns.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: Connection,
    arrival_utc_ns: i64,
    /// Whether an identity is stored once; a cloud that does not is broken on purpose.
    merges: bool,
}

impl SqliteStore {
    pub(super) fn open(file: &Path, receiver_id: &str) -> Result<Self, SqliteError> {
        let name = || file.display().to_string();
        let connection = prepare(file).map_err(|cause| SqliteError::Open { file: name(), cause })?;
        let held = pin(&connection, receiver_id).map_err(|cause| SqliteError::Open { file: name(), cause })?;
        if held != receiver_id {
            return Err(SqliteError::OtherReceiver { file: name(), held });
        }
        Ok(Self { connection, arrival_utc_ns: 0, merges: true })
    }

    pub(super) fn set_merges(&mut self, merges: bool) {
        self.merges = merges;
    }

    pub(super) fn set_arrival(&mut self, utc_ns: i64) {
        self.arrival_utc_ns = utc_ns;
    }

    pub(super) fn marks(&mut self) -> Result<Vec<(LaneKey, Mark)>, StoreFault> {
        let read = |connection: &Connection| {
            let mut query = connection.prepare_cached(
                "SELECT gateway_id, journal_epoch, lane, sequence, digest FROM lane ORDER BY lane_id",
            )?;
            query.query_map([], |row| Ok(lane_key(row)?.zip(mark(row, 3)?)))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(read(&self.connection).map_err(unavailable)?.into_iter().flatten().collect())
    }

    pub(super) fn events(&mut self, after_row: u64, most: usize) -> Result<Vec<StoredEvent>, StoreFault> {
        let read = |connection: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut query = connection.prepare_cached(
                "SELECT gateway_id, journal_epoch, lane, event_row, first_sequence, event.sequence, gap, bytes,
                        arrived_utc_ns
                 FROM event JOIN lane USING (lane_id) WHERE event_row > ? ORDER BY event_row LIMIT ?",
            )?;
            query
                .query_map(params![signed(after_row), i64::try_from(most).unwrap_or(i64::MAX)], stored_event)?
                .collect()
        };
        read(&self.connection).map_err(unavailable)
    }

    pub(super) fn forget_all(&mut self) -> Result<(), StoreFault> {
        let tables = "DELETE FROM event; DELETE FROM mark; DELETE FROM closed_epoch; DELETE FROM lane;";
        self.in_transaction(|transaction| transaction.execute_batch(tables))
    }

    /// Sets each lane back to its latest mark that is at least `count` below.
    pub(super) fn forget_last(&mut self, count: u64) -> Result<(), StoreFault> {
        self.in_transaction(|transaction| {
            transaction.execute(
                "DELETE FROM mark WHERE sequence > (SELECT lane.sequence FROM lane WHERE lane.lane_id = mark.lane_id) - ?",
                [signed(count)],
            )?;
            transaction.execute_batch(
                "DELETE FROM event WHERE sequence >
                   coalesce((SELECT max(mark.sequence) FROM mark WHERE mark.lane_id = event.lane_id), 0);
                 DELETE FROM lane WHERE lane_id NOT IN (SELECT lane_id FROM mark);
                 UPDATE lane SET (sequence, digest) =
                   (SELECT sequence, digest FROM mark WHERE mark.lane_id = lane.lane_id ORDER BY sequence DESC LIMIT 1);",
            )
        })
    }

    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreFault> {
        let transaction = self.connection.transaction().map_err(unavailable)?;
        let done = work(&transaction).map_err(unavailable)?;
        transaction.commit().map_err(unavailable)?;
        Ok(done)
    }
}

fn prepare(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit returns when the log is on disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(include_str!("schema.sql"))?;
    Ok(connection)
}

/// Writes the receiver's name into a new store, and returns the one that is there.
fn pin(connection: &Connection, receiver_id: &str) -> rusqlite::Result<String> {
    connection.execute("INSERT OR IGNORE INTO receiver VALUES (1, ?)", [receiver_id])?;
    connection.query_row("SELECT receiver_id FROM receiver", [], |row| row.get(0))
}

impl Store for SqliteStore {
    fn lane(&mut self, lane: &LaneKey) -> Result<LaneRecord, StoreFault> {
        let mark = held(&self.connection, lane).map_err(unavailable)?.map(|(_, mark)| mark);
        let closed = self
            .connection
            .prepare_cached("SELECT 1 FROM closed_epoch WHERE gateway_id = ? AND journal_epoch = ?")
            .and_then(|mut query| query.exists(params![lane.gateway_id.as_str(), lane.journal_epoch.as_bytes()]))
            .map_err(unavailable)?;
        Ok(LaneRecord { mark, closed })
    }

    fn close_epochs(&mut self, gateway_id: &GatewayId, epochs: &[JournalEpoch]) -> Result<(), StoreFault> {
        self.in_transaction(|transaction| {
            for epoch in epochs {
                transaction.execute(
                    "INSERT OR IGNORE INTO closed_epoch VALUES (?, ?)",
                    params![gateway_id.as_str(), epoch.as_bytes()],
                )?;
            }
            Ok(())
        })
    }

    fn append(&mut self, appends: &[Append<'_>]) -> Result<Appended, StoreFault> {
        let how = How { arrival_utc_ns: self.arrival_utc_ns, merges: self.merges };
        let transaction = self.connection.transaction().map_err(unavailable)?;
        let mut appended = Appended::default();
        for append in appends {
            appended += append_lane(&transaction, append, how)?;
        }
        transaction.commit().map_err(unavailable)?;
        Ok(appended)
    }
}

/// What holds for every element of a transaction.
#[derive(Debug, Clone, Copy)]
struct How {
    arrival_utc_ns: i64,
    merges: bool,
}

fn append_lane(transaction: &Transaction<'_>, append: &Append<'_>, how: How) -> Result<Appended, StoreFault> {
    let held = held(transaction, append.lane).map_err(unavailable)?;
    if held.map_or_else(|| append.lane.initial_mark(), |(_, mark)| mark) != append.before {
        return Err(StoreFault::MarkMoved(append.lane.clone()));
    }
    let write = || {
        let lane_id = set_mark(transaction, append.lane, append.after)?;
        let mut appended = Appended::default();
        for element in append.elements {
            let stored = insert(transaction, lane_id, append.lane, element, how)?;
            appended.stored += u64::from(stored);
            appended.seen_again += u64::from(!stored);
        }
        Ok(appended)
    };
    write().map_err(unavailable)
}

/// The row of a lane and its mark.
fn held(connection: &Connection, lane: &LaneKey) -> rusqlite::Result<Option<(i64, Mark)>> {
    let mut query = connection.prepare_cached(
        "SELECT lane_id, sequence, digest FROM lane WHERE gateway_id = ? AND journal_epoch = ? AND lane = ?",
    )?;
    let key = params![lane.gateway_id.as_str(), lane.journal_epoch.as_bytes(), lane.lane() as i32];
    let found = query.query_row(key, |row| Ok((row.get(0)?, mark(row, 1)?))).optional()?;
    Ok(found.and_then(|(lane_id, mark)| Some((lane_id, mark?))))
}

fn set_mark(transaction: &Transaction<'_>, lane: &LaneKey, mark: Mark) -> rusqlite::Result<i64> {
    let (sequence, digest) = (signed(mark.sequence.0), mark.digest.as_bytes());
    let lane_id: i64 = transaction
        .prepare_cached(
            "INSERT INTO lane (gateway_id, journal_epoch, lane, sequence, digest) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest RETURNING lane_id",
        )?
        .query_row(
            params![lane.gateway_id.as_str(), lane.journal_epoch.as_bytes(), lane.lane() as i32, sequence, digest],
            |row| row.get(0),
        )?;
    transaction.prepare_cached("INSERT INTO mark VALUES (?, ?, ?)")?.execute(params![lane_id, sequence, digest])?;
    Ok(lane_id)
}

/// Inserts an element; false if its identity is held.
fn insert(
    transaction: &Transaction<'_>,
    lane_id: i64,
    lane: &LaneKey,
    element: &Element,
    how: How,
) -> rusqlite::Result<bool> {
    let identity = Identity::parse(&element.bytes).unwrap_or_default();
    let gap = element.kind == ElementKind::Gap;
    let key = if gap { Some(gap_text(lane, element)) } else { key_text(&identity) };
    let key = key.filter(|_| how.merges);
    let mut insert = transaction.prepare_cached(
        "INSERT OR IGNORE INTO event (lane_id, first_sequence, sequence, gap, venue_id, device_id, device_epoch,
                                      identity, bytes, arrived_utc_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let rows = insert.execute(params![
        lane_id,
        signed(element.first.0),
        signed(element.last.0),
        gap,
        text(identity.venue_id),
        text(identity.device_id),
        signed(identity.device_epoch),
        key,
        &element.bytes[..],
        how.arrival_utc_ns,
    ])?;
    Ok(rows == 1)
}

/// What makes an event the same when it comes again; none where its bytes say none.
fn key_text(identity: &Identity<'_>) -> Option<String> {
    match (identity.key, identity.origin) {
        (Key::Sequence(number), _) => Some(format!("sequence {number}")),
        (Key::Content { key, occurrence }, _) => Some(format!("key {occurrence} {}", text(key))),
        (Key::Origin, Some(origin)) => Some(format!(
            "origin {} {} {} {}",
            text(origin.gateway_id),
            hex(origin.journal_epoch),
            origin.lane,
            origin.sequence
        )),
        (Key::Origin, None) => None,
    }
}

fn gap_text(lane: &LaneKey, element: &Element) -> String {
    let number = lane.lane() as i32;
    format!("gap {} {} {number} {} {}", lane.gateway_id, lane.journal_epoch, element.first, element.last)
}

/// Text as it is; what is no UTF-8, and so breaks the contract, in hex behind a mark.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| format!("\u{fffd}{}", hex(bytes)), str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SQLite's integers are signed: the same 64 bits.
const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A lane from columns 0 to 2; none if another program wrote nonsense there.
fn lane_key(row: &Row<'_>) -> rusqlite::Result<Option<LaneKey>> {
    let (gateway, epoch, lane): (String, Vec<u8>, i32) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let parts = GatewayId::new(&gateway).ok().zip(JournalEpoch::from_slice(&epoch).ok());
    Ok(parts.zip(v1::Lane::try_from(lane).ok()).map(|((gateway, epoch), lane)| LaneKey::new(gateway, epoch, lane)))
}

/// A mark from two columns.
fn mark(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Mark>> {
    let (sequence, digest): (i64, Vec<u8>) = (row.get(column)?, row.get(column + 1)?);
    Ok(Digest::from_slice(&digest).map(|digest| Mark { sequence: Sequence(sequence.cast_unsigned()), digest }))
}

fn stored_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(StoredEvent {
        row: number(3)?,
        gateway_id: row.get(0)?,
        journal_epoch: row.get(1)?,
        lane: v1::Lane::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
        first_sequence: number(4)?,
        sequence: number(5)?,
        gap: row.get(6)?,
        bytes: row.get::<_, Vec<u8>>(7)?.into(),
        arrived_utc_ns: row.get(8)?,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn unavailable(error: rusqlite::Error) -> StoreFault {
    StoreFault::Unavailable(error.to_string())
}
