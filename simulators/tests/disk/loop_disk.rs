//! A small file system of its own, that can be filled.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// An ext4 file system in a file, mounted. Dropped, it is unmounted.
pub(crate) struct LoopDisk {
    mounted_on: PathBuf,
}

impl LoopDisk {
    /// Why there can be none here, if there can be none.
    pub(crate) fn missing() -> Option<&'static str> {
        if !rustix::process::geteuid().is_root() {
            return Some("root");
        }
        (!run("mkfs.ext4", &["-V"])).then_some("tool mkfs.ext4")
    }

    /// Makes it in `image` and mounts it; none if this machine has no loop devices.
    pub(crate) fn mount(image: &Path, bytes: u64, on: &Path) -> Option<Self> {
        std::fs::File::create(image).and_then(|file| file.set_len(bytes)).expect("an image");
        std::fs::create_dir_all(on).expect("a place to mount");
        let (image, place) = (image.to_str().expect("a path"), on.to_str().expect("a path"));
        // No lazy initialisation: the kernel would go on writing for minutes.
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image]);
        assert!(made, "mkfs.ext4 {image}");
        run("mount", &["-o", "loop", image, place]).then(|| Self { mounted_on: on.to_owned() })
    }

    /// Fills it with a file until so many bytes are left.
    pub(crate) fn fill(&self, left: u64) {
        let file = std::fs::File::create(self.filler()).expect("a file to fill it with");
        loop {
            let room = rustix::fs::statvfs(&self.mounted_on).expect("a file system");
            let size = file.metadata().expect("the file").len();
            match (room.f_bavail * room.f_frsize).checked_sub(left) {
                // The file system's own tables take of it, too.
                Some(more) if more >= 2 * room.f_frsize => {
                    let bytes = (more / 2).max(room.f_frsize);
                    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, bytes).expect("room");
                }
                _ => break,
            }
        }
        file.sync_all().expect("the file that fills it");
    }

    /// Gives the space back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the file that fills it");
    }

    fn filler(&self) -> PathBuf {
        self.mounted_on.join("filler")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Lazily: if the test fails, the gateway still has files open.
        run("umount", &["-l", self.mounted_on.to_str().expect("a path")]);
    }
}

/// Whether a command ended well; its path may not be everyone's.
fn run(name: &str, arguments: &[&str]) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
