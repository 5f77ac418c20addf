//! Frames end to end, in one binary.

mod breakers;
mod errors;
mod frames;
mod planning;
mod reading;
mod remote_reading;
mod remote_writing;
mod windows;
mod writing;
