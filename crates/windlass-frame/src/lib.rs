//! Dataframes and SQL over DataFusion, with operators placed on devices.

pub mod plan;
