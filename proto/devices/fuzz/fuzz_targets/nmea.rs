//! NMEA 0183: any bytes in any pieces, as they are and with their check digits put
//! right, so that the fuzzer gets past the checksum and into the fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    venue_devices_fuzz::drive("nmea", data);
    let mut mended = data.to_vec();
    mend(&mut mended);
    venue_devices_fuzz::drive("nmea", &mended);
});

/// Puts the sum of all since the last `$` behind every `*`.
fn mend(data: &mut [u8]) {
    let mut sum = 0;
    for index in 0..data.len() {
        match data[index] {
            b'$' => sum = 0,
            b'*' => {
                let digits = format!("{sum:02X}");
                let room = data.len().min(index + 3);
                data[index + 1..room].copy_from_slice(&digits.as_bytes()[..room - index - 1]);
            }
            byte => sum ^= byte,
        }
    }
}
