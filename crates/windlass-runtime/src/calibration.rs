//! Measured rates of a device, kept in the user's cache folder.
//!
//! The figures are what this library's own copies reach, pageable host memory included, and
//! not a datasheet's. A calibration takes under 0.1 s on a GPU and is made once per device,
//! driver and version of this crate.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use windlass_device::{Device, DeviceClass, DeviceError, DeviceName};

/// Bytes of one timed copy: past the caches of a GPU, small against its memory.
const BYTES: usize = 16 << 20;
/// Bytes of one timed copy where the host plays the device: those are slow, and no cost
/// decision depends on them.
const SMALL_BYTES: usize = 1 << 20;
/// Timed repeats; the fastest counts, as the others were disturbed.
const REPEATS: usize = 5;

/// What a device was measured at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Host to device, in bytes a second.
    pub upload: f64,
    /// Device to host, in bytes a second.
    pub download: f64,
    /// Copies within the device, in bytes read and written a second: the rate of a kernel
    /// that does nothing but move its data.
    pub memory: f64,
    /// From the call of a small piece of work to the end of waiting for it, in seconds.
    pub launch: f64,
}

impl Calibration {
    /// Measures a device.
    ///
    /// # Errors
    /// The device's errors.
    pub fn measure(device: &dyn Device) -> Result<Self, DeviceError> {
        let real = matches!(device.info().class, DeviceClass::Real | DeviceClass::Host);
        let bytes = if real { BYTES } else { SMALL_BYTES };
        let bytes = bytes.min(device.info().limits.max_buffer_bytes) / 4 * 4;
        let mut reservation = device.pool().reserve(2 * bytes + 256)?;
        let a = device.alloc(&mut reservation, bytes)?;
        let b = device.alloc(&mut reservation, bytes)?;
        let word = device.alloc(&mut reservation, 4)?;
        let mut queue = device.queue()?;
        let mut host = vec![1_u8; bytes];
        let queue = &mut *queue;
        // Once untimed: page faults, lazily made staging buffers.
        queue.upload(&a, 0, &host)?;
        queue.copy(&a, 0, &b, 0, bytes)?;
        queue.download(&b, 0, &mut host)?;
        queue.synchronize()?;

        let upload = fastest(|| {
            queue.upload(&a, 0, &host)?;
            queue.synchronize()
        })?;
        let memory = fastest(|| {
            queue.copy(&a, 0, &b, 0, bytes)?;
            queue.synchronize()
        })?;
        let download = fastest(|| queue.download(&b, 0, &mut host))?;
        let launch = fastest(|| {
            queue.fill(&word, 1)?;
            queue.synchronize()
        })?;
        // Whole numbers: they come back from a file as they were.
        let rate = |time: Duration| (bytes as f64 / time.as_secs_f64().max(1e-9)).round();
        Ok(Self {
            upload: rate(upload),
            download: rate(download),
            memory: 2.0 * rate(memory),
            launch: launch.as_secs_f64(),
        })
    }

    /// Whether the figures can be divided by.
    fn sane(&self) -> bool {
        [self.upload, self.download, self.memory].iter().all(|r| r.is_finite() && *r > 0.0)
            && self.launch.is_finite()
            && self.launch >= 0.0
    }
}

