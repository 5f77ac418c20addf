//! Physical expressions as values of a program.
