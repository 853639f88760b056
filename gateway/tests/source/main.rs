//! Sources as a whole: threads, lines and conversations, on real PTYs and sockets.
#![cfg(test)]

mod bench;
mod serial;
mod tcp;
