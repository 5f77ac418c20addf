//! Placement: which operators of a physical plan run on which device, and why.
//!
//! | module | holds |
//! |---|---|
//! | [`devices`] | [`DeviceSet`]: the devices a plan may be placed on |
//! | [`decision`] | [`Decision`]: what was decided about one operator |
//! | [`rule`] | [`PlaceOnDevice`] and [`place`], its pure function |
//! | `segment` | the largest runs of operators that one device node can stand for |
//! | `breaker` | joins, sorts and windows |
//! | `children` | nodes over inputs that were placed |
//! | `resident` | joins whose rows stay on the device for the segment above |
//! | `moved` | limits, unions, exchanges and sorts of rows that are on a device |
//! | `rest` | what is said of the rows that stay there |
//! | `group_keys` | joins with groups on their keys and results |
//! | `group_top` | filters on a row number, of which a sort need not see all rows |
//! | `estimate` | rows, bytes and costs of a segment |
//! | `order` | the order of joins |
//! | `subquery` | filters that compare with the value of a subquery |
//! | `share` | aggregations, and joins that are aggregated, that stand in a query more than once |
//! | `window_filter` | conditions of window aggregates, moved into their arguments |
//! | `late` | scans that test a join's keys before they read the rest of a row |
//! | `choose` | the device of a segment, with the reason |

mod breaker;
mod children;
mod choose;
mod coded;
pub mod decision;
pub mod devices;
mod estimate;
mod group_keys;
mod group_top;
mod late;
mod moved;
mod order;
mod resident;
mod rest;
pub mod rule;
mod segment;
mod share;
mod subquery;
mod window_filter;

pub(crate) use group_keys::CompareResultsLast;
pub(crate) use late::{ReadLate, is_read_late, is_told};
pub(crate) use order::OrderJoins;

pub use coded::Footers;
pub use decision::{Decision, Estimate};
pub use devices::DeviceSet;
pub(crate) use share::SharingPlanner;
pub(crate) use window_filter::FilterInArgument;

pub use rule::{PlaceOnDevice, PlacementOptions, place};
