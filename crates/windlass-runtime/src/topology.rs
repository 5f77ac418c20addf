//! Where a device is on its host: what the system tells of its bus.

use std::{fs, path::Path};

use serde::Serialize;
use windlass_device::DeviceInfo;

/// Where Linux tells of PCI devices.
const DEVICES: &str = "/sys/bus/pci/devices";

/// The place of a device. What the system does not tell is absent: nothing of it is guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// The NUMA node whose memory is nearest.
    pub numa_node: Option<u32>,
    /// Rate of a lane of its PCI link now, as the system words it: `32.0 GT/s PCIe`. Links slow
    /// down while they are idle.
    pub link_speed: Option<String>,
    /// Lanes of its PCI link now.
    pub link_width: Option<u32>,
}

impl Topology {
    /// That of a device.
    pub fn of(info: &DeviceInfo) -> Self {
        Self::read(Path::new(DEVICES), &info.pci)
    }

    fn read(devices: &Path, pci: &str) -> Self {
        if pci.is_empty() {
            return Self::default();
        }
        // The folder's name is in lower case.
        let folder = devices.join(pci.to_ascii_lowercase());
        let told = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            let text = text.trim();
            (!text.is_empty() && !text.starts_with("Unknown")).then(|| text.to_string())
        };
        Self {
            // -1 says that there is but one, or that the firmware does not tell.
            numa_node: told("numa_node").and_then(|n| n.parse().ok()),
            link_speed: told("current_link_speed"),
            link_width: told("current_link_width").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
        }
    }

    /// In a few words; empty where nothing is told.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        match (&self.link_speed, self.link_width) {
            (Some(speed), Some(width)) => words.push(format!("{speed} x{width}")),
            (Some(speed), None) => words.push(speed.clone()),
            (None, Some(width)) => words.push(format!("x{width}")),
            (None, None) => {}
        }
        words.extend(self.numa_node.map(|node| format!("NUMA node {node}")));
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let device = folder.path().join("0000:3b:00.0");
        fs::create_dir(&device).expect("a folder");
        let tell = |name: &str, text: &str| fs::write(device.join(name), text).expect("a file");
        tell("numa_node", "1\n");
        tell("current_link_speed", "32.0 GT/s PCIe\n");
        tell("current_link_width", "16\n");
        let found = Topology::read(folder.path(), "0000:3B:00.0");
        assert_eq!(found.words(), "32.0 GT/s PCIe x16, NUMA node 1");
        tell("numa_node", "-1\n");
        tell("current_link_speed", "Unknown\n");
        tell("current_link_width", "0\n");
        assert_eq!(Topology::read(folder.path(), "0000:3b:00.0"), Topology::default());
        for absent in ["", "0000:00:00.0"] {
            assert_eq!(Topology::read(folder.path(), absent).words(), "");
        }
    }
}
