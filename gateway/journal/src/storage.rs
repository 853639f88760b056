//! The disk as the journal sees it: one flat directory behind a small synchronous trait.
//!
//! # What cannot be read
//!
//! A bad sector is no reason not to start, nor to stop. Its page reads as zeros, with which no structure
//! begins, so that it is treated as rot in that place is, and [`UnreadPages`] remembers where it was, for people.
//!
//! A disk that is gone for a moment must not be taken for one with bad sectors, or a whole backlog would be set aside.
//! The kernel says EIO only after it has tried for seconds; a page is tried twice more here, and:
//!
//! - opening fails, having written nothing, where not one page of any segment can be read, whatever the cache still
//!   knows of `meta`; and where there are segments and nothing says whose they are. What starts the process tries
//!   again. To begin a new journal there would free the files of the old one to be written over. That
//!   there is a journal, all of whose segments are bad to the last page on a disk that otherwise works, is not believed.
//! - nothing is set aside before a record that says so is durable, which a disk that is gone does not let pass.
//! - the files of segments that could not be read are left alone.

use std::{collections::BTreeMap, io};

use crate::{format::PAGE_BYTES, interval::IntervalSet};

/// One flat directory of files.
///
/// What a call changed survives a power cut only after the matching sync:
/// contents after [`StorageFile::sync_data`], names after
/// [`sync_directory`](Self::sync_directory).
pub trait Storage: Send + Sync + 'static {
    /// An open file.
    type File: StorageFile;
    /// Holds the directory for one process until dropped.
    type Lock: Send + Sync + 'static;

    /// Names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file for reading and writing; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading only.
    fn open_read_only(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name, replacing a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Takes the directory for this process; none if another holds it.
    fn lock(&self) -> io::Result<Option<Self::Lock>>;
}

/// A file that is read and written by position.
pub trait StorageFile: Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes from `offset` on; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data` at `offset`, growing the file where needed.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all that was written durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Whether an error says that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A page is read so many times more before it counts as unreadable.
const READ_AGAIN: usize = 2;

/// Whether an error says that the medium, or the file system's own check, does not give the bytes back.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    // Linux: EIO, ENODATA, EBADMSG, EILSEQ, EUCLEAN, EREMOTEIO.
    matches!(error.raw_os_error(), Some(5 | 61 | 74 | 84 | 117 | 121))
}

/// Pages that could not be read, by file.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnreadPages(BTreeMap<String, IntervalSet>);

impl UnreadPages {
    /// Remembers bytes of a file that could not be read.
    pub(crate) fn note(&mut self, name: impl ToString, bytes: &IntervalSet) {
        if !bytes.is_empty() {
            let of_file = self.0.entry(name.to_string()).or_default();
            bytes.intervals().iter().for_each(|&(first, last)| of_file.insert_range(first, last));
        }
    }

    /// The bytes of a file that could not be read.
    pub(crate) fn of(&self, name: impl ToString) -> IntervalSet {
        self.0.get(&name.to_string()).cloned().unwrap_or_default()
    }

    /// A file, and its first and last byte that could not be read in a row.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.0
            .iter()
            .flat_map(|(name, bytes)| bytes.intervals().iter().map(move |&(first, last)| (name.as_str(), first, last)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads as [`StorageFile::read_at`] does, over pages that cannot be read; these are noted by their first and last byte.
pub(crate) fn read_over<F: StorageFile>(
    file: &F,
    buffer: &mut [u8],
    offset: u64,
    unread: &mut IntervalSet,
) -> io::Result<usize> {
    match file.read_at(buffer, offset) {
        Err(error) if is_unreadable(&error) => {}
        read => return read,
    }
    let mut done = 0;
    while done < buffer.len() {
        let at = offset + done as u64;
        let bytes = ((PAGE_BYTES - at % PAGE_BYTES) as usize).min(buffer.len() - done);
        let page = &mut buffer[done..done + bytes];
        done +=
            match (0..READ_AGAIN).map(|_| file.read_at(page, at)).find(|read| !read.as_ref().is_err_and(is_unreadable))
            {
                Some(read) => {
                    let got = read?;
                    if got < bytes {
                        return Ok(done + got);
                    }
                    got
                }
                None => {
                    page.fill(0);
                    unread.insert_range(at, at + bytes as u64 - 1);
                    bytes
                }
            };
    }
    Ok(done)
}

/// Reads exactly `bytes` bytes from `offset` on, over pages that cannot be read, or none where the file is shorter.
pub(crate) fn read_exact<F: StorageFile>(
    file: &F,
    offset: u64,
    bytes: usize,
    unread: &mut IntervalSet,
) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; bytes];
    let got = read_over(file, &mut buffer, offset, unread)?;
    Ok((got == bytes).then_some(buffer))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::simulated::{MemoryFile, MemoryStorage};

    fn file_of(bytes: &[u8]) -> (MemoryStorage, MemoryFile) {
        let disk = MemoryStorage::new();
        disk.put("a", bytes);
        let file = disk.open("a").unwrap();
        (disk, file)
    }

    /// What can be read is read, from and to anywhere; the rest is told, and reads as zeros.
    #[test]
    fn a_page_that_cannot_be_read_is_passed_over() {
        let (disk, file) = file_of(&[7; 10_000]);
        disk.unreadable("a", 5_000, 5_000);
        let (mut buffer, mut unread) = (vec![0; 20_000], IntervalSet::default());
        assert_eq!(read_over(&file, &mut buffer, 100, &mut unread).unwrap(), 9_900);
        assert_eq!(unread.intervals(), [(4096, 8191)]);
        assert_eq!(buffer[..3996], [7; 3996]);
        assert_eq!(buffer[3996..8092], [0; 4096]);
        assert_eq!(buffer[8092..9_900], [7; 1808]);
    }

    /// Fails so many reads.
    struct Flaky(MemoryFile, AtomicU32);

    impl StorageFile for Flaky {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let left = self.1.load(Ordering::Relaxed);
            self.1.store(left.saturating_sub(1), Ordering::Relaxed);
            if left > 0 { Err(io::Error::from_raw_os_error(5)) } else { self.0.read_at(buffer, offset) }
        }

        fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(data, offset)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
    }

    /// A failure that passes costs nothing.
    #[test]
    fn a_page_is_read_again_before_it_counts_as_unreadable() {
        for (failures, lost) in [(READ_AGAIN as u32, false), (READ_AGAIN as u32 + 1, true)] {
            let (_disk, file) = file_of(&[7; 100]);
            let mut unread = IntervalSet::default();
            let bytes = read_exact(&Flaky(file, AtomicU32::new(failures)), 0, 100, &mut unread).unwrap().unwrap();
            assert_eq!((bytes == [7; 100], unread.is_empty()), (!lost, !lost), "{failures} failures");
        }
    }

    /// A power failure, a missing file and a full disk say nothing of the medium.
    #[test]
    fn other_errors_are_passed_on() {
        let (disk, file) = file_of(&[7; 100]);
        disk.cut_power();
        assert!(read_exact(&file, 0, 100, &mut IntervalSet::default()).is_err());
        for errno in [2, 12, 13, 24, 28] {
            assert!(!is_unreadable(&io::Error::from_raw_os_error(errno)));
        }
    }
}
