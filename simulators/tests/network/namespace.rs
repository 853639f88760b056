//! A host of its own: a network namespace with one cable to this one, whose packets can
//! be dropped. Connections over it do not break then; they lead nowhere.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

use venue_sim::clock::utc_ns;

/// Namespaces of this process.
static COUNT: AtomicU8 = AtomicU8::new(0);

/// Deleted when dropped, with its cable.
pub(crate) struct Namespace {
    name: String,
    /// The cable's ends: out here, and in there.
    devices: [String; 2],
    /// This machine, as seen from in there.
    pub(crate) outside: Ipv4Addr,
}

impl Namespace {
    /// None, with a word why, where one may not be made; CI must be able to.
    pub(crate) fn new() -> Option<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("venue-{process}-{count}");
        if let Err(why) = run("ip", &["netns", "add", &name]).and_then(|()| run("nft", &["--version"])) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            println!("skipped: needs root, ip and nft: {why}");
            return None;
        }
        let devices = ["a", "b"].map(|end| format!("v{process}{count}{end}"));
        let net = |host: u8| Ipv4Addr::new(10, 213, (process % 256) as u8, 4 * count + host);
        let namespace = Self { name, devices, outside: net(1) };
        let (outside, inside) = (format!("{}/30", net(1)), format!("{}/30", net(2)));
        let ([outer, inner], name) = (namespace.devices.each_ref().map(String::as_str), namespace.name.as_str());
        for words in [
            &["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name][..],
            &["address", "add", &outside, "dev", outer],
            &["link", "set", outer, "up"],
            &["-n", name, "address", "add", &inside, "dev", inner],
            &["-n", name, "link", "set", inner, "up"],
            &["-n", name, "link", "set", "lo", "up"],
        ] {
            run("ip", words).unwrap();
        }
        Some(namespace)
    }

    /// What a command is put behind to run in there.
    pub(crate) fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// From now on no packet to or from a port out here passes, whatever it says. Each
    /// is dropped where it would arrive: a sender whose own kernel drops a packet is told.
    /// Returns when, UTC ns.
    pub(crate) fn cut(&self, port: u16) -> i64 {
        let ([outer, inner], table) = (&self.devices, self.table());
        let rules = |device: &str, direction: &str| {
            format!(
                "table netdev {table} {{ chain arriving {{
                   type filter hook ingress device {device} priority 0; tcp {direction} {port} drop;
                 }}\n}}\n"
            )
        };
        let at = utc_ns();
        nft(&[], &rules(outer, "dport"));
        nft(&self.wrapper(), &rules(inner, "sport"));
        at
    }

    /// Packets pass again.
    pub(crate) fn restore(&self) {
        let delete = format!("delete table netdev {}", self.table());
        nft(&[], &delete);
        nft(&self.wrapper(), &delete);
    }

    fn table(&self) -> String {
        self.name.replace('-', "_")
    }
}

fn nft(wrapper: &[&str], rules: &str) {
    let words: Vec<&str> = wrapper.iter().copied().chain(["nft", "-f", "-"]).collect();
    let mut child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refuses {rules}");
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel removes the cable with it, once the last process is gone.
        let _ = run("ip", &["netns", "delete", &self.name]);
        // The rules in there went with it; those out here are left only by a test that failed.
        let _ = run("nft", &["delete", "table", "netdev", &self.table()]);
    }
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
    }
}
