//! The bench of the Venue Gateway.

pub mod clock;
pub mod cloud;
pub mod device;
pub mod link;
pub mod quantity;
pub mod random;
