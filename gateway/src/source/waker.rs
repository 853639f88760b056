//! Wakes a source's thread out of its wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A handle that wakes one source: when durability moved, or to stop it. Clones
/// wake the same source.
#[derive(Debug, Clone)]
pub struct SourceWaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    event: OwnedFd,
    /// A wake-up is on its way, so that a commit loop that wakes thousands of times
    /// a second makes one system call a turn of the source.
    pending: AtomicBool,
    stopped: AtomicBool,
}

impl SourceWaker {
    /// A waker for a source that is yet to be started.
    ///
    /// # Errors
    /// If the process may open no more descriptors.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Shared { event, pending: AtomicBool::new(false), stopped: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the source ask for durability once more. Never blocks.
    pub fn wake(&self) {
        if !self.shared.pending.swap(true, Ordering::AcqRel) {
            // Fails only if the counter stands at its maximum, and then it is readable.
            let _ = rustix::io::write(&self.shared.event, &1_u64.to_ne_bytes());
        }
    }

    /// Makes the source stop, for good.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// Takes the wake-ups so far. What a waker did before `wake` is visible to the
    /// caller afterwards.
    pub(super) fn clear(&self) {
        // The counter first: a wake-up between the two lines then finds `pending` set
        // and writes nothing, which loses nothing, as the caller looks only after.
        // In the other order it would leave `pending` set with nothing to read.
        let _ = rustix::io::read(&self.shared.event, &mut [0_u8; 8]);
        self.shared.pending.swap(false, Ordering::AcqRel);
    }

    /// Readable while a wake-up waits.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(waker: &SourceWaker) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(waker.fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    /// Any number of wake-ups is one, and none is lost after it was taken.
    #[test]
    fn wake_ups_merge_and_return() {
        let waker = SourceWaker::new().unwrap();
        assert!(!is_readable(&waker));
        for _ in 0..3 {
            waker.wake();
            waker.clone().wake();
            assert!(is_readable(&waker));
            waker.clear();
            assert!(!is_readable(&waker));
        }
        waker.stop();
        assert!(is_readable(&waker) && waker.is_stopped());
    }

    /// A source that clears, then looks, sees the last value of a waker that raises,
    /// then wakes: else a device would wait for an acknowledgement for ever.
    #[test]
    fn no_wake_up_is_lost_in_a_race() {
        use std::sync::atomic::AtomicU64;
        const LAST: u64 = 200_000;
        let (waker, durable) = (SourceWaker::new().unwrap(), Arc::new(AtomicU64::new(0)));
        let (poker, raised) = (waker.clone(), Arc::clone(&durable));
        let thread = std::thread::spawn(move || {
            for value in 1..=LAST {
                raised.store(value, Ordering::Relaxed);
                poker.wake();
                // Meets the other thread at ever other points.
                (0..value % 97).for_each(|_| std::hint::spin_loop());
            }
        });
        let mut seen = 0;
        while seen < LAST {
            let mut fds = [PollFd::from_borrowed_fd(waker.fd(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap();
            assert_eq!(ready, 1, "asleep at {seen} although {} is durable", durable.load(Ordering::Relaxed));
            waker.clear();
            seen = durable.load(Ordering::Relaxed);
        }
        thread.join().unwrap();
    }
}
