//! Sorting against Arrow's `lexsort_to_indices`, with the row number as the last key so that
//! ties are determined, and `partition`.
//!
//! | module | holds |
//! |---|---|
//! | `case` | keys over host columns, and Arrow's sort of them |
//! | `runs` | first rows, merges and bounds |

use conformance::{
    Bench, HostColumn, Presented, Target,
    data::{self, Nulls, Random},
};
use windlass_kernels::{PhysType, sort::SortKey};

mod case;
mod runs;

use case::{Case, ints, key, on_cases};
use runs::{bounds, first_rows, first_rows_of_groups, merges};

conformance::everywhere!(all:
    every_type,
    sizes,
    shapes,
    many_rows,
    wide_keys,
    random,
    first_rows,
    first_rows_of_groups,
    merges,
    bounds,
);

conformance::everywhere!(wgpu_reversed:
    sizes, shapes, many_rows, wide_keys, first_rows, first_rows_of_groups, merges, bounds);

/// All directions and places of nulls; extremes of each type, NaNs and negative zeros.
fn every_type(target: Target) {
    let mut bench = Bench::new(target);
    for (i, ty) in PhysType::ALL.into_iter().enumerate() {
        for (j, nulls) in [Nulls::None, Nulls::OneIn(5), Nulls::All].into_iter().enumerate() {
            let mut column = data::column(ty, 300, nulls, 7 + i as u64);
            if nulls != Nulls::All {
                column.values.extend(data::extremes(ty).into_iter().map(Some));
            }
            if ty == PhysType::F64 && nulls == Nulls::None {
                let nans = [0x7ff8_0000_0000_0001, 0xfff0_0000_0000_0001, 0xffff_ffff_ffff_ffff];
                column.values.extend(nans.map(Some));
            }
            let how = match (i + j) % 3 {
                0 => Presented::Packed(0),
                1 => Presented::Packed(5),
                _ => Presented::Wide,
            };
            let directions = [(false, false), (false, true), (true, false), (true, true)];
            for (descending, nulls_first) in directions {
                if nulls != Nulls::OneIn(5) && nulls_first {
                    continue;
                }
                let keys = vec![key(0, descending, nulls_first)];
                let case = Case { columns: vec![column.clone()], keys, how };
                case.check(&mut bench, &format!("{ty}, nulls {nulls:?}"));
            }
        }
    }
}

/// Sizes around a warp, a block and the tiles of both languages.
fn sizes(target: Target) {
    let mut bench = Bench::new(target);
    for n in [0, 1, 2, 31, 32, 33, 65, 255, 256, 257, 2047, 2048, 2049, 4095, 4096, 4097, 9000] {
        let seed = n as u64;
        let columns = vec![
            data::column(PhysType::I16, n, Nulls::OneIn(4), seed),
            data::column(PhysType::U32, n, Nulls::None, seed + 1),
        ];
        let how = if n % 2 == 0 { Presented::Wide } else { Presented::Packed(3) };
        let keys = vec![key(0, true, true), key(1, false, false)];
        Case { columns, keys, how }.check(&mut bench, "sizes");
    }
}

/// Sorted, reversed, equal, skewed and constant keys; no keys.
fn shapes(target: Target) {
    let mut bench = Bench::new(target);
    let n = 5000i64;
    let mut random = Random(3);
    let shapes = [
        ints(PhysType::I64, 0..n),
        ints(PhysType::I64, (0..n).rev()),
        ints(PhysType::I64, (0..n).map(|_| -7)),
        ints(PhysType::I64, (0..n).map(|i| if i % 1000 == 999 { i } else { 42 })),
        ints(PhysType::I64, (0..n).map(|i| i / 100)),
        ints(PhysType::I64, (0..n).map(|i| -i / 100)),
        ints(PhysType::I64, (0..n).map(|i| ((i % 2) << 40) | 5)),
        ints(PhysType::I64, (0..n).map(|_| 1 << (random.bits() % 63))),
    ];
    for (i, column) in shapes.into_iter().enumerate() {
        for descending in [false, true] {
            let keys = vec![key(0, descending, false)];
            let case = Case { columns: vec![column.clone()], keys, how: Presented::Packed(0) };
            case.check(&mut bench, &format!("shape {i}"));
        }
    }
    // One row apart from all others, wherever it is: none is passed over when it is asked which
    // bits vary.
    for odd in [0, 255, 256, 511, 512, 2047, 2048, 2304, n - 1] {
        let column = ints(PhysType::I64, (0..n).map(|i| if i == odd { 4 } else { 5 }));
        let keys = vec![key(0, false, false)];
        let case = Case { columns: vec![column], keys, how: Presented::Wide };
        case.check(&mut bench, &format!("row {odd} apart"));
    }
    let columns = vec![ints(PhysType::I8, [3, 1, 2])];
    Case { columns, keys: vec![], how: Presented::Wide }.check(&mut bench, "no keys");
}

/// More tiles than one tile of the scan of their counts.
fn many_rows(target: Target) {
    let mut bench = Bench::new(target);
    let n = if target.is_wgsl() { 300_000 } else { 50_000 };
    let mut random = Random(11);
    let columns = vec![HostColumn {
        ty: PhysType::U32,
        values: (0..n).map(|_| Some(u128::from(random.bits() as u32 >> 12))).collect(),
    }];
    let keys = vec![key(0, false, false)];
    Case { columns, keys, how: Presented::Packed(0) }.check(&mut bench, "many rows");
}

/// Keys of more bits than any one integer has; the first of them tie often.
fn wide_keys(target: Target) {
    let mut bench = Bench::new(target);
    let types = [PhysType::U8, PhysType::I128, PhysType::F64, PhysType::I128, PhysType::I32];
    let columns: Vec<HostColumn> = types
        .into_iter()
        .zip(1..)
        .map(|(ty, seed)| data::column(ty, 1500, Nulls::OneIn(6), seed))
        .collect();
    let mut tied = columns.clone();
    for c in &mut tied[..3] {
        let few: Vec<_> = c.values[..2].to_vec();
        c.values.iter_mut().enumerate().for_each(|(i, v)| *v = few[i / 3 % 2]);
    }
    for columns in [columns, tied] {
        let keys: Vec<SortKey> = (0..5).map(|c| key(c, c % 2 == 1, c % 3 == 0)).collect();
        Case { columns, keys, how: Presented::Packed(1) }.check(&mut bench, "wide keys");
    }
}

fn random(target: Target) {
    on_cases(target, |case, bench| case.check(bench, "random"));
}
