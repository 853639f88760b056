//! NMEA 0183 from the line's side: whole streams, cut and broken in every way
//! that a serial line breaks them.

use core::time::Duration;

use proptest::prelude::*;
use venue_devices::nmea::{
    Decimal, LONGEST, Latitude, Letter, Longitude, Mwv, Reference, Rmc, SpeedUnit, Talker, TimeOfDay,
};
use venue_devices::nmea::{Transducer, TransducerValue, Xdr, Zda};
use venue_devices::{CivilDate, Conversation, Device, ErrorKind, Item, Role};

const NOW: Duration = Duration::from_secs(1);

/// An item that outlives its sink: kind, offset, bytes, and the reading in full.
type Found = (&'static str, u64, Vec<u8>, String);

fn own(item: &Item<'_>) -> Found {
    match item {
        Item::Frame { offset, bytes } => ("frame", *offset, bytes.to_vec(), String::new()),
        Item::Reading(reading) => ("reading", 0, reading.evidence.to_vec(), format!("{reading:?}")),
        Item::Unknown { offset, bytes } => ("unknown", *offset, bytes.to_vec(), String::new()),
        Item::Bad { offset, bytes, error } => (error.kind.name(), *offset, bytes.to_vec(), String::new()),
        Item::Skipped { offset, bytes } => ("skipped", *offset, bytes.to_vec(), String::new()),
        Item::ReplayStarted | Item::ReplayEnded { .. } => panic!("NMEA 0183 has no memory to repeat"),
    }
}

/// What a device finds in a stream that is read in these pieces, from the line's
/// coming up to its going away; skipped runs joined.
fn listen<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut device = Device::new("nmea", Role::Active).expect("a known device");
    let mut found: Vec<Found> = Vec::new();
    let mut sink = |item: Item<'_>| {
        let item = own(&item);
        match found.last_mut() {
            Some(("skipped", at, run, _)) if item.0 == "skipped" && *at + run.len() as u64 == item.1 => {
                run.extend(item.2);
            }
            _ => found.push(item),
        }
    };
    device.handle_connected(NOW, &mut sink);
    pieces.into_iter().for_each(|piece| device.handle_bytes(NOW, piece, &mut sink));
    device.handle_disconnected(NOW, &mut sink);
    found
}

fn of_kind<'a>(found: &'a [Found], kind: &'a str) -> impl Iterator<Item = &'a [u8]> {
    found.iter().filter(move |item| item.0 == kind).map(|item| &item.2[..])
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).expect("a number")
}

/// One second of a mast with a receiver and a weather station, from the emitters.
fn second(second: u64) -> Vec<u8> {
    let time = TimeOfDay::new((36_000 + second) * 1_000_000_000, 2);
    let date = CivilDate::new(2026, 11, 28);
    let rmc = Rmc {
        talker: Talker::GNSS,
        time,
        date,
        active: true,
        latitude: Latitude::from_minutes(decimal("2797.50000")),
        longitude: Longitude::from_minutes(decimal("-412.25000")),
        speed_knots: Some(decimal("0.068")),
        course_deg: None,
        variation_deg: None,
        mode: Letter::new(b'A'),
        navigational_status: Letter::new(b'V'),
    };
    let zda = Zda { talker: Talker::GNSS, time, date, zone: None };
    let mwv = Mwv {
        talker: Talker::WEATHER,
        angle_deg: Some(decimal("214.0")),
        reference: Some(Reference::Relative),
        speed: Some(decimal("1.8")),
        unit: Some(SpeedUnit::MetresPerSecond),
        valid: true,
    };
    let kind = Letter::new(b'C').expect("a letter");
    let air = Transducer { kind, value: TransducerValue::Number(decimal("-4.5")), unit: b"C", id: b"AIR" };
    let xdr = Xdr { talker: Talker::WEATHER, transducers: [air].into_iter().collect() };
    let unknown = b"$GNVTG,,T,,M,0.068,N,0.126,K,A*36\r\n";
    [&rmc.emit()[..], unknown, &zda.emit(), &mwv.emit(), &xdr.emit().expect("one transducer")].concat()
}

