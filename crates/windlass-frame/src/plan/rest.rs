//! What placement does and says about rows that stay on a device.

use std::sync::Arc;

use datafusion::{error::Result, physical_plan::ExecutionPlan};
use windlass_device::{Device, DeviceClass};

use super::{
    moved,
    resident::{Keeping, Note},
    rule::Placer,
};
use crate::nodes::DeviceSortExec;

impl Placer<'_> {
    /// A sort, limit, union or exchange over inputs that were placed, with its rows on the
    /// device where those below are there.
    pub(super) fn rest(
        &mut self,
        plan: Arc<dyn ExecutionPlan>,
        id: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sorts = plan.is::<DeviceSortExec>();
        if !sorts {
            let Some(reason) = moved::stays(&plan) else { return Ok(plan) };
            self.decisions[id].reason = reason;
            self.movers.push((Arc::clone(&plan), id));
            if !self.paired[id] {
                self.exchanges.push(Arc::clone(&plan));
            }
        }
        let top = moved::top(&plan, &self.keeping());
        let sorted = std::mem::take(&mut self.decisions[id].reason);
        let (reason, rested) = match top {
            None => (sorted, plan),
            Some(Err(why)) if sorts => (format!("{sorted}; {}", why.reason), plan),
            Some(Err(why)) => (why.reason, plan),
            Some(Ok((rested, placed, notes))) => {
                self.placed += 1;
                self.notes(notes, &*placed.device, true);
                let reason = match sorts {
                    true => format!("{sorted}; the rows below are there"),
                    false => "its rows are there".to_string(),
                };
                self.decisions[id].reason.clone_from(&reason);
                self.mark(id..id + 1, &placed.name());
                (reason, rested)
            }
        };
        self.decisions[id].reason = reason;
        Ok(rested)
    }

    /// What decides whether rows stay on a device.
    pub(super) fn keeping(&self) -> Keeping<'_> {
        Keeping {
            collapse: self.options.collapse,
            footers: self.options.footers.as_ref(),
            rows: self.options.keep_rows,
            forced: self.options.force_device.is_some(),
            exchanges: &self.exchanges,
        }
    }

    /// Says of joins, and of what passes on their rows, whether these stay on the device.
    pub(super) fn notes(&mut self, notes: Vec<Note>, device: &dyn Device, kept: bool) {
        for (node, note) in notes {
            let of = |list: &[(Arc<dyn ExecutionPlan>, usize)]| {
                list.iter().find(|(n, _)| Arc::ptr_eq(n, &node)).map(|(_, id)| *id)
            };
            let (join, mover) = (of(&self.joins), of(&self.movers));
            let stays = match (note, kept) {
                (Ok(()), true) if mover.is_some() => "its rows are there".to_string(),
                (Ok(()), true) => "its rows stay on the device".to_string(),
                (Ok(()), false) if device.info().class == DeviceClass::Host => {
                    "its rows come to the host, where the next operator is".to_string()
                }
                (Ok(()), false) => "its rows come to the host, which moves fewer bytes".to_string(),
                (Err(why), _) => format!("its rows come to the host: {why}"),
            };
            if let Some(id) = mover {
                let placed = kept && stays == "its rows are there";
                self.decisions[id].reason = stays;
                if placed {
                    self.mark(id..id + 1, &device.info().name.to_string());
                }
            } else if let Some(id) = join {
                let reason = &mut self.decisions[id].reason;
                if !reason.ends_with(&stays) {
                    *reason = format!("{reason}; {stays}");
                }
            }
        }
    }
}
