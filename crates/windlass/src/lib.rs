//! Lazy dataframes and SQL on CPU, CUDA and WGSL devices.
