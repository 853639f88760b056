//! Standard output and standard error that may end: `… | head` is no error, and no
//! panic, as it would be of `println!` and `eprintln!`.

use std::io::{self, Write as _};

/// Prints a text and a line end; false once nobody reads any more.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> io::Result<bool> {
    let mut output = io::stdout().lock();
    match output.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| output.write_all(b"\n")) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells a person something on standard error, and a line end. If nobody reads it,
/// the exit code still says it.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Shows progress, in the place of what was shown before.
pub(super) fn progress(text: &str) {
    let mut error = io::stderr().lock();
    let _ = error.write_all(format!("\r{text}").as_bytes()).and_then(|()| error.flush());
}

/// Whether a command failed only because nobody reads its output any more.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_broken))
}
