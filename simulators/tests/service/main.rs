//! What a service manager sees of the real gateway: that it is ready, how it goes, and that work goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;
#[path = "../syscalls/strace.rs"]
mod strace;

use std::{collections::BTreeSet, path::Path, process::Command};

use tokio::{net::UnixDatagram, time::timeout};

use venue_sim::gateway::number;

use stage::{PATIENCE, SMALL, Stage, eventually, timer::Timer};
use strace::Strace;

/// The socket that a service manager would listen at.
struct Manager(UnixDatagram);

impl Manager {
    /// One that wants to hear of work each second.
    fn supervise(stage: &mut Stage) -> Self {
        let path = stage.path("notify");
        stage.gateway.set_variable("NOTIFY_SOCKET", &path);
        stage.gateway.set_variable("WATCHDOG_USEC", "1000000");
        Self(UnixDatagram::bind(path).unwrap())
    }

    async fn next(&self) -> String {
        let mut buffer = vec![0; 4096];
        let count = timeout(PATIENCE, self.0.recv(&mut buffer)).await.expect("it says something").unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    async fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let told = async {
            loop {
                let message = self.next().await;
                if wanted(&message) {
                    return message;
                }
            }
        };
        // It says how it goes all the while.
        timeout(PATIENCE, told).await.expect("it says what is waited for")
    }
}

fn is_fed(message: &str) -> bool {
    message.lines().any(|line| line == "WATCHDOG=1")
}

/// It is ready once it answers, tells the first line of `status`, and says that it stops.
#[tokio::test]
async fn a_service_manager_is_told_how_it_goes() {
    let mut stage = Stage::set().await;
    let manager = Manager::supervise(&mut stage);
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.gateway.start().unwrap();
    assert_eq!(manager.next().await, "READY=1");
    assert!(stage.gateway.status().await.is_some(), "it answers once it is ready");
    timer.impulses(1);
    let all = manager.until(|message| message.contains("\nSTATUS=ALL RESULTS UP TO ")).await;
    assert!(is_fed(&all), "{all}");
    stage.gateway.stop().await.unwrap();
    manager.until(|message| message == "STOPPING=1\nSTATUS=STOPPING").await;
    assert!(manager.0.try_recv(&mut [0; 1]).is_err(), "that was its last word");
}

/// `systemctl reload`: it is told when the configuration is read and when that is done, whatever comes of it.
#[tokio::test]
async fn a_service_manager_is_told_of_a_reload() {
    let mut stage = Stage::set().await;
    let manager = Manager::supervise(&mut stage);
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.gateway.start().unwrap();
    assert_eq!(manager.next().await, "READY=1");
    for sources in [timer.source() + "silence_alarm = \"30s\"\n", "[[source]\n".to_owned()] {
        stage.configure(SMALL, &sources);
        stage.gateway.reload().unwrap();
        let begins = manager.until(|message| message.starts_with("RELOADING=1\nMONOTONIC_USEC=")).await;
        let at: u64 = begins.rsplit_once('=').unwrap().1.parse().unwrap();
        assert!(at > 0 && at / 1_000_000 <= uptime_s(), "{begins}");
        manager.until(|message| message == "READY=1").await;
        let is_refused = stage.gateway.status().await.unwrap()["configuration"]["refused"] != serde_json::json!([]);
        assert_eq!(is_refused, sources.starts_with("[[source]\n"), "it is done when that is said");
    }
    stage.gateway.stop().await.unwrap();
}

fn uptime_s() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split('.').next().unwrap().parse().unwrap()
}

/// A disk that hangs: the watchdog starves though the process lives. A disk that fails is no reason: what is in memory
/// would be lost. When it is over the watchdog is fed again, and nothing is lost.
#[tokio::test]
async fn the_watchdog_is_fed_by_work_alone() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let manager = Manager::supervise(&mut stage);
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.start(&timer).await;
    let process = stage.gateway.id().unwrap();
    let log = stage.path("strace.log");

    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
    let strace = Strace::attach(process, &inject, &log).await;
    timer.impulses(1);
    manager.until(|message| message.contains("SINCE THE DISK FAILED") && is_fed(message)).await;
    strace.detach().await;
    stage.assert_exactly_once(&timer).await;

    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=100s"];
    let strace = Strace::attach(process, &inject, &log).await;
    timer.impulses(1);
    let starving = manager.until(|message| !is_fed(message)).await;
    assert!(
        starving.starts_with("STATUS=RESULTS CANNOT BE MADE SAFE: the disk has not answered the journal for "),
        "{starving}"
    );
    for _ in 0..5 {
        let still = manager.next().await;
        assert!(!is_fed(&still), "{still}");
    }
    strace.detach().await;
    manager.until(is_fed).await;
    stage.assert_exactly_once(&timer).await;
    stage.gateway.stop().await.unwrap();
}

