//! Which of several endpoints of one receiver is used.

/// The current endpoint of a receiver; the first is preferred.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    count: usize,
    current: usize,
    /// The current one has acknowledged something since it was chosen.
    proved: bool,
}

impl Endpoints {
    pub(super) fn new(count: usize) -> Self {
        Self { count, current: 0, proved: false }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    pub(super) fn is_preferred(&self) -> bool {
        self.current == 0
    }

    /// The current endpoint did its work.
    pub(super) fn prove(&mut self) {
        self.proved = true;
    }

    /// The current endpoint failed. One that had worked is tried once more first,
    /// since a link breaks more often than a receiver.
    pub(super) fn fail(&mut self) {
        if !std::mem::take(&mut self.proved) {
            self.current = (self.current + 1) % self.count;
        }
    }

    /// Goes back to the first.
    pub(super) fn prefer(&mut self) {
        (self.current, self.proved) = (0, false);
    }
}
