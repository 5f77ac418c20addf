//! The CPU twins of the kernels.
