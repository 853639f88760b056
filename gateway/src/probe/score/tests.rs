//! Devices heard at right and wrong settings, through a UART of bits.

use proptest::prelude::*;
use venue_devices::{
    alge_timy::{Checks, LineBuffer, Message, PrintStyle},
    nmea,
};

use super::{super::settings::tried, super::uart, *};

const EIGHT: LineSettings = LineSettings::eight_n_one(9600);
const SEVEN_EVEN: LineSettings = LineSettings { baud: 9600, data_bits: 7, parity: Parity::Even, stop_bits: 1 };
const SEVEN_ODD: LineSettings = LineSettings { parity: Parity::Odd, ..SEVEN_EVEN };

/// A run at a Timy: start number, start, finish, result.
const RUN: [&str; 5] =
    ["n0007", " 0007 C0  10:04:55.6513 00", "n0008", " 0007 C1  10:05:55.4113 00", " 0007 RT  00:00:59.76   00"];

fn run(style: PrintStyle) -> Vec<Vec<u8>> {
    let print = |line: &str| {
        let message = Message::parse(line.as_bytes(), Checks::Detected).expect("sound").expect("known");
        let mut out = LineBuffer::new();
        message.emit(style, &mut out);
        out.to_vec()
    };
    RUN.map(print).into()
}

/// A receiver with an anemometer over some seconds: sentences that are read, and one that is not.
fn sentences() -> Vec<Vec<u8>> {
    let second = |second: u32| {
        let emit = |body: String| format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte));
        let of_second = [
            format!("GPRMC,1000{second:02}.00,A,4717.11,N,00833.91,E,0.0,,281126,,,A"),
            "GPGSV,1,1,02,05,34,060,41,12,71,210,38".to_owned(),
            format!("WIMWV,{second}.5,R,3.4,M,A"),
        ];
        of_second.map(emit).concat().into_bytes()
    };
    (10..14).map(second).collect()
}

fn heard(line: LineSettings, bytes: &[u8]) -> Heard {
    let mut heard = Heard::at(Some(line));
    heard.push(bytes);
    heard
}

#[track_caller]
fn is(heard: &Heard, device: &str, line: LineSettings, confidence: Confidence) -> Score {
    let found = heard.best().unwrap_or_else(|| panic!("nothing in {}", heard.bytes.escape_ascii()));
    assert_eq!((found.device.name, found.line, found.confidence), (device, Some(line), confidence), "{found:?}");
    found.score
}

/// Each device is recognised at its own speed and at none of the others; there the UART
/// marks damage, or what comes is refuted soon.
#[test]
fn a_device_is_recognised_at_its_own_speed_alone() {
    for (device, said) in [("alge-timy", vec![run(PrintStyle::default()); 4].concat()), ("nmea", sentences())] {
        for sent in tried() {
            for listened in tried() {
                let heard = uart::hear(&said, sent, listened);
                if sent == listened {
                    is(&heard, device, sent, Confidence::Sure);
                    assert!(!heard.is_refuted() && heard.errors.is_zero());
                } else {
                    assert_eq!(heard.best(), None, "{device} of {} heard at {}", sent.baud, listened.baud);
                    assert!(!heard.is_silent() && heard.text_percent() < 95);
                }
            }
        }
    }
}

/// A steady talker's wrong setting is left after the first second.
#[test]
fn a_wrong_speed_is_refuted_soon() {
    for listened in tried().into_iter().filter(|line| line.baud != 9600) {
        assert!(uart::hear(&sentences(), EIGHT, listened).is_refuted(), "{}", listened.baud);
    }
}

/// Seven bits with parity, heard as eight without: the format is found afterwards, from the
/// bytes alone. Among them damage: a byte whose parity does not agree.
#[test]
fn seven_bits_are_found_in_eight() {
    for sent in [SEVEN_EVEN, SEVEN_ODD] {
        for (device, said) in [("alge-timy", run(PrintStyle::default())), ("nmea", sentences())] {
            let mut heard = uart::hear(&said, sent, EIGHT);
            assert!(heard.errors.is_zero() && !heard.bytes.is_ascii());
            is(&heard, device, sent, Confidence::Sure);
            // At the settings that were found, the same bytes come as they were sent.
            assert_eq!(heard.best().expect("found").bytes, uart::hear(&said, sent, sent).bytes);
            heard.bytes[40] ^= 1;
            let found = heard.best().expect("still found");
            assert_eq!((found.device.name, found.line), (device, Some(sent)));
        }
    }
}

/// A receiver with the other parity drops every byte, and one that adds parity to eight
/// bits loses half of them: damage that tells the integrator where to look.
#[test]
fn wrong_parity_is_damage() {
    let other = uart::hear(&sentences(), SEVEN_EVEN, SEVEN_ODD);
    assert!(other.bytes.is_empty() && other.errors.parity > 200, "{other:?}");
    let eight_even = LineSettings { parity: Parity::Even, ..EIGHT };
    let heard = uart::hear(&sentences(), eight_even, EIGHT);
    assert_eq!(heard.best(), None);
    assert!(heard.errors.framing > 100 && heard.is_refuted(), "{heard:?}");
}

