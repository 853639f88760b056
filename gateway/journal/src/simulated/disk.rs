//! State of the simulated disk: a cache of pages over durable pages, and names in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// Size of a page, bytes: written whole or not at all.
const PAGE: u64 = 4096;

/// What an operation does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing.
    Refused,
    /// A write fails after it has changed part of the cache.
    Partial,
    /// A sync fails and drops what it should have written: reads still return it, and no later sync writes it.
    Dropped,
}

/// A file, whatever its names.
pub(super) type FileId = usize;

type Pages = BTreeMap<u64, Box<[u8; PAGE as usize]>>;

#[derive(Debug, Clone, Default)]
struct File {
    cached: Pages,
    cached_size: u64,
    durable: Pages,
    durable_size: u64,
    dirty: BTreeSet<u64>,
    /// Pages that the medium cannot read.
    unreadable: BTreeSet<u64>,
    /// Nor can the file itself be opened.
    unopenable: bool,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum NameChange {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Clone)]
pub(super) struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    changes: Vec<NameChange>,
    pub(super) operations: u64,
    pub(super) bytes_read: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) faults: Vec<(u64, Fault)>,
    pub(super) capacity: Option<u64>,
    pub(super) powered: bool,
    /// Rises when a process ends, so that its files fail.
    pub(super) process: u64,
    locked_by: Option<u64>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            operations: 0,
            bytes_read: 0,
            cut_at: None,
            faults: Vec::new(),
            capacity: None,
            powered: true,
            process: 1,
            locked_by: None,
        }
    }
}

/// SplitMix64: numbers drawn from a seed, the same on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}

impl Disk {
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Counts an operation: it goes ahead, fails with a fault, or the power goes in its midst.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        self.operations += 1;
        if self.cut_at == Some(self.operations) {
            self.powered = false;
        }
        let now = self.operations;
        Ok(self.faults.iter().find(|(at, _)| *at == now).map(|(_, fault)| *fault))
    }

    fn finish(&self) -> io::Result<()> {
        self.check_power()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].cached_size).sum()
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<()> {
        self.change_names()?;
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.names.insert(name.to_owned(), file);
        self.changes.push(NameChange::Create(name.to_owned(), file));
        self.finish()
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change_names()?;
        self.find(from)?;
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        apply(&mut self.names, &change);
        self.changes.push(change);
        self.finish()
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.change_names()?;
        self.find(name)?;
        let change = NameChange::Remove(name.to_owned());
        apply(&mut self.names, &change);
        self.changes.push(change);
        self.finish()
    }

    fn change_names(&mut self) -> io::Result<()> {
        match self.begin()? {
            Some(_) => Err(io::Error::other("planned fault: names cannot be changed")),
            None => Ok(()),
        }
    }

    pub(super) fn sync_directory(&mut self) -> io::Result<()> {
        if self.begin()?.is_some() {
            return Err(io::Error::other("planned fault: sync of the directory"));
        }
        // A cut in its midst leaves it to the draw at the restart.
        self.finish()?;
        self.durable_names = self.names.clone();
        self.changes.clear();
        Ok(())
    }

    pub(super) fn lock(&mut self) -> io::Result<Option<u64>> {
        self.check_power()?;
        if self.locked_by.is_some() {
            return Ok(None);
        }
        self.locked_by = Some(self.process);
        Ok(Some(self.process))
    }

    pub(super) fn unlock(&mut self, process: u64) {
        if self.locked_by == Some(process) {
            self.locked_by = None;
        }
    }

    pub(super) fn size(&self, file: FileId) -> u64 {
        self.files[file].cached_size
    }

    pub(super) fn read(&mut self, file: FileId, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = &self.files[file];
        let bytes = file.cached_size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if bytes > 0 && file.unreadable.range(offset / PAGE..=(offset + bytes as u64 - 1) / PAGE).next().is_some() {
            return Err(medium_error());
        }
        copy_pages(&file.cached, offset, &mut buffer[..bytes]);
        self.bytes_read += bytes as u64;
        Ok(bytes)
    }

    pub(super) fn check_openable(&self, file: FileId) -> io::Result<()> {
        if self.files[file].unopenable { Err(medium_error()) } else { Ok(()) }
    }

    pub(super) fn write(&mut self, file: FileId, data: &[u8], offset: u64) -> io::Result<()> {
        let fault = self.begin()?;
        let growth = (offset + data.len() as u64).saturating_sub(self.files[file].cached_size);
        if self.capacity.is_some_and(|capacity| self.used_bytes() + growth > capacity) && growth > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match fault {
            None => {
                self.files[file].write_through(data, offset)?;
                self.finish()
            }
            Some(Fault::Partial) => {
                self.files[file].write(&data[..data.len() / 2], offset);
                Err(io::Error::other("planned fault: write in part"))
            }
            Some(_) => Err(io::Error::other("planned fault: write")),
        }
    }

    pub(super) fn sync(&mut self, file: FileId) -> io::Result<()> {
        let fault = self.begin()?;
        self.finish()?;
        let file = &mut self.files[file];
        match fault {
            None => {
                file.sync();
                Ok(())
            }
            Some(Fault::Dropped) => {
                file.dirty.clear();
                Err(io::Error::other("planned fault: sync, pages dropped"))
            }
            Some(_) => Err(io::Error::other("planned fault: sync")),
        }
    }

    pub(super) fn kill(&mut self) {
        self.faults.clear();
        self.cut_at = None;
        self.end_process();
    }

    fn end_process(&mut self) {
        self.process += 1;
        self.locked_by = None;
    }

    pub(super) fn restart(&mut self, seed: u64) {
        let mut draw = Draw(seed);
        for change in std::mem::take(&mut self.changes) {
            if draw.coin() {
                apply(&mut self.durable_names, &change);
            }
        }
        self.names = self.durable_names.clone();
        self.files.iter_mut().for_each(|file| file.lose_power(&mut draw));
        self.powered = true;
        self.kill();
    }

    pub(super) fn flip_bit(&mut self, name: &str, offset: u64, bit: u8) {
        let file = self.find(name).expect("the file is there");
        let file = &mut self.files[file];
        for pages in [&mut file.cached, &mut file.durable] {
            let page = pages.entry(offset / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[(offset % PAGE) as usize] ^= 1 << bit;
        }
    }

    pub(super) fn unreadable(&mut self, name: &str, first_byte: u64, last_byte: u64) {
        let file = self.find(name).expect("the file is there");
        self.files[file].unreadable.extend(first_byte / PAGE..=last_byte / PAGE);
    }

    pub(super) fn unopenable(&mut self, name: &str) {
        let file = self.find(name).expect("the file is there");
        self.files[file].unopenable = true;
    }

    pub(super) fn readable_again(&mut self) {
        for file in &mut self.files {
            file.unreadable.clear();
            file.unopenable = false;
        }
    }

    pub(super) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let file = &self.files[*self.names.get(name)?];
        let mut bytes = vec![0; file.cached_size as usize];
        copy_pages(&file.cached, 0, &mut bytes);
        Some(bytes)
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) {
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.files[file].write(bytes, 0);
        self.files[file].sync();
        self.names.insert(name.to_owned(), file);
        self.durable_names.insert(name.to_owned(), file);
    }
}

