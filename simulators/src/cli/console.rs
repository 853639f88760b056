//! A bench at a terminal or under a script: control lines on stdin, states on stdout.

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Control lines that wait to be obeyed.
const MOST_LINES: usize = 64;

/// How often a state is shown, if it has changed.
const EVERY: Duration = Duration::from_secs(1);

/// How often a bench is asked whether it is done.
const DONE_TICK: Duration = Duration::from_millis(50);

/// Something that runs and has knobs.
pub(super) trait Bench {
    /// Obeys a control line.
    async fn obey(&mut self, line: &str) -> Result<(), String>;

    /// Its state, an object.
    fn state(&self) -> Value;

    /// The state in a line for people.
    fn describe(&self) -> String;

    /// Whether there is nothing more to do.
    fn is_done(&self) -> bool {
        false
    }
}

/// Where lines come from and go to.
pub(super) struct Console {
    json: bool,
    lines: mpsc::Receiver<String>,
    shown: Option<Value>,
}

impl Console {
    pub(super) fn open(json: bool) -> Self {
        let (sender, lines) = mpsc::channel(MOST_LINES);
        // A blocking read of stdin cannot be cancelled, so it has a thread of its own.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { json, lines, shown: None }
    }

    /// Says that the bench has started.
    pub(super) fn started(&self, facts: Value, people: &str) -> std::io::Result<()> {
        self.say("started", facts, people)
    }

    /// Runs a bench until it is done, or a signal or `quit` ends it. The end of stdin
    /// does not.
    pub(super) async fn drive(&mut self, bench: &mut impl Bench) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut every = tokio::time::interval(EVERY);
        let mut done = tokio::time::interval(DONE_TICK);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(line) = self.lines.recv() => {
                    if line.trim() == "quit" {
                        break;
                    }
                    self.obey(bench, &line).await?;
                }
                _ = every.tick() => self.show(bench, false)?,
                _ = done.tick() => if bench.is_done() { break },
            }
        }
        self.show(bench, true)
    }

    async fn obey(&mut self, bench: &mut impl Bench, line: &str) -> std::io::Result<()> {
        if line.trim().is_empty() {
            return Ok(());
        }
        match bench.obey(line).await {
            Ok(()) => self.show(bench, true),
            Err(error) => self.say("error", json!({ "message": error }), &error),
        }
    }

    fn show(&mut self, bench: &impl Bench, always: bool) -> std::io::Result<()> {
        let state = bench.state();
        if !always && self.shown.as_ref() == Some(&state) {
            return Ok(());
        }
        self.shown = Some(state.clone());
        self.say("state", state, &bench.describe())
    }

    fn say(&self, kind: &str, mut facts: Value, people: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            if let Value::Object(facts) = &mut facts {
                facts.insert("type".into(), kind.into());
            }
            writeln!(out, "{facts}")?;
        } else {
            writeln!(out, "{people}")?;
        }
        out.flush()
    }
}
