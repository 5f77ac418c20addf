//! Arrow's arrays and record batches, to and from arrays.
//!
//! A primitive column is an array of rank 1; a column of lists of one length, Arrow's extension
//! `arrow.fixed_shape_tensor` among them, is one of a higher rank, its rows along axis 0.
//!
//! | module | holds |
//! |---|---|
//! | [`read`] | arrays of columns |
//! | [`write`](mod@write) | columns of arrays |

mod read;
mod write;

#[cfg(test)]
mod tests;
