//! The disk as the journal sees it: one flat directory behind a small synchronous trait.

use std::io;

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

/// Reads exactly `bytes` bytes from `offset` on, or none where the file is shorter.
pub(crate) fn read_exact<F: StorageFile>(file: &F, offset: u64, bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; bytes];
    let got = file.read_at(&mut buffer, offset)?;
    Ok((got == bytes).then_some(buffer))
}
