//! Frames end to end, in one binary.

mod breakers;
mod errors;
mod events;
mod frames;
mod moved;
mod nested_loop;
mod out_of_core;
mod planning;
mod reading;
mod remote_reading;
mod remote_writing;
mod resident;
mod sharing;
mod soak;
mod window_frames;
mod windows;
mod writing;
