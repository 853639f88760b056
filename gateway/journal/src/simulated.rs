//! A disk in memory that fails as disks do: the ground that journals of the simulated world stand on.
//!
//! It tells what was synced from what was only written, page by page. A power cut keeps any subset of unsynced
//! pages, and unsynced creations, renames and removals may or may not survive. It can be full, fail an operation,
//! lose pages in a failed sync while reads still return them from the cache, rot, and have sectors that cannot be read. Every write, sync and change of
//! names is counted, so that a test can cut a scenario at each of them.
//!
//! ```
//! use venue_journal::{Storage, StorageFile, simulated::MemoryStorage};
//!
//! let disk = MemoryStorage::new();
//! let file = disk.create("a").unwrap();
//! disk.sync_directory().unwrap();
//! file.write_all_at(b"kept", 0).unwrap();
//! file.sync_data().unwrap();
//! disk.cut_power();
//! assert!(file.write_all_at(b"lost", 0).is_err());
//! disk.restart(7);
//! let mut bytes = [0; 4];
//! disk.open("a").unwrap().read_at(&mut bytes, 0).unwrap();
//! assert_eq!(&bytes, b"kept");
//! ```

mod disk;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

pub use disk::Fault;
use disk::{Disk, FileId};

use crate::storage::{Storage, StorageFile};

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    disk: Arc<Mutex<Disk>>,
}

/// An open file of a [`MemoryStorage`]. It fails once the process that opened it is gone.
#[derive(Debug)]
pub struct MemoryFile {
    disk: Arc<Mutex<Disk>>,
    file: FileId,
    process: u64,
    writable: bool,
}

/// Holds a [`MemoryStorage`] for one process.
#[derive(Debug)]
pub struct MemoryLock {
    disk: Arc<Mutex<Disk>>,
    process: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        held(&self.disk).unlock(self.process);
    }
}

fn held(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().expect("no thread panics while it holds the simulated disk")
}

impl MemoryStorage {
    /// An empty disk without bounds and faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes, syncs and changes of names so far.
    pub fn operations(&self) -> u64 {
        held(&self.disk).operations
    }

    /// Bytes that were read so far.
    pub fn bytes_read(&self) -> u64 {
        held(&self.disk).bytes_read
    }

    /// Cuts the power in the middle of the `operation`-th operation from the beginning, counted from 1.
    pub fn cut_power_at(&self, operation: u64) {
        held(&self.disk).cut_at = Some(operation);
    }

    /// Cuts the power now: everything fails until [`restart`](Self::restart).
    pub fn cut_power(&self) {
        held(&self.disk).powered = false;
    }

    /// Whether the power is on.
    pub fn is_powered(&self) -> bool {
        held(&self.disk).powered
    }

    /// Starts the machine again. Of what was not synced, a subset drawn from `seed` is kept. Also
    /// forgets faults that were planned.
    pub fn restart(&self, seed: u64) {
        held(&self.disk).restart(seed);
    }

    /// Ends the process: its files fail from now on, and the cache stays. Also forgets faults that were planned.
    pub fn kill(&self) {
        held(&self.disk).kill();
    }

    /// Bounds the sum of all files, bytes; none takes the bound away.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        held(&self.disk).capacity = bytes;
    }

    /// Lets the `operation`-th operation from the beginning fail, counted from 1.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        held(&self.disk).faults.push((operation, fault));
    }

    /// Flips one bit of a file, in the cache and on disk.
    ///
    /// # Panics
    /// If there is no such file or no such byte.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        held(&self.disk).flip_bit(name, offset, bit);
    }

    /// Pages of 4096 bytes that hold any of these bytes of a file cannot be read from now on: reading them is EIO, after a restart
    /// as well, until they are written whole, which maps them to other sectors; writing them in part is EIO.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn unreadable(&self, name: &str, first_byte: u64, last_byte: u64) {
        held(&self.disk).unreadable(name, first_byte, last_byte);
    }

    /// A file cannot be opened from now on, which is EIO. It can be renamed and removed.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn unopenable(&self, name: &str) {
        held(&self.disk).unopenable(name);
    }

    /// All that could not be read or opened can be again, as on a disk that was unplugged for a while.
    pub fn readable_again(&self) {
        held(&self.disk).readable_again();
    }

    /// The bytes of a file as a reader sees them; none if there is no such file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        held(&self.disk).contents(name)
    }

    /// Puts bytes into a file, durably and uncounted, creating it where it is missing.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        held(&self.disk).put(name, bytes);
    }

    /// Another disk with the same contents, as it would be after [`kill`](Self::kill): to try many things from one state.
    pub fn copy(&self) -> Self {
        let copy = Self { disk: Arc::new(Mutex::new(held(&self.disk).clone())) };
        copy.kill();
        copy
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        held(&self.disk).used_bytes()
    }

    fn file(&self, name: &str, writable: bool) -> io::Result<MemoryFile> {
        let disk = held(&self.disk);
        disk.check_power()?;
        let file = disk.find(name)?;
        disk.check_openable(file)?;
        Ok(MemoryFile { disk: Arc::clone(&self.disk), file, process: disk.process, writable })
    }
}

impl Storage for MemoryStorage {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn list(&self) -> io::Result<Vec<String>> {
        let disk = held(&self.disk);
        disk.check_power()?;
        Ok(disk.names())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        held(&self.disk).create(name)?;
        self.file(name, true)
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.file(name, true)
    }

    fn open_read_only(&self, name: &str) -> io::Result<MemoryFile> {
        self.file(name, false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        held(&self.disk).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        held(&self.disk).remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        held(&self.disk).sync_directory()
    }

    fn lock(&self) -> io::Result<Option<MemoryLock>> {
        let process = held(&self.disk).lock()?;
        Ok(process.map(|process| MemoryLock { disk: Arc::clone(&self.disk), process }))
    }
}

impl MemoryFile {
    fn held(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = held(&self.disk);
        disk.check_power()?;
        if disk.process == self.process {
            Ok(disk)
        } else {
            Err(io::Error::other("the process that opened the file is gone"))
        }
    }
}

impl StorageFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.held()?;
        disk.read(self.file, buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.held()?.write(self.file, data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.held()?.sync(self.file)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.held()?.size(self.file))
    }
}