/// Three seconds of a line, framed and read; what is not known is kept.
#[test]
fn every_sentence_is_a_frame_and_says_something() {
    let stream: Vec<u8> = (0..3).flat_map(second).collect();
    let found = listen([&stream[..]]);
    let kinds: Vec<_> = found.iter().map(|item| item.0).collect();
    let one_second =
        ["frame", "reading", "frame", "unknown", "frame", "reading", "frame", "reading", "frame", "reading"];
    assert_eq!(kinds, one_second.repeat(3));
    let framed: Vec<u8> = of_kind(&found, "frame").flat_map(|frame| [frame, b"\r\n"].concat()).collect();
    assert_eq!(framed, stream);
    let keys: Vec<_> = found.iter().filter_map(|item| item.3.split_once("key: \"")?.1.split('"').next()).collect();
    assert_eq!(
        keys[..3],
        ["GNRMC|10:00:00.00|2026-11-28", "GNZDA|10:00:00.00|2026-11-28", "GNRMC|10:00:01.00|2026-11-28"]
    );
}

/// A receiver's controller injects its own sentence into another: the injected
/// one is read, the broken one is reported, its rest is noise, the next is sound.
#[test]
fn a_sentence_inside_a_sentence_costs_one() {
    let [broken, injected, next] =
        [&b"$GNVTG,,T,,M,0.068"[..], b"$WIMWV,57.5,R,13.0,N,A*26\r\n", b"$GPZDA,,,,,,*48\r\n"];
    let stream = [broken, injected, b",N,0.126,K,A*36\r\n", next].concat();
    let kinds: Vec<_> = listen([&stream[..]]).into_iter().map(|item| (item.0, item.1)).collect();
    let offset = |part: &[u8]| stream.windows(part.len()).position(|window| window == part).expect("there") as u64;
    assert_eq!(
        kinds,
        [
            ("truncated", 0),
            ("frame", offset(injected)),
            ("reading", 0),
            ("skipped", offset(b",N,0.126,K")),
            ("frame", offset(next)),
            ("reading", 0),
        ]
    );
}

/// One bit, anywhere in the stream, is turned over: nothing is said that was not
/// said before, and at most two sentences are lost.
#[test]
fn a_flipped_bit_costs_two_sentences_at_most_and_invents_none() {
    let stream: Vec<u8> = (0..2).flat_map(second).collect();
    let sound: Vec<Vec<u8>> = of_kind(&listen([&stream[..]]), "frame").map(<[u8]>::to_vec).collect();
    for bit in 0..stream.len() * 8 {
        let mut broken = stream.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let found = listen([&broken[..]]);
        let mut rest = sound.iter();
        let mut count = 0;
        for frame in of_kind(&found, "frame") {
            // Check digits are read in small letters too.
            assert!(rest.any(|it| it.eq_ignore_ascii_case(frame)), "bit {bit} invents {}", frame.escape_ascii());
            count += 1;
        }
        assert!(count + 2 >= sound.len(), "bit {bit} costs {}", sound.len() - count);
    }
}

/// The line goes away in the middle of a sentence, and comes back at its rest:
/// the first part is truncated, the rest is noise, and offsets count anew.
#[test]
fn a_line_that_goes_away_leaves_nothing_behind() {
    let mut device = Device::new("nmea", Role::ListenOnly).expect("a known device");
    let mut found = Vec::new();
    let mut sink = |item: Item<'_>| found.push(own(&item));
    device.handle_connected(NOW, &mut sink);
    device.handle_bytes(NOW, b"\r\n$GPZDA,0059", &mut sink);
    device.handle_disconnected(NOW, &mut sink);
    device.handle_connected(NOW, &mut sink);
    device.handle_bytes(NOW, b"47.00*4E\r\n$GPZDA,,,,,,*48\r", &mut sink);
    let kinds: Vec<_> = found.iter().map(|item| (item.0, item.1)).collect();
    assert_eq!(kinds, [("truncated", 2), ("skipped", 0), ("frame", 10), ("reading", 0)]);
}

