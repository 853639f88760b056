//! Both ends of the uplink conversation against each other.

mod faults;
mod frozen;
mod hostile;
mod pair;
mod stories;
mod streams;
