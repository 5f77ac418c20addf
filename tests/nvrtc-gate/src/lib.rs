//! What the gate over the CUDA sources is made of. With no GPU it shows that every source
//! compiles for the architectures that matter, and what each takes of a multiprocessor:
//! registers, shared memory, and bytes spilled from registers to memory.
//!
//! | module | holds |
//! |---|---|
//! | [`recorder`] | a device that keeps the sources it is asked to compile |
//! | [`pipelines`] | the generated pipelines of the gate |
//! | [`usage`] | ptxas, its figures, and the table of limits |

pub mod pipelines;
pub mod recorder;
pub mod usage;
