//! The text forms of devices: a name (`cuda:0`) and a spec (`auto`, a list, a family).

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{
    error::{DeviceError, Result},
    info::Backend,
};

const HINT: &str = "use auto, cpu, cuda, cuda:N, wgpu, wgpu:N, cuda-emulated:N, \
                    cuda-emulated*N or a comma list of these; `windlass devices` lists them";

/// One device: `cpu`, `cuda:0`, `wgpu:1`, `cuda-emulated:3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName {
    backend: Backend,
    index: u32,
}

impl PartialOrd for Backend {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Backend {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl DeviceName {
    /// The host.
    pub fn cpu() -> Self {
        Self { backend: Backend::Cpu, index: 0 }
    }

    /// Device `index` of a backend; `cpu` has one device only and ignores the index.
    pub fn new(backend: Backend, index: u32) -> Self {
        Self { backend, index: if backend == Backend::Cpu { 0 } else { index } }
    }

    /// The backend.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The index within the backend.
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// The family's name as written in specs.
fn family(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "cpu",
        Backend::Cuda => "cuda",
        Backend::CudaEmulated => "cuda-emulated",
        Backend::Wgpu => "wgpu",
    }
}

fn backend(text: &str) -> Option<Backend> {
    [Backend::Cpu, Backend::Cuda, Backend::CudaEmulated, Backend::Wgpu]
        .into_iter()
        .find(|b| family(*b) == text)
}

fn unknown(text: &str) -> DeviceError {
    DeviceError::UnknownDevice { text: text.to_string(), hint: HINT.to_string() }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backend {
            Backend::Cpu => f.write_str("cpu"),
            b => write!(f, "{}:{}", family(b), self.index),
        }
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self> {
        if text == "cpu" {
            return Ok(Self::cpu());
        }
        let (f, i) = text.split_once(':').ok_or_else(|| unknown(text))?;
        match (backend(f), i.parse()) {
            (Some(b), Ok(index)) if b != Backend::Cpu => Ok(Self { backend: b, index }),
            _ => Err(unknown(text)),
        }
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// One part of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecItem {
    /// One device.
    One(DeviceName),
    /// All devices of a family.
    All(Backend),
    /// The first N devices of a family: `cuda-emulated*4`.
    First(Backend, u32),
}

/// What a user asks for: `auto`, or a comma list of names and families. The host is
/// always part of a session, whatever the spec says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceSpec {
    /// The host and every real GPU; never a software adapter or the emulator.
    #[default]
    Auto,
    /// The listed devices.
    List(Vec<SpecItem>),
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let item = |part: &str| -> Result<SpecItem> {
            let part = part.trim();
            if part == "auto" {
                return Err(DeviceError::UnknownDevice {
                    text: text.to_string(),
                    hint: "auto stands alone, not in a list".to_string(),
                });
            }
            if part == "cpu" || part.contains(':') {
                return part.parse().map(SpecItem::One);
            }
            if let Some((f, n)) = part.split_once('*') {
                return match (backend(f), n.parse::<u32>()) {
                    (Some(b), Ok(n)) if n > 0 && b != Backend::Cpu => Ok(SpecItem::First(b, n)),
                    _ => Err(unknown(part)),
                };
            }
            backend(part).map(SpecItem::All).ok_or_else(|| unknown(part))
        };
        text.split(',').map(item).collect::<Result<Vec<_>>>().map(Self::List)
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::List(items) = self else { return f.write_str("auto") };
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match item {
                SpecItem::One(name) => write!(f, "{name}")?,
                SpecItem::All(b) => f.write_str(family(*b))?,
                SpecItem::First(b, n) => write!(f, "{}*{n}", family(*b))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_specs_round_trip() {
        for t in ["auto", "cpu", "cuda:0", "wgpu:3", "cuda", "cuda-emulated*4", "cpu,cuda:1,wgpu"] {
            assert_eq!(t.parse::<DeviceSpec>().unwrap().to_string(), t);
        }
    }

    #[test]
    fn what_does_not_parse_says_what_would() {
        for t in ["", "gpu", "cuda:", "cuda:x", "cpu:1", "cuda*0", "cpu*2", "auto,cpu", "cuda:-1"] {
            let e = t.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(e.starts_with("unknown device") && e.len() > 40, "{t}: {e}");
        }
    }
}