/// The uplink's thread alone stands still: the watchdog starves, though everything else comes round and says so.
#[tokio::test]
async fn a_thread_that_stands_still_starves_the_watchdog() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let manager = Manager::supervise(&mut stage);
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.start(&timer).await;
    let process = stage.gateway.id().unwrap();
    let inject = ["-e", "trace=/epoll_p?wait", "-e", "inject=/epoll_p?wait:delay_enter=100s"];
    let strace = Strace::attach_to_thread(process, "uplink", &inject, &stage.path("strace.log")).await;
    let starving = manager.until(|message| message.contains("the uplink's thread has stood still for ")).await;
    assert!(!is_fed(&starving), "{starving}");
    strace.detach().await;
    manager.until(is_fed).await;
    timer.impulses(1);
    stage.assert_exactly_once(&timer).await;
    stage.gateway.stop().await.unwrap();
}

/// systemd itself finds nothing to say against the unit.
#[test]
fn the_unit_is_sound() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: needs systemd-analyze, of Debian's package `systemd`");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let unit = include_str!("../../../packaging/venue-gateway.service");
    // Where the package puts the program; only its presence is looked at.
    let program = root.path().join("venue-gateway");
    std::fs::copy("/bin/true", &program).unwrap();
    let verify = |text: &str| {
        let file = root.path().join("venue-gateway.service");
        std::fs::write(&file, text.replace("/usr/bin/venue-gateway", program.to_str().unwrap())).unwrap();
        verify(&file)
    };
    assert_eq!(verify(unit), "");
    let broken = verify(&unit.replace("WatchdogSec=", "WatchDogSec="));
    assert!(broken.contains("WatchDogSec"), "{broken}");
}

/// The unit lets the gateway do all that it does: a call that is forbidden fails, and the clock, say, would never be in
/// step.
#[tokio::test]
async fn the_unit_allows_every_system_call() {
    let analyze = Command::new("systemd-analyze").arg("--version").output();
    if let Some(what) = Strace::missing().or(analyze.err().map(|_| "systemd-analyze")) {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let log = stage.path("strace.log");
    stage.gateway.set_wrapper(["strace", "-D", "-f", "-o", log.to_str().unwrap()]);
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &(timer.source() + "[http]\nlisten = \"127.0.0.1:0\"\n"));
    stage.start(&timer).await;
    timer.impulses(1);
    stage.assert_exactly_once(&timer).await;
    stage.configure(SMALL, &(timer.source() + "silence_alarm = \"30s\"\n"));
    stage.gateway.reload().unwrap();
    stage.until(|status| number(status, "/sources/0/connects") == 2).await;
    stage.gateway.stop().await.unwrap();

    let unit = include_str!("../../../packaging/venue-gateway.service");
    let words = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).flat_map(str::split_whitespace);
    let allowed: BTreeSet<String> = words.flat_map(calls).collect();
    let whole =
        async || std::fs::read_to_string(&log).ok().filter(|text| text.trim_end().ends_with("+++ exited with 0 +++"));
    let log = eventually("all that strace wrote", whole).await;
    let made = log.lines().filter_map(|line| {
        let call = line.split_whitespace().nth(1)?.split('(').next()?;
        call.starts_with(|c: char| c.is_ascii_lowercase()).then_some(call)
    });
    let made: BTreeSet<&str> = made.collect();
    assert!(made.contains("fdatasync") && made.iter().any(|call| call.ends_with("adjtime") || *call == "adjtimex"));
    let forbidden: Vec<_> = made.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

/// The calls of a group, those of groups within it included.
fn calls(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", word]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let members = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(calls).collect()
}

/// What `systemd-analyze` says of a unit's file.
fn verify(unit: &Path) -> String {
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of other units of this machine it may say anything.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("venue-gateway.service")).collect();
    ours.join("\n")
}
