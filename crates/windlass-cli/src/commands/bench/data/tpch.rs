//! The eight tables of TPC-H, by the crate tpchgen.

use std::path::Path;

use arrow::record_batch::RecordBatchReader;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use super::write_table;
use crate::error::{Error, Result};

/// The tables.
pub(crate) const TABLES: [&str; 8] =
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// Writes the tables at a scale factor, the largest beside the others.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write(scale: f64, dir: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let largest = scope.spawn(|| table(dir, "lineitem", scale));
        let others = TABLES
            .iter()
            .filter(|name| **name != "lineitem")
            .try_for_each(|name| table(dir, name, scale));
        let largest =
            largest.join().map_err(|_| Error::failed("a bug in the generator of TPC-H"))?;
        largest.and(others)
    })
}

fn table(dir: &Path, name: &str, scale: f64) -> Result<()> {
    let put = |reader: Box<dyn RecordBatchReader>| write_table(dir, name, reader.schema(), reader);
    // Part 1 of 1: the whole table in one file.
    put(match name {
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
        _ => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
    })
}
