//! Consumers of the journal: how far each has come, kept in slots that are overwritten in turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use venue_schema::{
    Digest, JournalEpoch, Sequence,
    v1::{GapCause, Lane},
};

use crate::{
    CursorSummary, Journal, PerLane,
    format::{
        CURSOR_SLOT_BYTES, CursorSlot, FileName, MAX_CURSOR_NAME_BYTES, MAX_RECEIVER_ID_BYTES, PAGE_BYTES, Unreadable,
    },
    gap::RangeLoss,
    interval::IntervalSet,
    journal::lock,
    storage::{Storage, StorageFile, UnreadPages, is_unreadable, read_exact},
    writer::{CommitError, WriteFailure, Writer},
};

/// Cursors that a journal can hold, over both lanes.
pub const MAX_CURSORS: usize = 128;
/// Marks are written down at most this often, and always before a segment goes.
pub const CURSOR_SYNC_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) const FILE_BYTES: u64 = MAX_CURSORS as u64 * 2 * CURSOR_SLOT_BYTES;
const PAGE: usize = PAGE_BYTES as usize;

/// Why a cursor is not given or not pinned.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The cursor belongs to another receiver.
    #[error(
        "cursor `{name}` belongs to receiver `{pinned}`, not `{found}`; name the new receiver in the configuration to start it at the oldest record"
    )]
    OtherReceiver {
        /// The cursor.
        name: String,
        /// The receiver that it belongs to.
        pinned: String,
        /// The receiver that was met.
        found: String,
    },
    /// All slots are taken by cursors that are required or whose handles are kept: [`Journal::release_cursor`].
    #[error("all {MAX_CURSORS} cursors are required or being used; release one whose consumer is gone")]
    TooMany,
    /// A name does not fit into a slot.
    #[error(
        "a cursor's name has 1 to {MAX_CURSOR_NAME_BYTES} bytes and a receiver's id at most {MAX_RECEIVER_ID_BYTES}, unlike `{0}`"
    )]
    BadName(String),
    /// Its consumer is here and uses it.
    #[error("the cursor `{0}` is being used")]
    InUse(String),
    /// None that counts has this name.
    #[error("no cursor that holds records back is called `{name}`{}", there_are(.others))]
    NoneSuch {
        /// The name.
        name: String,
        /// The names there are, in their order.
        others: Vec<String>,
    },
    /// The file of cursors could not be written.
    #[error("failed to write the file `cursors`: {0}")]
    Io(#[from] io::Error),
    /// What it can no longer read could not be declared.
    #[error("failed to declare what a new cursor cannot read any longer: {0}")]
    Declare(#[from] CommitError),
}

fn there_are(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}

/// One cursor, in memory.
#[derive(Debug)]
struct Entry {
    slot: CursorSlot,
    dirty: bool,
    /// Shared with the handles of the cursor, whose slot it stays while there are any.
    held: Arc<()>,
}

impl Entry {
    fn of(slot: CursorSlot, dirty: bool) -> Self {
        Self { slot, dirty, held: Arc::default() }
    }

    /// It holds nothing back, and nobody would notice that its place is another's.
    fn can_go(&self) -> bool {
        !self.slot.required && Arc::strong_count(&self.held) == 1
    }
}

/// All cursors and their file.
#[derive(Debug)]
pub(crate) struct CursorTable<F> {
    file: F,
    /// The file as it was last written in full and synced.
    written: Vec<u8>,
    entries: Vec<Option<Entry>>,
    last_sync: Option<Duration>,
}

/// What reading the file of cursors found.
#[derive(Debug)]
pub(crate) struct CursorsFound<F> {
    pub(crate) table: CursorTable<F>,
    /// Both slots of so many cursors were unreadable though something stood there, or may have stood where the disk cannot read.
    pub(crate) damaged_count: u64,
}

/// Reads the two slots of a cursor: the newer sound one, and whether something unreadable stands there.
fn read_pair(pair: &[u8]) -> Result<(Option<CursorSlot>, bool), Unreadable> {
    let mut best: Option<CursorSlot> = None;
    let mut damaged = false;
    for bytes in pair.chunks_exact(CURSOR_SLOT_BYTES as usize) {
        match CursorSlot::decode(bytes) {
            Ok(slot) if best.as_ref().is_none_or(|best| best.revision < slot.revision) => best = Some(slot),
            Ok(_) => {}
            Err(later @ Unreadable::Later(_)) => return Err(later),
            Err(Unreadable::Damaged) => damaged |= bytes.iter().any(|&byte| byte != 0),
        }
    }
    Ok((best, damaged))
}

/// All cursors in the bytes of the file, and how many are damaged beyond reading.
pub(crate) fn read_slots(bytes: &[u8]) -> Result<(Vec<Option<CursorSlot>>, u64), Unreadable> {
    let mut slots = Vec::new();
    let mut damaged_count = 0;
    for pair in bytes.chunks_exact(2 * CURSOR_SLOT_BYTES as usize) {
        let (slot, damaged) = read_pair(pair)?;
        damaged_count += u64::from(damaged && slot.is_none());
        // No cursor has an empty name.
        slots.push(slot.filter(|slot| !slot.name.is_empty()));
    }
    slots.resize(MAX_CURSORS, None);
    Ok((slots, damaged_count))
}

impl<F: StorageFile> CursorTable<F> {
    /// Opens the file of cursors, writing it where it is missing or too short, and over pages that cannot be read.
    pub(crate) fn open<S: Storage<File = F>>(
        storage: &S,
        unread: &mut UnreadPages,
    ) -> Result<CursorsFound<F>, (io::Error, Option<u32>)> {
        let plain = |error| (error, None);
        let mut bytes_unread = IntervalSet::default();
        let file = match storage.open(FileName::CURSORS) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                storage.create(FileName::CURSORS).map_err(plain)?
            }
            Err(error) if is_unreadable(&error) => {
                bytes_unread.insert_range(0, FILE_BYTES - 1);
                storage.remove(FileName::CURSORS).map_err(plain)?;
                storage.create(FileName::CURSORS).map_err(plain)?
            }
            Err(error) => return Err(plain(error)),
        };
        let size = file.size().map_err(plain)?;
        if size < FILE_BYTES {
            file.write_all_at(&vec![0; (FILE_BYTES - size) as usize], size).map_err(plain)?;
            file.sync_data().map_err(plain)?;
            storage.sync_directory().map_err(plain)?;
        }
        let mut bytes =
            read_exact(&file, 0, FILE_BYTES as usize, &mut bytes_unread).map_err(plain)?.unwrap_or_default();
        bytes.resize(FILE_BYTES as usize, 0);
        let (slots, damaged_count) = read_slots(&bytes).map_err(|unreadable| match unreadable {
            Unreadable::Later(version) => (io::ErrorKind::Unsupported.into(), Some(version)),
            Unreadable::Damaged => (io::ErrorKind::InvalidData.into(), None),
        })?;
        for &(first, last) in bytes_unread.intervals() {
            // Written whole, the page can be read again, and the next start has nothing to say of it.
            file.write_all_at(&vec![0; (last - first + 1) as usize], first).map_err(plain)?;
        }
        if !bytes_unread.is_empty() {
            file.sync_data().map_err(plain)?;
        }
        let unread_bytes: u64 = bytes_unread.intervals().iter().map(|(first, last)| last - first + 1).sum();
        let damaged_count = damaged_count + unread_bytes / (2 * CURSOR_SLOT_BYTES);
        unread.note(FileName::CURSORS, &bytes_unread);
        let entries = slots.into_iter().map(|slot| slot.map(|slot| Entry::of(slot, false))).collect();
        Ok(CursorsFound { table: Self { file, written: bytes, entries, last_sync: None }, damaged_count })
    }

    /// A table without cursors, that writes nothing.
    pub(crate) fn empty(file: F) -> Self {
        Self { file, written: Vec::new(), entries: Vec::new(), last_sync: None }
    }

    pub(crate) fn lowest_required(&self, lane: Lane) -> Option<Sequence> {
        self.slots().filter(|slot| slot.required && slot.lane == lane).map(|slot| slot.mark).min()
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &CursorSlot> {
        self.entries.iter().flatten().map(|entry| &entry.slot)
    }

    /// The highest mark of a lane in an epoch.
    pub(crate) fn highest_mark(&self, epoch: JournalEpoch, lane: Lane) -> Sequence {
        self.slots()
            .filter(|slot| slot.epoch == epoch && slot.lane == lane)
            .map(|slot| slot.mark)
            .max()
            .unwrap_or_default()
    }

    /// Sets every cursor to the beginning of an epoch.
    pub(crate) fn begin_epoch(&mut self, epoch: JournalEpoch) {
        for entry in self.entries.iter_mut().flatten() {
            if entry.slot.epoch != epoch {
                entry.slot.epoch = epoch;
                entry.slot.mark = Sequence::ZERO;
                entry.slot.digest = Digest::initial(epoch, entry.slot.lane);
                entry.dirty = true;
            }
        }
    }

    fn find(&self, name: &str, lane: Lane, receiver_id: Option<&str>) -> Option<usize> {
        let fits = |slot: &CursorSlot| {
            slot.name == name && slot.lane == lane && receiver_id.is_none_or(|id| slot.receiver_id == id)
        };
        let found =
            self.entries.iter().enumerate().filter(|(_, entry)| entry.as_ref().is_some_and(|entry| fits(&entry.slot)));
        // Where a receiver took over from another, the one that counts is required.
        found
            .max_by_key(|(index, entry)| (entry.as_ref().is_some_and(|entry| entry.slot.required), *index))
            .map(|(index, _)| index)
    }

    /// Where a new cursor of a name may stand: where none does, or else where one does that can go. One of the same name goes
    /// first, for another receiver has taken its part; of several, the first.
    fn place_for(&self, name: &str, lane: Lane) -> Option<usize> {
        let free = self.entries.iter().position(Option::is_none);
        let can_go = self.entries.iter().enumerate().filter(|(_, entry)| entry.as_ref().is_some_and(Entry::can_go));
        let is_other = |entry: &Option<Entry>| {
            entry.as_ref().is_none_or(|entry| entry.slot.name != name || entry.slot.lane != lane)
        };
        free.or_else(|| can_go.min_by_key(|(index, entry)| (is_other(entry), *index)).map(|(index, _)| index))
    }

    fn slot_mut(&mut self, index: usize) -> &mut CursorSlot {
        let entry = self.entries[index].as_mut().expect("a cursor's slot stays its own as long as it has a handle");
        entry.dirty = true;
        &mut entry.slot
    }

    fn entry(&self, index: usize) -> &Entry {
        self.entries[index].as_ref().expect("a cursor's slot stays its own as long as it has a handle")
    }

    /// Writes the pages of all cursors that changed, and syncs them. Whole pages: one that has gone bad is mapped to another place by
    /// that, while a slot alone could not be written into it.
    fn write_dirty(&mut self) -> io::Result<()> {
        let mut pages = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(entry) = entry.as_ref().filter(|entry| entry.dirty) else { continue };
            // Until the sync this is the slot that may be broken, however often it is tried; the other one is whole.
            let slot = CursorSlot { revision: entry.slot.revision + 1, ..entry.slot.clone() };
            let place = (2 * index + (slot.revision % 2) as usize) * CURSOR_SLOT_BYTES as usize;
            let (page, within) = (place / PAGE, place % PAGE);
            let bytes = pages.entry(page).or_insert_with(|| self.written[page * PAGE..][..PAGE].to_vec());
            bytes[within..within + CURSOR_SLOT_BYTES as usize].copy_from_slice(&slot.encode());
        }
        if pages.is_empty() {
            return Ok(());
        }
        for (page, bytes) in &pages {
            self.file.write_all_at(bytes, (page * PAGE) as u64)?;
        }
        self.file.sync_data()?;
        for (page, bytes) in pages {
            self.written[page * PAGE..][..PAGE].copy_from_slice(&bytes);
        }
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.dirty) {
            entry.slot.revision += 1;
            entry.dirty = false;
        }
        Ok(())
    }
}

