//! Checks of the workspace's structure: who may depend on what, and that every file says
//! what it holds. The checks are in `tests/`.
