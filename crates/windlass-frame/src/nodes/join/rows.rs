//! What a join that leaves its rows on the device gathers there: columns, and the dictionaries
//! that its two sides and the node above share.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{common::JoinSide, physical_plan::joins::HashJoinExec};
use windlass_kernels::KernelError;

use super::shape::Shape;
use crate::{
    batch::{DictionaryLimits, DictionarySet, SharedDictionary},
    lower::{DictionaryId, HostTables, InputPlan, PipelinePlan, Unsupported},
};

/// Where a column of the result is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// This column of the build side's payload.
    Build(usize),
    /// This column of the probe side's payload.
    Probe(usize),
    /// Whether the row has a match, in a mark join.
    Mark,
}

/// The columns of a join's inputs that the node above reads.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    /// For each column that is read, in the reader's order.
    columns: Vec<From>,
    /// Columns of the left input, each once.
    pub(crate) left: Vec<usize>,
    /// Columns of the right input, each once.
    pub(crate) right: Vec<usize>,
}

impl Payload {
    /// For a reader of the join's columns.
    ///
    /// # Errors
    /// [`Unsupported`] when the reader asks for a column that the join has not.
    pub(crate) fn of(join: &HashJoinExec, reader: &InputPlan) -> Result<Self, Unsupported> {
        let shape = Shape::of(join);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let place = |list: &mut Vec<usize>, column| {
            list.iter().position(|c| *c == column).unwrap_or_else(|| {
                list.push(column);
                list.len() - 1
            })
        };
        let columns = reader.columns.iter().map(|c| match shape.columns.get(c.source) {
            Some(from) if from.side == JoinSide::Left => {
                Ok(From::Build(place(&mut left, from.index)))
            }
            Some(from) if from.side == JoinSide::Right => {
                Ok(From::Probe(place(&mut right, from.index)))
            }
            Some(_) => Ok(From::Mark),
            None => Err(Unsupported::new(format!("the join has no column {}", c.name))),
        });
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Self { columns, left, right })
    }
}

/// Codes that are compared or passed on, and so are of one dictionary.
#[derive(Debug, Clone, Default)]
struct Alike {
    reader: BTreeSet<DictionaryId>,
    left: BTreeSet<DictionaryId>,
    right: BTreeSet<DictionaryId>,
}

impl Alike {
    fn meets(&self, other: &Self) -> bool {
        !self.reader.is_disjoint(&other.reader)
            || !self.left.is_disjoint(&other.left)
            || !self.right.is_disjoint(&other.right)
    }

    fn take(&mut self, other: Self) {
        self.reader.extend(other.reader);
        self.left.extend(other.left);
        self.right.extend(other.right);
    }
}

/// One dictionary of a join, in all the places where it stands.
#[derive(Debug, Clone)]
struct Texts {
    /// The reader's name for it, if the reader has the codes too.
    reader: Option<DictionaryId>,
    left: Vec<DictionaryId>,
    right: Vec<DictionaryId>,
    /// The first strings of the sides' places.
    constants: Vec<String>,
}

/// The plan of a join whose rows stay on the device. The outputs of either side's pipeline are
/// the keys, then the payload.
#[derive(Debug, Clone)]
pub(crate) struct RowsPlan {
    /// Number of keys.
    pub(super) keys: usize,
    /// Where each column of the result is from.
    pub(super) columns: Vec<From>,
    texts: Vec<Texts>,
}