/// A named consumer in one lane. Marks advance in memory and are written down by
/// [`Journal::sync_cursors`] and [`Journal::housekeep`].
#[derive(Debug)]
pub struct Cursor<S: Storage> {
    journal: Journal<S>,
    index: usize,
    /// Keeps the slot its own.
    held: Arc<()>,
}

impl<S: Storage> Clone for Cursor<S> {
    fn clone(&self) -> Self {
        Self { journal: self.journal.clone(), index: self.index, held: Arc::clone(&self.held) }
    }
}

impl<S: Storage> Cursor<S> {
    fn with<T>(&self, read: impl FnOnce(&CursorSlot) -> T) -> T {
        read(&lock(&self.journal.inner.cursors).entry(self.index).slot)
    }

    /// Everything up to this sequence is at the consumer; and the digest after it.
    pub fn mark(&self) -> (Sequence, Digest) {
        self.with(|slot| (slot.mark, slot.digest))
    }

    /// The lane that it reads.
    pub fn lane(&self) -> Lane {
        self.with(|slot| slot.lane)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.with(|slot| slot.name.clone())
    }

    /// The receiver it belongs to, once one is pinned.
    pub fn receiver_id(&self) -> Option<String> {
        self.with(|slot| Some(slot.receiver_id.clone()).filter(|id| !id.is_empty()))
    }

