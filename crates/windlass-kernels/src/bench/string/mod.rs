//! Benches of the operations on texts, over offsets and bytes and over views, of short texts and
//! of long ones.
//!
//! | module | holds |
//! |---|---|
//! | `data` | the texts, and their columns on a device and in pieces for references |
//! | `values` | one value from each text: comparisons, searches, lengths, hashes, order |
//! | `texts` | texts from texts: gather, conversions, substring, concatenation |

use super::Bench;

mod data;
mod texts;
mod values;

use data::{Data, Form, Size};

const OFFSETS_SHORT: Data = Data { form: Form::Offsets, size: Size::Short };
const OFFSETS_LONG: Data = Data { form: Form::Offsets, size: Size::Long };
const VIEWS_SHORT: Data = Data { form: Form::Views, size: Size::Short };
const VIEWS_LONG: Data = Data { form: Form::Views, size: Size::Long };

/// Every form and size.
const ALL: [Data; 4] = [OFFSETS_SHORT, OFFSETS_LONG, VIEWS_SHORT, VIEWS_LONG];

/// One of each form and of each size, for operations whose time hardly differs.
const TWO: [Data; 2] = [OFFSETS_SHORT, VIEWS_LONG];

pub(super) fn benches() -> Vec<Bench> {
    [values::benches(), texts::benches()].into_iter().flatten().collect()
}
