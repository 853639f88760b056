//! SIGKILL at any moment under load: what was shown stays, and what is lost is only the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    ops::Range,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use stage::{
    GATEWAY, Stage, eventually,
    printer::{Pace, Printer, line, number},
    sequence,
};
use venue_schema::{
    Message as _,
    v1::{Event, Lane},
};
use venue_sim::{gateway, random::Random};

/// Kills, each at a random moment under load, of which so many must provably land while the gateway
/// holds in memory what it has read. What was written and not yet synced survives a kill, and cannot
/// be told from outside.
const IN_FLIGHT_WANTED: usize = 80;
/// Lives after which the test gives up to get so many.
const MOST_LIVES: usize = 400;
/// Room for all results of so many lives, which are compared from the first on; and segments that are full after a few lives.
const JOURNAL: &str = "results = { quota = \"2GiB\", reserve = \"1MiB\" }\ntelemetry = { quota = \"32MiB\" }";
/// Load: more impulses a second than a gateway that is not optimised takes in, so that it is
/// always at work on some, and fewer in a life than a socket's buffer holds.
const PACE: Pace = Pace { burst: 80, every: Duration::from_millis(2) };

/// The gateway is killed at random moments while a chronometer prints thousands of
/// impulses a second, at times with the uplink cut. After every restart the journal holds
/// what the cloud had acknowledged and what `tail` had printed, byte for byte; of each
/// life it holds a prefix of what was read, without a hole; and in the end the cloud has
/// exactly the journal, in order.
#[tokio::test]
async fn whatever_was_shown_survives_eighty_kills_with_an_append_in_flight() {
    let mut stage = Stage::set().await;
    let printer = Printer::start(PACE);
    stage.configure(JOURNAL, &printer.source("timer", "results"));
    let mut random = Random::new(20_261_124);
    let mut history = History::default();

    while history.in_flight < IN_FLIGHT_WANTED {
        let lives = history.kills.len();
        assert!(lives < MOST_LIVES, "only {} of {lives} kills landed with an append in flight", history.in_flight);
        set_the_link(&stage, &mut random);
        stage.gateway.start().unwrap();
        printer.until_connected(lives + 1).await;
        history.check_the_journal(&stage, &printer).await;
        let tail = Tail::start(&stage);
        printer.allow(u64::MAX);
        tokio::time::sleep(Duration::from_micros(random.below(120_000))).await;
        // How long a life lasts is the fault that is injected, not a wait for a condition.
        history.kills.push(Kill::land(&mut stage, &printer).await);
        let printed = tokio::task::spawn_blocking(|| tail.finish()).await.unwrap();
        history.remember_shown(&stage, printed).await;
    }

    stage.link.restore();
    stage.gateway.start().unwrap();
    printer.until_connected(history.kills.len() + 1).await;
    history.check_the_journal(&stage, &printer).await;
    stage.until(|status| gateway::all_connected(status) && gateway::results_delivered(status)).await;
    stage.gateway.stop().await.unwrap();
    let journal: Vec<Event> = stage.export(Lane::Results, 1).await;
    let stored = stage.stored(Lane::Results).await;
    assert_eq!(stage.cloud.snapshot().sequence(GATEWAY, "results"), journal.len() as u64);
    assert_eq!(stored.len(), journal.len(), "the cloud has each event once");
    for (stored, event) in stored.iter().zip(&journal) {
        assert_eq!((stored.sequence, &stored.bytes[..]), (sequence(event), &event.encode_to_vec()[..]));
    }
    println!(
        "{} kills, {} with an append in flight; {} impulses read to the disk, {} lost with the process; \
         the cloud had acknowledged {} events and tail had printed {} before a kill",
        history.kills.len(),
        history.in_flight,
        history.kept,
        history.lost,
        history.acknowledged,
        history.printed,
    );
    assert!(history.acknowledged > 0 && history.printed > 0, "nothing was shown: the test proves nothing");
}

/// One life in three is lived without an uplink.
fn set_the_link(stage: &Stage, random: &mut Random) {
    if random.below(3) == 0 {
        stage.link.cut();
    } else {
        stage.link.restore();
    }
}

/// What had been printed when the gateway was killed.
struct Kill {
    /// Impulses that were handed over.
    printed: u64,
    /// Bytes of them that lay in a socket yet.
    unread: u64,
}

impl Kill {
    /// Stops the gateway where it stands, looks, and kills it: it does nothing in between.
    async fn land(stage: &mut Stage, printer: &Printer) -> Self {
        let process = stage.gateway.id().unwrap();
        kill_process(Pid::from_raw(process.cast_signed()).unwrap(), Signal::STOP).unwrap();
        eventually("every thread stopped", async || is_stopped(process).then_some(())).await;
        printer.allow(0);
        // The burst that was being handed over has been, too, once nothing changes between two looks.
        let kill = eventually("the last burst", async || {
            let kill = Self { printed: printer.printed(), unread: printer.unread() };
            (printer.printed() == kill.printed).then_some(kill)
        });
        let kill = kill.await;
        stage.gateway.kill().await.unwrap();
        kill
    }