    /// Takes in that the consumer has everything up to `sequence`, with this digest after it.
    ///
    /// # Panics
    /// If the mark would go back, or past what is durable: callers check what a receiver says.
    pub fn advance(&self, sequence: Sequence, digest: Digest) {
        let mut table = lock(&self.journal.inner.cursors);
        let slot = table.slot_mut(self.index);
        let durable = self.journal.watermarks()[slot.lane];
        assert!(slot.mark <= sequence, "cursor `{}` is at {} and does not go back to {sequence}", slot.name, slot.mark);
        assert!(sequence <= durable, "cursor `{}` does not pass {durable}, the last durable, to {sequence}", slot.name);
        slot.mark = sequence;
        slot.digest = digest;
    }

    /// Ties the cursor to the receiver met first.
    ///
    /// # Errors
    /// [`CursorError::OtherReceiver`] if it is tied to another, [`CursorError::BadName`] if the id is too long.
    pub fn pin_receiver(&self, receiver_id: &str) -> Result<(), CursorError> {
        check_names("cursor", receiver_id)?;
        let mut table = lock(&self.journal.inner.cursors);
        let slot = table.slot_mut(self.index);
        if slot.receiver_id.is_empty() {
            receiver_id.clone_into(&mut slot.receiver_id);
        }
        if slot.receiver_id == receiver_id {
            return Ok(());
        }
        let (name, pinned) = (slot.name.clone(), slot.receiver_id.clone());
        Err(CursorError::OtherReceiver { name, pinned, found: receiver_id.to_owned() })
    }
}

