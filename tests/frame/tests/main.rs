//! Frames end to end, in one binary.

mod errors;
mod frames;
mod reading;
mod writing;