/// Check digits are told where they stand: always in NMEA 0183, in checksum mode at ALGE.
#[test]
fn check_digits_are_counted() {
    let bytes = |lines: Vec<Vec<u8>>| heard(EIGHT, &lines.concat());
    let plain = is(&bytes(run(PrintStyle::default())), "alge-timy", EIGHT, Confidence::Sure);
    assert_eq!((plain.sound, plain.checked, plain.rejected), (5, 0, 0));
    let style = PrintStyle { checksum: true, ..PrintStyle::default() };
    let checked = is(&bytes(run(style)), "alge-timy", EIGHT, Confidence::Sure);
    assert_eq!((checked.sound, checked.checked), (5, 3));
    let nmea = is(&bytes(sentences()), "nmea", EIGHT, Confidence::Sure);
    assert_eq!((nmea.sound, nmea.checked), (12, 12));
}

/// Who comes in the middle of a line, and leaves in one, holds neither against the device.
#[test]
fn a_line_that_is_cut_by_the_listener_counts_for_nothing() {
    let runs = run(PrintStyle::default()).concat().repeat(3);
    for (device, said) in [("alge-timy", runs), ("nmea", sentences().concat())] {
        for cut in 1..40 {
            let heard = heard(EIGHT, &said[cut..said.len() - cut]);
            let score = is(&heard, device, EIGHT, heard.best().expect("found").confidence);
            assert_eq!((score.rejected, score.other_bytes), (0, 0), "cut at {cut}");
        }
    }
}

/// One record is likely; one beside as much noise is nothing; a device on a bad line is
/// recognised, and not sure.
#[test]
fn noise_lowers_confidence() {
    let record = b" 0007 C0  10:04:55.6513 00\r";
    is(&heard(EIGHT, record), "alge-timy", EIGHT, Confidence::Likely);
    let noise = b"\rx}k@3~;nw0a.9)b#l(7.gh!2k^w\r";
    assert_eq!(heard(EIGHT, &[noise, &record[..]].concat()).best(), None);
    assert_eq!(heard(EIGHT, &[&noise[..], b"n0007\r"].concat()).best(), None);
    let bad_line = [&record[..], noise, record, noise, record, noise].concat();
    is(&heard(EIGHT, &bad_line), "alge-timy", EIGHT, Confidence::Likely);
    let mut damaged = heard(EIGHT, &record.repeat(3));
    damaged.errors.dropped_bytes = 30;
    is(&damaged, "alge-timy", EIGHT, Confidence::Likely);
}

/// Of several settings the best is taken, and the first of equals: over a PTY or a USB
/// device that has no real speed all are equal.
#[test]
fn the_best_setting_is_taken() {
    let (first, second) =
        [LineSettings::eight_n_one(4800), EIGHT].map(|line| heard(line, &sentences().concat())).into();
    let baud = |heard: &[Heard]| judge(heard).and_then(|it| it.line).map(|line| line.baud);
    assert_eq!(baud(&[first.clone(), second.clone()]), Some(4800));
    let partly = heard(LineSettings::eight_n_one(4800), &sentences()[0][..70]);
    assert_eq!(baud(&[partly, second]), Some(9600));
    assert_eq!(baud(&[]), None);
}

/// The longest sentence fits into what refutes a setting, wherever the listener comes in.
#[test]
fn no_sound_line_refutes_itself() {
    let usual = 82; // NMEA 0183: with start and terminator
    assert!(REFUTED_BYTES > 2 * usual && REFUTED_BYTES < nmea::LONGEST);
}

proptest! {
    /// Noise of any kind is no device: any bytes, text of the protocols' own characters.
    #[test]
    fn noise_is_no_device(
        bytes: Vec<u8>,
        text in prop::collection::vec(prop::sample::select(&b" 0123456789:.C$*,GPn\r\n"[..]), 0..2000),
    ) {
        prop_assert_eq!(heard(EIGHT, &bytes).best(), None);
        prop_assert_eq!(heard(EIGHT, &text).best(), None);
    }

    /// Sound lines sent at any speed are none at a speed that is a fifth or more away.
    #[test]
    fn a_speed_that_is_far_off_is_no_device(
        sent in prop::sample::select(&[2400_u32, 4800, 9600, 19_200, 38_400, 57_600, 115_200][..]),
        permille in prop_oneof![200_u64..830, 1200_u64..5000],
        alge: bool,
    ) {
        let said = if alge { run(PrintStyle::default()) } else { sentences() };
        let listened = u32::try_from(u64::from(sent) * permille / 1000).expect("small");
        let line = LineSettings::eight_n_one;
        prop_assert_eq!(uart::hear(&said, line(sent), line(listened)).best(), None);
    }
}
