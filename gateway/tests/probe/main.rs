//! `probe` as an integrator runs it: the real program, PTYs, TCP, a real mosquitto.

#[path = "../mqtt/broker.rs"]
mod broker;
mod broker_stories;
mod line_stories;
mod program;