fn fastest(mut f: impl FnMut() -> Result<(), DeviceError>) -> Result<Duration, DeviceError> {
    let mut best = Duration::MAX;
    for _ in 0..REPEATS {
        let began = Instant::now();
        f()?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    calibration: Calibration,
}

/// Calibrations in memory and in a folder.
#[derive(Debug)]
pub struct CalibrationStore {
    folder: Option<PathBuf>,
    known: Mutex<Vec<(DeviceName, Arc<Calibration>)>>,
}

impl Default for CalibrationStore {
    /// In `windlass/calibration` of the user's cache folder; in memory alone where there
    /// is none.
    fn default() -> Self {
        Self::new(dirs::cache_dir().map(|d| d.join("windlass").join("calibration")))
    }
}

impl CalibrationStore {
    /// In `folder`, or in memory alone.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// The calibration of a device: the one in memory, else the one on disk, else it is
    /// measured. A file that does not read, or is another device's, is measured again; one
    /// that does not write costs the next process a measurement.
    ///
    /// # Errors
    /// The device's errors while measuring.
    pub fn get(&self, device: &dyn Device) -> Result<Arc<Calibration>, DeviceError> {
        let name = &device.info().name;
        let mut known = self.known.lock();
        if let Some((_, c)) = known.iter().find(|(n, _)| n == name) {
            return Ok(Arc::clone(c));
        }
        let key = key(device);
        let path = self.folder.as_ref().map(|f| f.join(file_name(&key)));
        let stored = path.as_deref().and_then(|p| read(p, &key));
        let calibration = Arc::new(match stored {
            Some(c) => c,
            None => {
                let c = Calibration::measure(device)?;
                if let Some(path) = &path
                    && let Err(e) = write(path, &key, &c)
                {
                    tracing::debug!(path = %path.display(), error = %e, "calibration not kept");
                }
                c
            }
        });
        known.push((name.clone(), Arc::clone(&calibration)));
        Ok(calibration)
    }

    /// Measures a device again and keeps the result.
    ///
    /// # Errors
    /// The device's errors while measuring.
    pub fn renew(&self, device: &dyn Device) -> Result<Arc<Calibration>, DeviceError> {
        self.known.lock().retain(|(n, _)| *n != device.info().name);
        let key = key(device);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_file(folder.join(file_name(&key)));
        }
        self.get(device)
    }
}

fn key(device: &dyn Device) -> String {
    let i = device.info();
    format!("{}|{}|{}|{}", i.name, i.model, i.driver, env!("CARGO_PKG_VERSION"))
}

/// The key with only letters, digits and dashes, cut to a length every file system takes.
fn file_name(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut name: String = key.chars().map(plain).take(120).collect();
    name.push_str(".json");
    name
}

fn read(path: &Path, key: &str) -> Option<Calibration> {
    let stored: Stored = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (stored.key == key && stored.calibration.sane()).then_some(stored.calibration)
}

/// Writes to a name of this process's own and renames, so that a reader sees all or nothing.
fn write(path: &Path, key: &str, calibration: &Calibration) -> std::io::Result<()> {
    let stored = Stored { key: key.to_string(), calibration: calibration.clone() };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, serde_json::to_vec_pretty(&stored)?)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use windlass_device::{DeviceOptions, open_device};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn the_host_is_measured_once_and_remembered_on_disk() {
        let cpu = open_device(&DeviceName::cpu(), &DeviceOptions::default()).unwrap();
        let folder = folder("calibration");
        let first = CalibrationStore::new(Some(folder.clone())).get(&*cpu).unwrap();
        assert!(first.sane() && first.memory > 1e6, "{first:?}");
        let second = CalibrationStore::new(Some(folder.clone())).get(&*cpu).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(cpu.pool().stats().in_use, 0);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_corrupt_or_foreign_file_is_measured_again() {
        let cpu = open_device(&DeviceName::cpu(), &DeviceOptions::default()).unwrap();
        let folder = folder("calibration-corrupt");
        let path = folder.join(file_name(&key(&*cpu)));
        fs::create_dir_all(&folder).unwrap();
        let zero = Calibration { upload: 0.0, download: 1.0, memory: 1.0, launch: 0.0 };
        let foreign = Calibration { upload: 1.0, ..zero.clone() };
        write(&path, "another device", &foreign).unwrap();
        assert_ne!(*CalibrationStore::new(Some(folder.clone())).get(&*cpu).unwrap(), foreign);
        write(&path, &key(&*cpu), &zero).unwrap();
        assert_ne!(*CalibrationStore::new(Some(folder.clone())).get(&*cpu).unwrap(), zero);
        fs::write(&path, "{\"key\":").unwrap();
        let fresh = CalibrationStore::new(Some(folder.clone())).get(&*cpu).unwrap();
        assert_eq!(read(&path, &key(&*cpu)).as_ref(), Some(&*fresh));
        fs::remove_dir_all(folder).unwrap();
    }
}
