//! What a join that leaves its rows on the device gathers there: columns, and the dictionaries
//! that its two sides, its filter on the pairs and the node above share.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{common::JoinSide, physical_plan::joins::HashJoinExec};
use windlass_kernels::KernelError;

use super::super::{pair_test::PairTest, shape::Shape};
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

/// A filter on the pairs of a join.
#[derive(Debug, Clone)]
pub(super) struct Residual {
    pub(super) test: Arc<PairTest>,
    /// Where the columns that it reads of the left and of the right side are in the payloads.
    pub(super) places: [Vec<usize>; 2],
}

/// The columns of a join's inputs that the node above and the filter on the pairs read.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    /// For each column that the node above reads, in its order.
    columns: Vec<From>,
    /// How many of the left and of the right columns that takes: the first ones.
    taken: [usize; 2],
    residual: Option<Residual>,
    /// Columns of the left input, each once.
    pub(crate) left: Vec<usize>,
    /// Columns of the right input, each once.
    pub(crate) right: Vec<usize>,
}

/// The place of a column in a list, where it is put if it is not there.
fn place(list: &mut Vec<usize>, column: usize) -> usize {
    list.iter().position(|c| *c == column).unwrap_or_else(|| {
        list.push(column);
        list.len() - 1
    })
}

impl Payload {
    /// For a reader of the join's columns, and the join's filter.
    ///
    /// # Errors
    /// [`Unsupported`] when the reader asks for a column that the join has not.
    pub(crate) fn of(
        join: &HashJoinExec,
        reader: &InputPlan,
        test: Option<Arc<PairTest>>,
    ) -> Result<Self, Unsupported> {
        let shape = Shape::of(join);
        let (mut left, mut right) = (Vec::new(), Vec::new());
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
        let taken = [left.len(), right.len()];
        let residual = test.map(|test| {
            let [of_left, of_right] = test.sides();
            let left = of_left.columns.iter().map(|c| place(&mut left, c.source)).collect();
            let right = of_right.columns.iter().map(|c| place(&mut right, c.source)).collect();
            Residual { test, places: [left, right] }
        });
        Ok(Self { columns, taken, residual, left, right })
    }
}

/// Codes that are compared or passed on, and so are of one dictionary.
#[derive(Debug, Clone, Default)]
struct Alike {
    reader: BTreeSet<DictionaryId>,
    residual: BTreeSet<DictionaryId>,
    left: BTreeSet<DictionaryId>,
    right: BTreeSet<DictionaryId>,
}

impl Alike {
    fn meets(&self, other: &Self) -> bool {
        !self.reader.is_disjoint(&other.reader)
            || !self.residual.is_disjoint(&other.residual)
            || !self.left.is_disjoint(&other.left)
            || !self.right.is_disjoint(&other.right)
    }

    fn is_empty(&self) -> bool {
        [&self.reader, &self.residual, &self.left, &self.right].iter().all(|ids| ids.is_empty())
    }

    fn take(&mut self, other: Self) {
        self.reader.extend(other.reader);
        self.residual.extend(other.residual);
        self.left.extend(other.left);
        self.right.extend(other.right);
    }
}

/// One dictionary of a join, in all the places where it stands.
#[derive(Debug, Clone)]
struct Texts {
    /// The reader's names for it, if the reader has the codes too.
    reader: Vec<DictionaryId>,
    residual: Vec<DictionaryId>,
    left: Vec<DictionaryId>,
    right: Vec<DictionaryId>,
    /// The first strings of all places.
    constants: Vec<String>,
}

/// The dictionaries of a join's parts.
pub(super) struct Dictionaries {
    pub(super) left: Arc<DictionarySet>,
    pub(super) right: Arc<DictionarySet>,
    /// Those of the filter on the pairs.
    pub(super) residual: Option<Arc<DictionarySet>>,
}

