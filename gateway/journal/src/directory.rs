//! A directory of a real file system as [`Storage`].

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::storage::{Storage, StorageFile};

/// Name of the file whose lock keeps a second process out.
const LOCK_FILE: &str = "lock";

/// A directory of a real file system.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes a directory, creating it and those above it, durably, where they are missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let named_in = parents_of_missing(&path);
        std::fs::create_dir_all(&path)?;
        // Until these are synced a power cut takes the whole journal with all that was acknowledged.
        named_in.iter().try_for_each(|parent| File::open(parent)?.sync_all())?;
        Ok(Self { path })
    }

    /// Takes a directory that must be there; writes nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and [`io::ErrorKind::NotADirectory`], and those of the file system.
    pub fn existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if std::fs::metadata(&path)?.is_dir() { Ok(Self { path }) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The directories in which a name appears when a directory and those above it are created.
fn parents_of_missing(path: &Path) -> Vec<PathBuf> {
    let missing = path.ancestors().take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists());
    let parent =
        |directory: &Path| directory.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned);
    missing.map(|directory| parent(directory).unwrap_or_else(|| PathBuf::from("."))).collect()
}

impl Storage for Directory {
    type File = File;
    type Lock = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path.join(name))
    }

    fn open_read_only(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> io::Result<Option<File>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl StorageFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A power cut must not take away the name of a directory in which events were acknowledged.
    #[test]
    fn every_directory_that_gets_a_name_is_synced() {
        let place = tempfile::tempdir().unwrap();
        let under = |name: &str| place.path().join(name);
        assert_eq!(parents_of_missing(&under("a/b/c")), [under("a/b"), under("a"), place.path().to_owned()]);
        Directory::create(under("a")).unwrap();
        assert_eq!(parents_of_missing(&under("a/b/c")), [under("a/b"), under("a")]);
        Directory::create(under("a/b/c")).unwrap();
        assert!(parents_of_missing(&under("a/b/c")).is_empty());
        assert_eq!(parents_of_missing(Path::new("no-such/b")), [Path::new("no-such"), Path::new(".")]);
    }

    /// Two processes on one journal would give one sequence to two events.
    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path().join("journal")).unwrap();
        let first = directory.lock().unwrap();
        assert!(first.is_some());
        assert!(directory.lock().unwrap().is_none());
        drop(first);
        assert!(directory.lock().unwrap().is_some());
    }

    #[test]
    fn a_short_read_means_the_end_of_the_file() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::existing(place.path()).unwrap();
        let file = directory.create("a").unwrap();
        StorageFile::write_all_at(&file, b"0123456789", 0).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(StorageFile::read_at(&file, &mut buffer, 6).unwrap(), 4);
        assert_eq!(&buffer[..4], b"6789");
        assert_eq!(file.size().unwrap(), 10);
        assert!(directory.create("a").is_err());
        assert!(Directory::existing(place.path().join("a")).is_err());
    }
}
