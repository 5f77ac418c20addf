//! Dataframes and SQL over DataFusion, with operators placed on devices.

pub mod batch;
pub mod lower;
pub mod plan;
