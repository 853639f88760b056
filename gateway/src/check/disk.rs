//! The data folder: there, writable, and on a disk that holds the quotas.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use crate::config::{ByteSize, Config, Finding};

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let folder = &config.gateway.data_dir;
    match blocked(folder) {
        Some((message, help)) => findings.push(Finding::error(config.place("gateway.data_dir"), message, help)),
        None => findings.extend(space(config, folder)),
    }
}

/// Why the folder cannot be used, and how to mend it.
fn blocked(folder: &Path) -> Option<(String, String)> {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Some((format!("{shown} is not a folder"), "name a folder".to_owned())),
        Ok(_) => access(folder, Access::WRITE_OK | Access::EXEC_OK).err().map(|error| {
            (
                format!("cannot write into {shown}: {error}"),
                "make the gateway's user the owner of the folder".to_owned(),
            )
        }),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some((
            format!("cannot look at {shown}: {error}"),
            "let the gateway's user into the folders above it".to_owned(),
        )),
        Err(_) => {
            let above = existing(folder);
            access(above, Access::WRITE_OK | Access::EXEC_OK).err().map(|error| {
                let message = format!("{shown} does not exist, and cannot be created in {}: {error}", above.display());
                (message, format!("create it: `install -d -o USER {shown}`"))
            })
        }
    }
}

/// The nearest folder above that exists.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("."))
}

/// Whether the disk can hold what the journal may grow to.
fn space(config: &Config, folder: &Path) -> Option<Finding> {
    let place = || config.place("journal.results.quota");
    let disk = match statvfs(existing(folder)) {
        Ok(disk) => disk,
        Err(error) => {
            let message = format!("cannot ask how full the disk of {} is: {error}", folder.display());
            return Some(Finding::warning(place(), message, "look with `df`"));
        }
    };
    let journal = &config.journal;
    let parts = [journal.results.quota, journal.results.reserve, journal.telemetry.quota];
    let wanted = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.as_bytes()));
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    let free = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(used(folder));
    let grows = format!("the journal may grow to {}", rounded(wanted));
    let help = "lower the quotas of `journal.results` and `journal.telemetry`, or move `gateway.data_dir`";
    if wanted > total {
        return Some(Finding::error(place(), format!("{grows}, but the disk holds only {}", rounded(total)), help));
    }
    let message = || format!("{grows}, but only {} are free for it now", rounded(free));
    (wanted > free).then(|| Finding::warning(place(), message(), help))
}

/// What the folder's files take already, in bytes.
fn used(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// For people: three or four digits.
fn rounded(bytes: u64) -> ByteSize {
    let unit_bits = [40, 30, 20, 10].into_iter().find(|bits| bytes >> bits >= 16).unwrap_or(0);
    ByteSize::bytes(bytes >> unit_bits << unit_bits)
}
