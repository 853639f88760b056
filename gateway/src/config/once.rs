//! Values that differ from block to block: names, ports, places to listen at.

use super::section::Given;

/// Values of which each may stand only once.
#[derive(Debug)]
pub(super) struct Once<T>(Vec<Given<T>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Once<T> {
    /// Takes a value; gives the one before it that is the same, if there is one.
    pub(super) fn insert(&mut self, given: &Given<T>, same: impl Fn(&T, &T) -> bool) -> Option<&Given<T>> {
        match self.0.iter().position(|earlier| same(&earlier.value, &given.value)) {
            Some(at) => Some(&self.0[at]),
            None => {
                self.0.push(given.clone());
                None
            }
        }
    }
}
