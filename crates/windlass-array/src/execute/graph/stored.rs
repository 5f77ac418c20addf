//! The tasks that read what is stored, and those that store.

use std::{collections::BTreeSet, sync::Arc};

use windlass_runtime::graph::{TaskId, Value};

use super::{Tasks, asked_by, tile_bytes};
use crate::{
    execute::{
        kept::Kept,
        program::Program,
        stage::{Stage, mapped},
    },
    io::{
        sink::Sink,
        source::{Reading, Source},
    },
    region::overlaps,
};

impl Tasks<'_> {
    /// The tasks that put tiles away: each chunk by chunk.
    pub(super) fn put(
        &mut self,
        program: &Arc<Program>,
        sink: &Arc<dyn Sink>,
        wanted: &mut Vec<TaskId>,
    ) {
        let chunks = sink.chunks();
        let more = tile_bytes(chunks, program.dtype.bytes()) + sink.working_bytes();
        let group = self.program_group_with("store", 0, program, chunks, more);
        for index in sink.grid().indices() {
            let region = sink.grid().region(index.as_slice());
            let asked = asked_by(program, &region);
            let (program, sink) = (Arc::clone(program), Arc::clone(sink));
            wanted.push(self.task(group, asked, &[], move |given, _| {
                let mut done = Ok(());
                overlaps(sink.chunks(), &region, |index, _| {
                    if done.is_ok() {
                        let chunk = sink.chunks().region(index);
                        done = mapped(&program, &chunk, given)
                            .and_then(|kept| Ok(kept.host()?))
                            .and_then(|tile| sink.write(&chunk, &tile));
                    }
                });
                done.map(|()| Value::new(()))
            }));
        }
    }

    /// The tasks that read a stage's tiles: each what is asked of it.
    pub(super) fn read(
        &mut self,
        at: usize,
        stage: &Arc<Stage>,
        source: &Arc<dyn Source>,
        tiles: &BTreeSet<usize>,
    ) {
        let readings: Vec<Reading> = tiles
            .iter()
            .map(|&tile| {
                let asked = self.wanted_parts.remove(&(at, tile)).unwrap_or_default();
                Reading::new(&stage.region(tile), asked)
            })
            .collect();
        let size = readings.iter().map(Reading::size).max().unwrap_or(0);
        let bytes = (size * stage.dtype.bytes()) as u64;
        let group = self.group(stage.name, bytes, source.working_bytes());
        for (&tile, reading) in tiles.iter().zip(readings) {
            self.begins.insert((at, tile), reading.begin().into());
            let (source, dtype) = (Arc::clone(source), stage.dtype);
            let task = self.builder.task(group, &[], move |_| {
                Ok(Value::spillable(Kept::Host(reading.tile(&*source, dtype)?)))
            });
            self.made.insert((at, tile), task);
        }
    }
}
