//! The two check digits that a device in checksum mode (`CHK1`) appends to a line.
//!
//! The sum of the line's bytes modulo 256, a digit for each half: `0x30` plus the
//! half, so that ten to fifteen print as `: ; < = > ?`.

/// The check digits of a line.
pub(super) fn digits(line: &[u8]) -> [u8; 2] {
    let sum = line.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    [0x30 + (sum >> 4), 0x30 + (sum & 15)]
}

/// The line before its check digits, if they agree with it.
pub(super) fn verify(line: &[u8]) -> Option<&[u8]> {
    let (body, check) = line.split_last_chunk::<2>().map(|(body, check)| (body, *check))?;
    (digits(body) == check).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums made with `od -An -tu1 -v | awk`: 1245 = 4 * 256 + 0xDD for the
    /// impulse, 340 = 256 + 0x54 for the start number, 0x3C for the last.
    #[test]
    fn check_digits_are_those_of_the_sum() {
        for (line, check) in
            [(&b" 0007 C1  11:22:33.4455 02"[..], b"=="), (b"n0042 ", b"54"), (b"<", b"3<"), (b"", b"00")]
        {
            assert_eq!(digits(line), *check, "{}", line.escape_ascii());
        }
        assert_eq!(verify(b"<3<"), Some(&b"<"[..]));
        assert_eq!(verify(b"<3="), None);
        assert_eq!(verify(b"3"), None);
    }
}
