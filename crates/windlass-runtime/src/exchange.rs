//! Exchange of buffers between the devices of a host.
//!
//! ```text
//!   cuda:0 ─► copies between peers ───────────────► cuda:1     where they reach each other
//!   cuda:0 ─► rounds through a piece of the host ─► wgpu:0     else
//! ```
//!
//! Sizes come first: all memory on the receiving device is reserved before the first byte
//! moves, so that an exchange takes place as a whole or not at all.

use windlass_device::{Device, DeviceBuffer, DeviceError, Queue};

/// Most bytes of the host's memory that an exchange has in use at once. A stated guess, at which
/// a copy to or from a device reaches the link's rate.
pub const ROUND_BYTES: usize = 8 << 20;

/// The way that buffers took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// They were there already.
    Stayed,
    /// From device to device.
    Peers,
    /// Through the memory of the host.
    Host,
}

/// Buffers on the receiving device.
#[derive(Debug)]
pub struct Sent {
    /// As many as were sent, of the same lengths and contents, in the same order.
    pub buffers: Vec<DeviceBuffer>,
    /// The way that they took.
    pub route: Route,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// Where buffers go.
pub struct Receiver<'a> {
    /// The device.
    pub device: &'a dyn Device,
    /// A queue of it.
    pub queue: &'a mut dyn Queue,
}

impl std::fmt::Debug for Receiver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receiver").field(&self.device.info().name).finish()
    }
}

/// Copies buffers to another device, after the work before on `from`, a queue of the device that
/// they are on. The copies are done when this returns. Buffers of the receiving device itself
/// are handed on as they are.
///
/// # Errors
/// `OutOfMemory` before anything is copied; `InvalidArgument` for buffers of several devices;
/// `Transfer` and `Lost` of either device.
pub fn send(
    from: &mut dyn Queue,
    to: Receiver<'_>,
    buffers: &[DeviceBuffer],
) -> Result<Sent, DeviceError> {
    let Receiver { device, queue } = to;
    let bytes = buffers.iter().map(DeviceBuffer::len).sum();
    let Some(first) = buffers.first() else {
        return Ok(Sent { buffers: Vec::new(), route: Route::Stayed, bytes });
    };
    if let Some(other) = buffers.iter().find(|b| b.device() != first.device()) {
        let (a, b) = (first.device(), other.device());
        let text = format!("an exchange of buffers of {a} and {b}: one sender at a time");
        return Err(DeviceError::InvalidArgument(text));
    }
    from.synchronize()?;
    if *first.device() == device.info().name {
        return Ok(Sent { buffers: buffers.to_vec(), route: Route::Stayed, bytes });
    }
    let mut memory = device.pool().reserve(bytes)?;
    let targets = buffers.iter().map(|b| device.alloc(&mut memory, b.len()));
    let targets: Vec<DeviceBuffer> = targets.collect::<Result<_, _>>()?;
    let mut route = Route::Peers;
    let mut staging = Vec::new();
    for (source, target) in buffers.iter().zip(&targets) {
        if route == Route::Peers && !queue.copy_from_peer(source, 0, target, 0, source.len())? {
            route = Route::Host;
        }
        if route == Route::Host {
            for at in (0..source.len()).step_by(ROUND_BYTES) {
                staging.resize(ROUND_BYTES.min(source.len() - at), 0);
                from.download(source, at, &mut staging)?;
                queue.upload(target, at, &staging)?;
            }
        }
    }
    queue.synchronize()?;
    Ok(Sent { buffers: targets, route, bytes })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_device::{DeviceOptions, open_device};

    use super::*;

    fn open(name: &str, memory: Option<usize>) -> Option<Arc<dyn Device>> {
        let options = DeviceOptions { memory_cap: memory, ..DeviceOptions::default() };
        open_device(&name.parse().expect("a name"), &options).ok()
    }

    fn filled(device: &dyn Device, lens: &[usize]) -> Vec<DeviceBuffer> {
        let mut queue = device.queue().expect("a queue");
        let mut memory = device.pool().reserve(0).expect("memory");
        let buffers = lens.iter().enumerate().map(|(i, &len)| {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + i) as u8).collect();
            let buffer = device.alloc(&mut memory, len).expect("memory");
            queue.upload(&buffer, 0, &bytes).expect("an upload");
            buffer
        });
        let buffers = buffers.collect();
        queue.synchronize().expect("done");
        buffers
    }

    fn bytes(device: &dyn Device, buffer: &DeviceBuffer) -> Vec<u8> {
        let mut found = vec![0; buffer.len()];
        let mut queue = device.queue().expect("a queue");
        queue.download(buffer, 0, &mut found).expect("a download");
        found
    }

    const LENS: [usize; 5] = [4, 0, 1000, ROUND_BYTES + 12, 64];

    #[test]
    fn buffers_arrive_whole_by_every_route() {
        for (from, to, route) in [
            ("cuda-emulated:0", "cuda-emulated:1", Route::Peers),
            ("cuda-emulated:0", "cuda-emulated:0", Route::Stayed),
            ("cuda-emulated:0", "cpu", Route::Host),
            ("cuda-emulated:1", "wgpu:0", Route::Host),
            ("wgpu:0", "cuda-emulated:1", Route::Host),
        ] {
            let (Some(a), Some(b)) = (open(from, None), open(to, None)) else {
                eprintln!("{from} or {to} is not on this host");
                continue;
            };
            let sent = filled(&*a, &LENS);
            let (mut out, mut queue) = (a.queue().expect("one"), b.queue().expect("one"));
            let receiver = Receiver { device: &*b, queue: &mut *queue };
            let got = send(&mut *out, receiver, &sent).expect("an exchange");
            assert_eq!((got.route, got.bytes), (route, LENS.iter().sum()), "{from} to {to}");
            assert_eq!(got.buffers.len(), LENS.len());
            for (i, (sent, got)) in sent.iter().zip(&got.buffers).enumerate() {
                assert_eq!(got.device(), &b.info().name);
                assert!(bytes(&*a, sent) == bytes(&*b, got), "buffer {i} from {from} to {to}");
            }
        }
    }

    #[test]
    fn without_room_for_all_nothing_is_sent() {
        let a = open("cuda-emulated:0", None).expect("a compiler");
        let b = open("cuda-emulated:1", Some(1000)).expect("a compiler");
        let sent = filled(&*a, &[600, 600]);
        let (mut out, mut queue) = (a.queue().expect("one"), b.queue().expect("one"));
        let receiver = Receiver { device: &*b, queue: &mut *queue };
        let error = send(&mut *out, receiver, &sent).expect_err("no room");
        assert!(matches!(error, DeviceError::OutOfMemory { .. }), "{error}");
        assert_eq!(b.pool().stats().in_use, 0);
        let mixed = [filled(&*a, &[8]), filled(&*b, &[8])].concat();
        let receiver = Receiver { device: &*b, queue: &mut *queue };
        let error = send(&mut *out, receiver, &mixed).expect_err("two senders");
        assert!(error.to_string().contains("one sender at a time"), "{error}");
    }
}