    /// Whether the gateway had read of what it had not made durable: an append was in flight.
    fn is_in_flight(&self, kept_before: u64) -> bool {
        let line_bytes = line(0).len() as u64 + 1;
        self.printed.saturating_sub(kept_before) * line_bytes > self.unread
    }
}

/// Whether each thread of a process is stopped, or in a call behind which it stops.
fn is_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let mut states = threads.map(|thread| std::fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    states.all(|status| ["State:\tT", "State:\tD"].iter().any(|state| status.contains(state)))
}

/// What was seen so far.
#[derive(Default)]
struct History {
    kills: Vec<Kill>,
    in_flight: usize,
    /// The journal as it was after the last restart: dense from 1.
    events: u64,
    /// What somebody outside was shown by the life before, by sequence.
    shown: BTreeMap<u64, Vec<u8>>,
    last_row: u64,
    acknowledged: u64,
    printed: u64,
    kept: u64,
    lost: u64,
}

impl History {
    /// Takes in what the cloud stored and `tail` printed before the kill.
    async fn remember_shown(&mut self, stage: &Stage, printed: Vec<Event>) {
        for event in stage.cloud.events(self.last_row, usize::MAX).await.unwrap() {
            self.last_row = event.row;
            if event.lane == Lane::Results {
                self.acknowledged += 1;
                self.show(event.sequence, event.bytes.to_vec());
            }
        }
        for event in printed {
            self.printed += 1;
            self.show(sequence(&event), event.encode_to_vec());
        }
    }

    fn show(&mut self, sequence: u64, bytes: Vec<u8>) {
        let before = self.shown.insert(sequence, bytes.clone());
        assert!(before.is_none_or(|before| before == bytes), "two events were shown under sequence {sequence}");
    }

    /// After a restart: nothing that was shown is gone or other, no hole, and of the life
    /// before a prefix.
    async fn check_the_journal(&mut self, stage: &Stage, printer: &Printer) {
        let journal: Vec<Event> = stage.export(Lane::Results, self.events + 1).await;
        for (event, expected) in journal.iter().zip(self.events + 1..) {
            assert_eq!(sequence(event), expected, "the lane is dense");
        }
        let first_new = self.events + 1;
        for (sequence, bytes) in std::mem::take(&mut self.shown) {
            // Behind what was checked already lies what an earlier life showed late.
            let Some(index) = sequence.checked_sub(first_new) else { continue };
            let held = journal.get(usize::try_from(index).unwrap());
            let held = held.unwrap_or_else(|| panic!("sequence {sequence} was shown and is gone"));
            assert_eq!(held.encode_to_vec(), bytes, "sequence {sequence} was shown otherwise");
        }
        let connections = printer.connections();
        let Some(life) = self.kills.len().checked_sub(1) else { return };
        let of_life = |event: &&Event| impulse(event).is_some_and(|number| connections[life].contains(&number));
        let kept: Vec<u64> = journal.iter().filter(of_life).filter_map(impulse).collect();
        self.prefix(&kept, &connections[life]);
        self.in_flight += usize::from(self.kills[life].is_in_flight(connections[life].start + kept.len() as u64));
        // The life that runs has begun to append: what is there of it is looked at next time.
        let older = |event: &&Event| impulse(event).is_some_and(|number| number < connections[life].end);
        self.events = journal.iter().filter(older).map(sequence).max().unwrap_or(self.events);
    }

    fn prefix(&mut self, kept: &[u64], printed: &Range<u64>) {
        for (number, expected) in kept.iter().zip(printed.start..) {
            assert_eq!(*number, expected, "{:?} is missing before {:?}", line(expected), line(*number));
        }
        self.kept += kept.len() as u64;
        self.lost += printed.end - printed.start - kept.len() as u64;
    }
}

/// The number of an impulse of the chronometer.
fn impulse(event: &Event) -> Option<u64> {
    number(&event.evidence)
}

/// `tail --json`, read as it prints.
struct Tail {
    child: Child,
    printed: Arc<Mutex<Vec<Event>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    fn start(stage: &Stage) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_venue-sim"));
        command.args(["gateway", "tail", "--json", "--last", "1", "--lane", "results", "--config"]);
        command.arg(stage.gateway.config()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Variables of whoever runs the test would be settings.
        let mut child = command.env_clear().spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let printed = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let printed = Arc::clone(&printed);
            move || {
                // A line that the end of the gateway cut was shown to nobody.
                let events = output.lines().map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok());
                events.for_each(|event| printed.lock().unwrap().push(event));
            }
        });
        Self { child, printed, reader }
    }

    /// Ends it after the gateway, and returns what it printed.
    fn finish(mut self) -> Vec<Event> {
        // It ends by itself when the gateway is gone, unless it came too late.
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        std::mem::take(&mut *self.printed.lock().unwrap())
    }
}
