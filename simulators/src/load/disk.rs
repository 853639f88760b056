//! What the disk under a load takes to make a small write durable.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Duration};

use anyhow::Context as _;

use super::spread::Spread;
use crate::clock::Clock;

/// Syncs that are timed.
const SYNCS: u64 = 200;
const BLOCK_BYTES: usize = 4096;

/// Overwrites a file of zeros block by block, with an `fdatasync` each.
///
/// # Errors
/// If the folder's disk does not take it.
pub(super) fn fdatasync(folder: &Path, clock: Clock) -> anyhow::Result<Spread> {
    let path = folder.join("fdatasync");
    let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
    let measure = |file: File| -> std::io::Result<Vec<Duration>> {
        file.write_all_at(&vec![0; SYNCS as usize * BLOCK_BYTES], 0)?;
        file.sync_all()?;
        (0..SYNCS)
            .map(|number| {
                let begun = clock.now();
                file.write_all_at(&[number as u8; BLOCK_BYTES], number * BLOCK_BYTES as u64)?;
                file.sync_data()?;
                Ok(clock.now() - begun)
            })
            .collect()
    };
    let took = file.and_then(measure).with_context(|| format!("time the disk of {}", folder.display()))?;
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    Ok(Spread::of(took))
}
