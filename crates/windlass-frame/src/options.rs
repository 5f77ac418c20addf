//! What a session is made with.

use std::{path::PathBuf, time::Duration};

use windlass_device::{DeviceOptions, DeviceSpec};

/// The settings of a [`crate::Session`].
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Which devices may be used. They are opened when a plan first has an operator that
    /// one of them could run.
    pub devices: DeviceSpec,
    /// Cap of the host memory of operators in bytes; past it they spill to
    /// [`SessionOptions::temp_dir`] where they can. `None`: no cap.
    pub memory: Option<usize>,
    /// Cap of each device's memory in bytes. `None`: what the device has.
    pub device_memory: Option<usize>,
    /// Places every operator that a device can run on the first device of
    /// [`SessionOptions::devices`] other than the host, whatever the cost. For tests.
    pub force_device: bool,
    /// Partitions of a query. `None`: the host's hardware threads.
    pub target_partitions: Option<usize>,
    /// Rows of a batch. `None`: DataFusion's default.
    pub batch_rows: Option<usize>,
    /// Where operators spill. `None`: the system's folder for temporary files.
    pub temp_dir: Option<PathBuf>,
    /// Most bytes that operators may have there at a time. `None`: as many as there is room.
    pub temp_limit: Option<u64>,
    /// Settings of object stores by the names of their environment variables, such as
    /// `AWS_ENDPOINT`. They win over the environment.
    pub storage: Vec<(String, String)>,
    /// How long a server may say nothing before a read from it fails. `None`: 30 seconds.
    pub storage_silence: Option<Duration>,
    /// How devices are opened.
    pub device: DeviceOptions,
}
