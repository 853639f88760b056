//! A chronometer without a memory, on TCP: it prints numbered impulses to whoever is
//! connected, and knows how many of them were handed to the network.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::PATIENCE;

/// How long the printer waits before it looks again whether it shall end.
const GLANCE: Duration = Duration::from_millis(20);

/// How fast it prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Impulses that leave in one piece.
    pub(crate) burst: u64,
    /// Between two bursts.
    pub(crate) every: Duration,
}

/// A printer. It prints while `limit` allows it and somebody is connected.
#[derive(Debug)]
pub(crate) struct Printer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Impulses that may be printed.
    limit: u64,
    /// Number of the next impulse, from 0.
    next: u64,
    /// Numbers printed to each connection. Of the last burst of one that broke it is
    /// not known how much arrived.
    connections: Vec<Range<u64>>,
}

/// The line of an impulse, without its end; each number has a time of day of its own.
pub(crate) fn line(number: u64) -> String {
    let hundredths = number % 8_640_000;
    let (seconds, fraction) = (hundredths / 100, hundredths % 100);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(" {:04} C1  {hours:02}:{minutes:02}:{:02}.{fraction:02}00 00", 1 + number % 9_000, seconds % 60)
}

/// The number of a line; none if it is no impulse.
pub(crate) fn number(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let time = text.get(10..21).filter(|_| text.get(6..8) == Some("C1"))?;
    let part = |range: Range<usize>| time.get(range)?.parse::<u64>().ok();
    Some(((part(0..2)? * 60 + part(3..5)?) * 60 + part(6..8)?) * 100 + part(9..11)?)
}

impl Printer {
    /// Listens on a free port, and prints nothing until it is [allowed](Self::allow) to.
    pub(crate) fn start(pace: Pace) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that is looked at");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { state: Mutex::default(), stop: AtomicBool::new(false) });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.serve(&listener, pace)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Where the gateway connects.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `[[source]]` that hears it. Impulses are repeated to nobody, so it listens only.
    pub(crate) fn source(&self, name: &str, lane: &str) -> String {
        format!(
            "[[source]]\nname = \"{name}\"\ndevice = \"alge-timy\"\nrole = \"listen-only\"\nlane = \"{lane}\"\n\
             tcp = {{ connect = \"{}\" }}\n\n",
            self.address
        )
    }

    /// Lets it print up to so many impulses in all.
    pub(crate) fn allow(&self, limit: u64) {
        self.shared.lock().limit = limit;
    }

    /// Lets it print so many impulses more.
    pub(crate) fn allow_more(&self, count: u64) {
        self.shared.lock().limit += count;
    }

    /// Impulses that were handed to the network.
    pub(crate) fn printed(&self) -> u64 {
        self.shared.lock().next
    }

    /// Numbers printed to each connection, the last may go on.
    pub(crate) fn connections(&self) -> Vec<Range<u64>> {
        self.shared.lock().connections.clone()
    }

    /// Lines that the connection of now is to get in all.
    pub(crate) fn due(&self) -> u64 {
        let state = self.shared.lock();
        state.limit - state.connections.last().map_or(state.next, |connection| connection.start)
    }

    /// Bytes that arrived at the other end and were not read there, by the kernel's tables: on
    /// this machine all that was handed over, as long as it is less than a buffer holds.
    pub(crate) fn unread(&self) -> u64 {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
        let port = format!(":{:04X}", self.address.port());
        let to_read = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, remote, "01", queues, ..] = fields[..] else { return None };
            let (_, to_read) = queues.split_once(':').filter(|_| remote.ends_with(&port))?;
            u64::from_str_radix(to_read, 16).ok()
        };
        table.lines().filter_map(to_read).sum()
    }

    /// Waits until so many connections came.
    pub(crate) async fn until_connected(&self, count: usize) {
        let connected = async {
            while self.connections().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, connected).await;
        came.unwrap_or_else(|_| panic!("fewer than {count} connections came within {PATIENCE:?}"));
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test thread panics while it holds the printer")
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn serve(&self, listener: &TcpListener, pace: Pace) {
        while !self.stopping() {
            match listener.accept() {
                Ok((stream, _)) => self.print(stream, pace),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Prints to one connection until it breaks.
    fn print(&self, mut stream: TcpStream, pace: Pace) {
        stream.set_nonblocking(false).expect("a stream that blocks");
        stream.set_write_timeout(Some(GLANCE)).expect("a write that looks up");
        stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a read that looks up");
        stream.set_nodelay(true).expect("bursts that leave at once");
        {
            let mut state = self.lock();
            let next = state.next;
            state.connections.push(next..next);
        }
        loop {
            match self.next_burst(pace) {
                Some(burst) if !self.hand_over(&mut stream, &burst) => return,
                Some(_) if pace.every > Duration::ZERO => std::thread::sleep(pace.every),
                Some(_) => {}
                None if self.stopping() || hung_up(&mut stream) => return,
                None => {}
            }
        }
    }

    /// What may be printed next.
    fn next_burst(&self, pace: Pace) -> Option<Range<u64>> {
        let state = self.lock();
        let end = state.limit.min(state.next + pace.burst);
        (state.next < end && !self.stopping()).then(|| state.next..end)
    }

    /// Hands a burst to the network; false if the connection broke.
    fn hand_over(&self, stream: &mut TcpStream, burst: &Range<u64>) -> bool {
        let text: String = burst.clone().map(|number| line(number) + "\r").collect();
        let mut rest = text.as_bytes();
        let mut sound = true;
        while sound && !rest.is_empty() {
            #[expect(clippy::disallowed_methods, reason = "the rest of a part is kept")]
            match stream.write(rest) {
                Ok(0) => sound = false,
                Ok(count) => rest = &rest[count..],
                Err(error) if is_patience(&error) => sound = !self.stopping(),
                Err(_) => sound = false,
            }
        }
        let mut state = self.lock();
        state.next = burst.end;
        if let Some(connection) = state.connections.last_mut() {
            connection.end = burst.end;
        }
        sound
    }
}

/// Whether the far end has gone; waits a moment for it.
fn hung_up(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => !is_patience(&error),
    }
}

fn is_patience(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
