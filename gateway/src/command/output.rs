//! Standard output that may end: `… | head` is no error.

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