impl RowsPlan {
    /// For sides that were lowered to these pipelines, and a reader with these tables.
    ///
    /// # Errors
    /// [`Unsupported`] where texts cannot have one dictionary in all places.
    pub(crate) fn new(
        keys: usize,
        payload: Payload,
        (left, right): (&PipelinePlan, &PipelinePlan),
        (reader, tables): (&InputPlan, &HostTables),
    ) -> Result<Self, Unsupported> {
        let mut alike: Vec<Alike> = Vec::new();
        let mut join = |set: Alike| {
            let mut all = set;
            let (meeting, apart): (Vec<_>, Vec<_>) = alike.drain(..).partition(|a| a.meets(&all));
            meeting.into_iter().for_each(|a| all.take(a));
            alike = apart;
            alike.push(all);
        };
        for (l, r) in left.outputs.iter().zip(&right.outputs).take(keys) {
            if let (Some(l), Some(r)) = (l.dictionary, r.dictionary) {
                join(Alike { left: [l].into(), right: [r].into(), ..Alike::default() });
            }
        }
        for (from, read) in payload.columns.iter().zip(&reader.columns) {
            let Some(id) = read.dictionary else { continue };
            let side = |plan: &PipelinePlan, at: usize| plan.outputs[keys + at].dictionary;
            let (l, r) = match from {
                From::Build(at) => (side(left, *at), None),
                From::Probe(at) => (None, side(right, *at)),
                From::Mark => (None, None),
            };
            let (left, right) = (l.into_iter().collect(), r.into_iter().collect());
            join(Alike { reader: [id].into(), left, right });
        }
        let texts = alike.into_iter().map(|a| texts(a, left, right, tables));
        Ok(Self { keys, columns: payload.columns, texts: texts.collect::<Result<_, _>>()? })
    }

    /// The tables of the reader, with the constants of the sides as first strings of the
    /// dictionaries that they share; `None` where that changes nothing.
    pub(crate) fn reader_tables(&self, tables: &HostTables) -> Option<HostTables> {
        let mut tables = tables.clone();
        let mut changed = false;
        for texts in self.texts.iter().filter(|t| !t.constants.is_empty()) {
            let Some(id) = texts.reader else { continue };
            let constants = &mut tables.dictionaries[id.0 as usize].constants;
            if *constants != texts.constants {
                constants.clone_from(&texts.constants);
                changed = true;
            }
        }
        changed.then_some(tables)
    }

    /// The dictionaries of both sides for a reader with these.
    ///
    /// # Errors
    /// `Unsupported` for more constants than a dictionary has codes.
    pub(super) fn dictionaries(
        &self,
        left: &PipelinePlan,
        right: &PipelinePlan,
        reader: &DictionarySet,
    ) -> Result<(Arc<DictionarySet>, Arc<DictionarySet>), KernelError> {
        let limits = DictionaryLimits::default();
        let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
        for texts in &self.texts {
            let dictionary = match texts.reader {
                Some(id) => Arc::clone(reader.shared(id)),
                None => Arc::new(SharedDictionary::new(&texts.constants, limits)?),
            };
            of_left.extend(texts.left.iter().map(|id| (*id, Arc::clone(&dictionary))));
            of_right.extend(texts.right.iter().map(|id| (*id, Arc::clone(&dictionary))));
        }
        let set = |plan: &PipelinePlan, shared| {
            Arc::new(DictionarySet::sharing(Arc::clone(&plan.tables), limits, shared))
        };
        Ok((set(left, of_left), set(right, of_right)))
    }
}

/// The dictionary of codes that are alike.
fn texts(
    alike: Alike,
    left: &PipelinePlan,
    right: &PipelinePlan,
    reader: &HostTables,
) -> Result<Texts, Unsupported> {
    let constants = |tables: &HostTables, ids: &BTreeSet<DictionaryId>| {
        let of = |id: &DictionaryId| tables.dictionaries[id.0 as usize].constants.clone();
        ids.iter().map(of).filter(|c| !c.is_empty()).collect::<Vec<_>>()
    };
    if alike.reader.len() > 1 {
        return Err(Unsupported::new("two texts of the operator above are one text of its inputs"));
    }
    let read = constants(reader, &alike.reader);
    let mut own = constants(&left.tables, &alike.left);
    own.extend(constants(&right.tables, &alike.right));
    // What a place compares with has the first codes of its dictionary.
    own.dedup();
    if own.len() > 1 || !own.is_empty() && !read.is_empty() && own != read {
        return Err(Unsupported::new("a text is compared with constants on two sides of the join"));
    }
    Ok(Texts {
        reader: alike.reader.into_iter().next(),
        left: alike.left.into_iter().collect(),
        right: alike.right.into_iter().collect(),
        constants: own.pop().unwrap_or_default(),
    })
}
