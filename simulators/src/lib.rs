//! The bench of the Venue Gateway: everything around it, simulated, with knobs.
//!
//! | module | stands for | knobs |
//! |---|---|---|
//! | [`device`] | a timing device or sensor on a PTY, a serial port or TCP | impulses, plugs, noise, pace |
//! | [`sensors`] | a fleet of MQTT sensors | how many, how often, QoS |
//! | [`broker`] | the venue's MQTT broker, within this process | – |
//! | [`link`] | the network | latency, rate, stalls, cut, black hole |
//! | [`cloud`] | the receiver | slow acknowledgements, refusals, resets, amnesia, lies |
//! | [`demo`] | a race at a venue, with a verdict | runners, sabotage |
//! | [`load`] | a chronometer that prints as fast as it is read, and the numbers | rows, runs, backlog |
//! | [`authority`] | who signs the bench's certificates | – |
//! | [`gateway`] | the real gateway, as a process | start, kill, stop, wait for its status |
//! | [`cli`] | the command line over them | – |
//!
//! A library first: a test turns knobs and waits for conditions (`until`), it never
//! sleeps. Every part speaks through the code that the gateway reads with, so what
//! passes here passes there. What this crate never does: mock a protocol, or depend on
//! the insides of the gateway.

pub mod authority;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod demo;
pub mod device;
pub mod gateway;
pub mod link;
pub mod load;
pub mod quantity;
pub mod random;
pub mod sensors;
