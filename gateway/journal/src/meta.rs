//! The file `meta`: whose journal this is, in two slots that are overwritten in turn.

use std::io;

use crate::{
    format::{FileName, META_SLOT_BYTES, MetaSlot, Unreadable},
    interval::IntervalSet,
    storage::{Storage, StorageFile, UnreadPages, is_unreadable, read_exact},
};

/// The open file and what it says.
#[derive(Debug)]
pub(crate) struct Meta<F> {
    file: F,
    pub(crate) slot: MetaSlot,
}

/// The newer sound slot in the bytes of the file; none if both are damaged.
pub(crate) fn newest_slot(bytes: &[u8]) -> Result<Option<MetaSlot>, u32> {
    let mut best: Option<MetaSlot> = None;
    for page in bytes.chunks_exact(META_SLOT_BYTES as usize) {
        match MetaSlot::decode(page) {
            Ok(slot) if best.as_ref().is_none_or(|best| best.revision < slot.revision) => best = Some(slot),
            Ok(_) | Err(Unreadable::Damaged) => {}
            Err(Unreadable::Later(version)) => return Err(version),
        }
    }
    Ok(best)
}

/// The bytes of the file, or none if there is no such file.
pub(crate) fn read<S: Storage>(storage: &S, unread: &mut UnreadPages) -> io::Result<Option<Vec<u8>>> {
    let mut bytes_unread = IntervalSet::default();
    let bytes = match storage.open_read_only(FileName::META) {
        Ok(file) => {
            let bytes = file.size()?.min(2 * META_SLOT_BYTES) as usize;
            read_exact(&file, 0, bytes, &mut bytes_unread)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_unreadable(&error) => {
            bytes_unread.insert_range(0, 2 * META_SLOT_BYTES - 1);
            None
        }
        Err(error) => return Err(error),
    };
    unread.note(FileName::META, &bytes_unread);
    Ok(Some(bytes.unwrap_or_default()))
}

impl<F: StorageFile> Meta<F> {
    /// Opens the file, creating it where it is missing, without changing what it says.
    pub(crate) fn open<S: Storage<File = F>>(storage: &S, slot: MetaSlot) -> io::Result<Self> {
        let file = match storage.open(FileName::META) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create(FileName::META)?,
            Err(error) => return Err(error),
        };
        Ok(Self { file, slot })
    }

    /// Writes what the journal is from now on, durably, over the older slot.
    pub(crate) fn write(&mut self, mut slot: MetaSlot) -> io::Result<()> {
        slot.revision = self.slot.revision + 1;
        self.file.write_all_at(&slot.encode(), slot.revision % 2 * META_SLOT_BYTES)?;
        self.file.sync_data()?;
        self.slot = slot;
        Ok(())
    }
}