fn check_names(name: &str, receiver_id: &str) -> Result<(), CursorError> {
    if name.is_empty() || name.len() > MAX_CURSOR_NAME_BYTES {
        return Err(CursorError::BadName(name.to_owned()));
    }
    if receiver_id.len() > MAX_RECEIVER_ID_BYTES {
        return Err(CursorError::BadName(receiver_id.to_owned()));
    }
    Ok(())
}

impl<S: Storage> Journal<S> {
    /// The cursor of a name in a lane, made at the beginning of the epoch if there is none. Retention asks
    /// it if `required`; what it lacks of what is no longer stored by then becomes a skipped range. With a `receiver_id` it is
    /// that receiver's: an unpinned one becomes its own, and where another receiver had the name, a new one is made in its stead
    /// and the other's no longer counts. Where all slots are taken, a cursor that is not required and has no handle is forgotten
    /// for it, one of the same name first.
    ///
    /// # Errors
    /// [`CursorError`], but for `OtherReceiver`.
    pub fn cursor(
        &self,
        name: &str,
        receiver_id: Option<&str>,
        lane: Lane,
        required: bool,
    ) -> Result<Cursor<S>, CursorError> {
        check_names(name, receiver_id.unwrap_or_default())?;
        // No segment goes, and nobody else asks for a cursor, until this one counts.
        let mut writer = lock(&self.inner.writer);
        let epoch = self.epoch();
        let find = |table: &CursorTable<S::File>| {
            let unpinned = || receiver_id.and_then(|_| table.find(name, lane, Some("")));
            table.find(name, lane, receiver_id).or_else(unpinned)
        };
        if required {
            let mark = {
                let table = lock(&self.inner.cursors);
                find(&table).and_then(|index| table.entries[index].as_ref()).map_or(Sequence::ZERO, |it| it.slot.mark)
            };
            self.declare_front(&mut writer, lane, mark)?;
        }
        let mut table = lock(&self.inner.cursors);
        let found = find(&table);
        let index = match found {
            Some(index) => index,
            None => table.place_for(name, lane).ok_or(CursorError::TooMany)?,
        };
        for slot in
            table.entries.iter_mut().flatten().filter(|entry| entry.slot.name == name && entry.slot.lane == lane)
        {
            // Whoever had the name before no longer holds records back.
            slot.dirty |= slot.slot.required;
            slot.slot.required = false;
        }
        if found.is_none() {
            let revision = table.entries[index].as_ref().map_or(0, |gone| gone.slot.revision);
            table.entries[index] = Some(Entry::of(CursorSlot { revision, ..fresh_slot(name, epoch, lane) }, true));
        }
        let slot = table.slot_mut(index);
        slot.required = required;
        if let Some(id) = receiver_id {
            id.clone_into(&mut slot.receiver_id);
        }
        let held = Arc::clone(&table.entry(index).held);
        table.write_dirty()?;
        Ok(Cursor { journal: self.clone(), index, held })
    }

    /// Declares what a cursor lacks that begins to count only now: it went by rule, and the next start would take it for lost. Where
    /// it cannot be written, it is declared once its receiver asks for it.
    fn declare_front(&self, writer: &mut Writer<S::File>, lane: Lane, mark: Sequence) -> Result<(), CommitError> {
        if writer.halted.is_some() {
            return Ok(());
        }
        match self.declare_gone(writer, lane, mark) {
            Ok(_) | Err(WriteFailure::NoSpace(_)) => Ok(()),
            Err(failure) => Err(self.fail(writer, failure)),
        }
    }