/// The plan of a join whose rows stay on the device. The outputs of either side's pipeline are
/// the keys, then the payload.
#[derive(Debug, Clone)]
pub(crate) struct RowsPlan {
    /// Number of keys.
    pub(super) keys: usize,
    /// Where each column of the result is from.
    pub(super) columns: Vec<From>,
    /// How many columns of the left and of the right payload the result takes: the first ones.
    pub(super) taken: [usize; 2],
    /// The filter on the pairs.
    pub(super) residual: Option<Residual>,
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
        let payload_of = |plan: &PipelinePlan, at: usize| plan.outputs[keys + at].dictionary;
        let mut join = |set: Alike| {
            let mut all = set;
            let (meeting, apart): (Vec<_>, Vec<_>) = alike.drain(..).partition(|a| a.meets(&all));
            meeting.into_iter().for_each(|a| all.take(a));
            alike = apart;
            alike.push(all);
        };
        // Dictionaries of a side that are one in the joins below it.
        for (a, b) in left.tables.same() {
            join(Alike { left: [a, b].into(), ..Alike::default() });
        }
        for (a, b) in right.tables.same() {
            join(Alike { right: [a, b].into(), ..Alike::default() });
        }
        for (l, r) in left.outputs.iter().zip(&right.outputs).take(keys) {
            if let (Some(l), Some(r)) = (l.dictionary, r.dictionary) {
                join(Alike { left: [l].into(), right: [r].into(), ..Alike::default() });
            }
        }
        for (from, read) in payload.columns.iter().zip(&reader.columns) {
            let Some(id) = read.dictionary else { continue };
            let (l, r) = match from {
                From::Build(at) => (payload_of(left, *at), None),
                From::Probe(at) => (None, payload_of(right, *at)),
                From::Mark => (None, None),
            };
            let (left, right) = (l.into_iter().collect(), r.into_iter().collect());
            join(Alike { reader: [id].into(), left, right, ..Alike::default() });
        }
        if let Some(Residual { test, places }) = &payload.residual {
            let [of_left, of_right] = test.sides();
            for (column, at) in of_left.columns.iter().zip(&places[0]) {
                let residual = column.dictionary.into_iter().collect();
                let left = payload_of(left, *at).into_iter().collect();
                join(Alike { residual, left, ..Alike::default() });
            }
            for (column, at) in of_right.columns.iter().zip(&places[1]) {
                let residual = column.dictionary.into_iter().collect();
                let right = payload_of(right, *at).into_iter().collect();
                join(Alike { residual, right, ..Alike::default() });
            }
        }
        let residual = payload.residual.as_ref().map(|r| &*r.test.plan().tables);
        let tables = Tables { reader: tables, residual, left: &left.tables, right: &right.tables };
        let texts = alike.into_iter().filter(|a| !a.is_empty()).map(|a| tables.texts(a));
        let texts = texts.collect::<Result<_, _>>()?;
        let Payload { columns, taken, residual, .. } = payload;
        Ok(Self { keys, columns, taken, residual, texts })
    }

    /// The tables of the reader, with the constants of all places as first strings of the
    /// dictionaries that they share, and dictionaries that are one here marked so; `None` where
    /// that changes nothing.
    pub(crate) fn reader_tables(&self, tables: &HostTables) -> Option<HostTables> {
        let mut tables = tables.clone();
        let mut changed = false;
        for texts in &self.texts {
            let Some(first) = texts.reader.first() else { continue };
            for id in &texts.reader {
                let dictionary = &mut tables.dictionaries[id.0 as usize];
                let same = (id != first).then_some(*first);
                if dictionary.constants != texts.constants || dictionary.same != same {
                    dictionary.constants.clone_from(&texts.constants);
                    dictionary.same = same;
                    changed = true;
                }
            }
        }
        changed.then_some(tables)
    }

    /// The dictionaries of the join's parts for a reader with these.
    ///
    /// # Errors
    /// `Unsupported` for more constants than a dictionary has codes.
    pub(super) fn dictionaries(
        &self,
        left: &PipelinePlan,
        right: &PipelinePlan,
        reader: &DictionarySet,
    ) -> Result<Dictionaries, KernelError> {
        let limits = DictionaryLimits::default();
        let (mut of_left, mut of_right, mut of_residual) = (Vec::new(), Vec::new(), Vec::new());
        for texts in &self.texts {
            let dictionary = match texts.reader.first() {
                Some(id) => Arc::clone(reader.shared(*id)),
                None => Arc::new(SharedDictionary::new(&texts.constants, limits)?),
            };
            let one = |id: &DictionaryId| (*id, Arc::clone(&dictionary));
            of_left.extend(texts.left.iter().map(one));
            of_right.extend(texts.right.iter().map(one));
            of_residual.extend(texts.residual.iter().map(one));
        }
        let set = |tables: &Arc<HostTables>, shared| {
            Arc::new(DictionarySet::sharing(Arc::clone(tables), limits, shared))
        };
        let residual = self.residual.as_ref();
        Ok(Dictionaries {
            left: set(&left.tables, of_left),
            right: set(&right.tables, of_right),
            residual: residual.map(|r| set(&r.test.plan().tables, of_residual)),
        })
    }
}

/// What the host keeps for the parts of a join.
struct Tables<'a> {
    reader: &'a HostTables,
    residual: Option<&'a HostTables>,
    left: &'a HostTables,
    right: &'a HostTables,
}

impl Tables<'_> {
    /// The dictionary of codes that are alike.
    fn texts(&self, alike: Alike) -> Result<Texts, Unsupported> {
        let places = [
            (Some(self.reader), &alike.reader),
            (self.residual, &alike.residual),
            (Some(self.left), &alike.left),
            (Some(self.right), &alike.right),
        ];
        // What a place compares with has the first codes of its dictionary.
        let mut constants: Option<&Vec<String>> = None;
        for (tables, ids) in places {
            for id in ids {
                let Some(tables) = tables else { continue };
                let here = &tables.dictionaries[id.0 as usize].constants;
                if !here.is_empty() && *constants.get_or_insert(here) != here {
                    let why = "a text is compared with constants in two places of the join";
                    return Err(Unsupported::new(why));
                }
            }
        }
        let list = |ids: BTreeSet<DictionaryId>| ids.into_iter().collect();
        Ok(Texts {
            constants: constants.cloned().unwrap_or_default(),
            reader: list(alike.reader),
            residual: list(alike.residual),
            left: list(alike.left),
            right: list(alike.right),
        })
    }
}
