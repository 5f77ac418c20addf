//! What is recorded while statements run, where a report or a trace is to be written.

use std::{io, time::Instant};

use windlass::{DeviceClass, Session, runtime::trace::Recorder};

use crate::{
    record::{DeviceRecord, DeviceTrace, RunRecord, milliseconds_since_1970},
    sample::{Sampler, look},
};

/// Records memory, and the work of a session's devices.
pub(crate) struct Watch {
    sampler: Sampler,
    recorder: Recorder,
    /// When the events' clock began, in milliseconds since 1970 (UTC).
    began_ms: f64,
}

impl Watch {
    /// Starts.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(crate) fn start(session: &Session) -> io::Result<Self> {
        let events = session.devices().inventory().events();
        let since = Instant::now().saturating_duration_since(events.started());
        let began_ms = milliseconds_since_1970() - since.as_secs_f64() * 1e3;
        let recorder = Recorder::start(events)?;
        let session = session.clone();
        let sampler = Sampler::start(move || look(&session))?;
        Ok(Self { sampler, recorder, began_ms })
    }

    /// Ends, and adds what there is to the record of the run.
    pub(crate) fn finish(self, session: &Session, record: &mut RunRecord) {
        let trace = self.recorder.finish();
        record.traces.push(DeviceTrace { began_ms: self.began_ms, trace });
        for series in self.sampler.finish() {
            match record.memory.iter_mut().find(|s| s.name == series.name) {
                Some(known) => known.points.extend(series.points),
                None => record.memory.push(series),
            }
        }
        for device in session.devices().opened() {
            let (info, stats) = (device.info(), device.pool().stats());
            let name = info.name.to_string();
            let (cap, peak) = (stats.cap as u64, stats.peak as u64);
            let host = info.class == DeviceClass::Host;
            match record.devices.iter_mut().find(|d| d.name == name) {
                Some(known) => known.peak = known.peak.max(peak),
                None => record.devices.push(DeviceRecord { name, host, cap, peak }),
            }
        }
    }
}