    /// Makes a skipped range of what is no longer stored behind a mark. Says how many sequences that are.
    fn declare_gone(&self, writer: &mut Writer<S::File>, lane: Lane, mark: Sequence) -> Result<u64, WriteFailure> {
        let first_retained = self.first_retained(lane);
        if mark.next() >= first_retained {
            return Ok(0);
        }
        self.declare(writer, lane, (mark.next(), first_retained.previous()), &RangeLoss::of(GapCause::ReceiverReset))
    }

    /// All cursors, in no order.
    pub fn cursors(&self) -> Vec<CursorSummary> {
        lock(&self.inner.cursors).slots().cloned().map(CursorSummary::from).collect()
    }

    /// Says that no cursor of this name counts any longer, in either lane; records that only it needed may go. Says how many of each lane
    /// it has not passed.
    ///
    /// # Errors
    /// [`CursorError`]: `InUse` if its consumer has a handle of it, `NoneSuch` if it holds nothing back, `Io`.
    pub fn release_cursor(&self, name: &str) -> Result<PerLane<u64>, CursorError> {
        let mut table = lock(&self.inner.cursors);
        let counts = |entry: &&mut Entry| entry.slot.required && entry.slot.name == name;
        let durable = self.watermarks();
        let mut waiting = PerLane::from_fn(|_| 0);
        let mut found = false;
        for entry in table.entries.iter_mut().flatten().filter(counts) {
            if Arc::strong_count(&entry.held) > 1 {
                return Err(CursorError::InUse(name.to_owned()));
            }
            found = true;
            waiting[entry.slot.lane] = durable[entry.slot.lane].0.saturating_sub(entry.slot.mark.0);
        }
        if !found {
            let required = table.slots().filter(|slot| slot.required).map(|slot| slot.name.clone());
            let others = required.collect::<BTreeSet<_>>().into_iter().collect();
            return Err(CursorError::NoneSuch { name: name.to_owned(), others });
        }
        for entry in table.entries.iter_mut().flatten().filter(counts) {
            entry.slot.required = false;
            entry.dirty = true;
        }
        table.write_dirty()?;
        Ok(waiting)
    }

    /// Writes the marks down, unless that was done less than [`CURSOR_SYNC_INTERVAL`] ago.
    ///
    /// # Errors
    /// Those of writing the file; marks then stand in memory and are written next time.
    pub fn sync_cursors(&self, now: Duration) -> io::Result<()> {
        let early = lock(&self.inner.cursors).last_sync.is_some_and(|last| now < last + CURSOR_SYNC_INTERVAL);
        if early { Ok(()) } else { self.sync_cursors_now(now) }
    }

    pub(crate) fn sync_cursors_now(&self, now: Duration) -> io::Result<()> {
        let mut table = lock(&self.inner.cursors);
        table.last_sync = Some(now);
        table.write_dirty()
    }

    /// Sets a cursor back to what its receiver says it holds, lower than the cursor's mark. What is
    /// no longer stored from there on becomes a skipped range. Says how many sequences that are.
    ///
    /// # Errors
    /// [`CommitError`]: skipped ranges are durable before anything is sent.
    ///
    /// # Panics
    /// If `mark` is higher than the cursor's: such a receiver has not been reset.
    pub fn receiver_reset(&self, cursor: &Cursor<S>, mark: Sequence, digest: Digest) -> Result<u64, CommitError> {
        let lane = cursor.lane();
        let mut writer = lock(&self.inner.writer);
        writer.check_running()?;
        let lost = self.declare_gone(&mut writer, lane, mark).map_err(|failure| self.fail(&mut writer, failure))?;
        let mut table = lock(&self.inner.cursors);
        let slot = table.slot_mut(cursor.index);
        assert!(mark <= slot.mark, "a receiver that is ahead of its cursor has not been reset");
        slot.mark = mark;
        slot.digest = digest;
        Ok(lost)
    }
}

fn fresh_slot(name: &str, epoch: JournalEpoch, lane: Lane) -> CursorSlot {
    CursorSlot {
        revision: 0,
        epoch,
        lane,
        required: false,
        mark: Sequence::ZERO,
        digest: Digest::initial(epoch, lane),
        name: name.to_owned(),
        receiver_id: String::new(),
    }
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(CURSOR_SLOT_BYTES), "a slot never spans two pages");
