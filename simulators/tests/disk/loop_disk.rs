//! A small file system of its own, that can be filled.

use std::{
    io::{ErrorKind, Write as _},
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

    /// Fills it to the last byte with a file.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).expect("a file to fill it with");
        for piece in [1 << 20, 4096, 1] {
            let bytes = vec![0x5A; piece];
            loop {
                match file.write_all(&bytes).and_then(|()| file.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("fill the disk: {error}"),
                }
            }
        }
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
