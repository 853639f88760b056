//! ALGE chronometers: any bytes in any pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| venue_devices_fuzz::drive("alge-timy", data));