/// The last sentence of a recording often lacks its terminator; its check digits
/// say that it is whole.
#[test]
fn a_whole_sentence_needs_no_terminator() {
    let kinds = |bytes: &[u8]| listen([bytes]).iter().map(|item| item.0).collect::<Vec<_>>();
    assert_eq!(kinds(b"$GPZDA,,,,,,*48"), ["frame", "reading"]);
    assert_eq!(kinds(b"$GPZDA,,,,,,*48$GPZDA,,,,,,*48"), ["frame", "reading"].repeat(2));
    assert_eq!(kinds(b"$GPZDA,,,,,,*4"), ["truncated"]);
    assert_eq!(kinds(b"$GPZDA,,,,,,\r\n"), [ErrorKind::BadChecksum.name()]);
}

/// A banner or a comment may name sentences and is none; a sentence that has its
/// check digits is one, noise before it or not.
#[test]
fn text_that_names_a_sentence_is_skipped() {
    let banner = b"# says $GPRMC, $PMTK705 and $GPZDA";
    let found = listen([&[&banner[..], b"\r\n\xff$GPZDA,,,,,,*48\r\n$GPZDA,,,\r\n"].concat()[..]]);
    assert_eq!(found[0], ("skipped", 0, banner.to_vec(), String::new()));
    let kinds: Vec<_> = found[1..].iter().map(|item| item.0).collect();
    assert_eq!(kinds, ["skipped", "frame", "reading", "bad_checksum"]);
}

/// Whatever comes and in whichever role, nothing is sent and no timer is set.
#[test]
fn a_listener_never_says_a_word() {
    for role in [Role::Active, Role::ListenOnly] {
        let mut device = Device::new("nmea", role).expect("a known device");
        let silent = |device: &mut Device| {
            assert_eq!(device.poll_transmit(NOW, &mut [0; 256]), 0);
            assert_eq!(device.poll_timeout(), None);
        };
        device.handle_connected(NOW, &mut |_| ());
        silent(&mut device);
        device.handle_bytes(NOW, &second(0), &mut |_| ());
        device.handle_durable(NOW, 10);
        silent(&mut device);
        device.handle_timeout(NOW, &mut |item| panic!("out of nothing: {item:?}"));
        silent(&mut device);
    }
}

/// Streams of sound sentences with noise, cuts and injections between them.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let sound = (0_u64..60, any::<prop::sample::Index>()).prop_map(|(at, index)| {
        let lines = second(at);
        let lines: Vec<_> = lines.split_inclusive(|byte| *byte == b'\n').collect();
        lines[index.index(lines.len())].to_vec()
    });
    let cut =
        (sound.clone(), any::<prop::sample::Index>()).prop_map(|(line, at)| line[..at.index(line.len())].to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..40);
    let long = (LONGEST - 1..LONGEST + 2).prop_map(|count| [b"$".as_slice(), &b"x".repeat(count)].concat());
    prop::collection::vec(prop_oneof![4 => sound, 2 => cut, 1 => noise, 1 => long], 0..20)
        .prop_map(|parts| parts.concat())
}

proptest! {
    /// However a stream is cut, it says the same.
    #[test]
    fn any_split_says_the_same(stream in streams(), sizes in prop::collection::vec(1_usize..90, 1..20)) {
        let mut rest = &stream[..];
        let pieces = sizes.iter().cycle().map_while(|size| {
            let (piece, behind) = rest.split_at_checked(*size).unwrap_or((rest, b""));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(listen(pieces), listen([&stream[..]]));
    }

    /// Whatever the bytes, each but the terminators is handed out once, where it
    /// stood, as a frame, as bad or as skipped.
    #[test]
    fn no_byte_is_lost(stream in prop_oneof![streams(), prop::collection::vec(any::<u8>(), 0..600)]) {
        let mut rest: Vec<_> = stream.iter().map(|byte| (!b"\r\n".contains(byte)).then_some(*byte)).collect();
        for (kind, offset, bytes, _) in listen([&stream[..]]) {
            if matches!(kind, "reading" | "unknown") { continue }
            for (index, byte) in bytes.into_iter().enumerate() {
                prop_assert_eq!(rest[offset as usize + index].take(), Some(byte));
            }
        }
        prop_assert!(rest.iter().all(Option::is_none));
    }
}
