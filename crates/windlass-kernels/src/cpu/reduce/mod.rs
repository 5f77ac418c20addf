//! The twins of `kernels/reduce`: pieces of rows that cores share, merged in their order.

mod extreme;
mod moments;
mod rows;
mod sum;

pub(crate) use extreme::extreme;
pub(crate) use moments::moments;
pub(crate) use sum::{count, sum};