/// EIO, as the kernel gives it for a sector that the medium cannot read.
fn medium_error() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}

fn apply(names: &mut BTreeMap<String, FileId>, change: &NameChange) {
    match change {
        NameChange::Create(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

fn copy_pages(pages: &Pages, offset: u64, buffer: &mut [u8]) {
    let mut done = 0;
    while done < buffer.len() {
        let at = offset + done as u64;
        let within = (at % PAGE) as usize;
        let count = (PAGE as usize - within).min(buffer.len() - done);
        match pages.get(&(at / PAGE)) {
            Some(page) => buffer[done..done + count].copy_from_slice(&page[within..within + count]),
            None => buffer[done..done + count].fill(0),
        }
        done += count;
    }
}

impl File {
    /// Writes as a process does. A page that is written whole is mapped to a sound sector; to change a part of it, its rest
    /// would have to be read.
    fn write_through(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        let touched = offset / PAGE..end.div_ceil(PAGE);
        if self.unreadable.range(touched).any(|page| !whole.contains(page)) {
            return Err(medium_error());
        }
        self.unreadable.retain(|page| !whole.contains(page));
        self.write(data, offset);
        Ok(())
    }

    fn write(&mut self, data: &[u8], offset: u64) {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let count = (PAGE as usize - within).min(data.len() - done);
            let chunk = &data[done..done + count];
            self.dirty.insert(at / PAGE);
            // Pages of zeros are not kept: preallocated segments cost nothing.
            if self.cached.contains_key(&(at / PAGE)) || chunk.iter().any(|&byte| byte != 0) {
                let page = self.cached.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
                page[within..within + count].copy_from_slice(chunk);
            }
            done += count;
        }
        self.cached_size = self.cached_size.max(offset + data.len() as u64);
    }

    fn keep(&mut self, page: u64) {
        match self.cached.get(&page) {
            Some(bytes) => self.durable.insert(page, bytes.clone()),
            None => self.durable.remove(&page),
        };
    }

    fn sync(&mut self) {
        for page in std::mem::take(&mut self.dirty) {
            self.keep(page);
        }
        self.durable_size = self.cached_size;
    }

    fn lose_power(&mut self, draw: &mut Draw) {
        for page in std::mem::take(&mut self.dirty) {
            if draw.coin() {
                self.keep(page);
            }
        }
        if self.durable_size != self.cached_size && draw.coin() {
            self.durable_size = self.cached_size;
        }
        let size = self.durable_size;
        self.durable.retain(|page, _| page * PAGE < size);
        self.cached = self.durable.clone();
        self.cached_size = size;
    }
}
