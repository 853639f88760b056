//! What `strace -f -yy -xx` wrote, as calls with their begin and end.

use std::collections::BTreeMap;

/// A system call on a file or socket.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: String,
    /// Number and name of the descriptor, as strace shows them.
    pub(crate) descriptor: String,
    /// Line of the trace at which the call was seen to begin.
    pub(crate) began: usize,
    /// Line at which it was seen to have returned.
    pub(crate) returned: usize,
    /// The bytes that it was given.
    pub(crate) bytes: Vec<u8>,
    /// What it returned.
    pub(crate) result: i64,
}

/// Reads a trace. Calls that did not return are left out.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(text) = rest.strip_suffix("<unfinished ...>") {
            let name = text.split('(').next().unwrap_or_default();
            begun.insert((thread, name), (number, text));
        } else if let Some((name, end)) = rest.strip_prefix("<... ").and_then(|text| text.split_once(" resumed>")) {
            if let Some((began, text)) = begun.remove(&(thread, name)) {
                calls.extend(call(text, end, began, number));
            }
        } else {
            calls.extend(call(rest, rest, number, number));
        }
    }
    calls
}

fn call(text: &str, end: &str, began: usize, returned: usize) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    let descriptor = arguments.split_once([',', ')']).map_or(arguments, |(descriptor, _)| descriptor).trim().to_owned();
    let result = end.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()?;
    Some(Call { name: name.to_owned(), descriptor, began, returned, bytes: strings(arguments), result })
}

/// All strings of a call, one behind the other.
fn strings(arguments: &str) -> Vec<u8> {
    let strings = arguments.split('"').skip(1).step_by(2);
    let digits = strings.flat_map(|string| string.split("\\x").skip(1));
    digits.filter_map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}
