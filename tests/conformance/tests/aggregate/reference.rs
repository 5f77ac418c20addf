//! Group-by on the host, row by row: what every backend's result is compared with.

use std::{cmp::Ordering, collections::HashMap, fmt};

use windlass_kernels::{
    PhysType,
    aggregate::{Accumulator, BitOp, GroupByResult, Order},
};

use crate::column::{self, HostColumn};

/// A group-by over host columns; all fields are column indices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub columns: Vec<HostColumn>,
    pub filter: Option<usize>,
    pub keys: Vec<usize>,
    pub calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub accumulator: Accumulator,
    pub argument: Option<usize>,
    pub filter: Option<usize>,
}

/// Bound of the difference between two orders of n additions: each rounds by at most 2^-53
/// of a partial sum, which is at most the sum of magnitudes.
fn sum_tolerance(n: usize, magnitude: f64) -> f64 {
    n as f64 * magnitude * f64::EPSILON
}

/// Bound of the error of a sum of squared deviations `m2` from values whose squares add up to
/// `squares`. Each deviation carries a rounding of its value, which gives the geometric mean of
/// the two (Chan, Lewis, "Computing standard deviations: accuracy", 1979; their factor n is
/// left out, since roundings of either sign cancel), and n roundings of partial sums. The
/// factor of 8 is headroom. Sums of squares that cancel would miss it by orders.
fn m2_tolerance(n: usize, m2: f64, squares: f64) -> f64 {
    let n = n as f64;
    let first = 8.0 * f64::EPSILON * (n * m2 + (squares * m2).sqrt());
    first + n * f64::EPSILON * f64::EPSILON * squares
}

fn float(ty: PhysType, bits: u128) -> f64 {
    match ty {
        PhysType::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits as u64),
    }
}

/// A value as a number, sign-extended where its type is signed.
fn integer(ty: PhysType, bits: u128) -> i128 {
    let shift = 128 - column::width(ty);
    match ty.is_signed() {
        true => (bits << shift) as i128 >> shift,
        false => bits as i128,
    }
}

fn order(ty: PhysType, a: u128, b: u128) -> Ordering {
    match ty {
        PhysType::F32 => f32::from_bits(a as u32).total_cmp(&f32::from_bits(b as u32)),
        PhysType::F64 => f64::from_bits(a as u64).total_cmp(&f64::from_bits(b as u64)),
        _ => integer(ty, a).cmp(&integer(ty, b)),
    }
}

/// The one form of equal keys.
fn canonical(ty: PhysType, bits: u128) -> u128 {
    match ty {
        PhysType::F32 | PhysType::F64 if float(ty, bits).is_nan() => match ty {
            PhysType::F32 => u128::from(f32::NAN.to_bits()),
            _ => u128::from(f64::NAN.to_bits()),
        },
        PhysType::F32 | PhysType::F64 if float(ty, bits) == 0.0 => 0,
        _ => bits,
    }
}

/// The key of a group, in the one form that equal keys have.
pub(crate) type Key = Vec<Option<u128>>;

/// Names a state in a failure.
struct What<'a> {
    what: &'a str,
    key: &'a Key,
    call: usize,
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: group {:x?}, call {}", self.what, self.key, self.call)
    }
}

impl Query {
    /// The rows of each group; the one group of a query without keys even where it is empty.
    fn groups(&self) -> HashMap<Key, Vec<usize>> {
        let mut groups = HashMap::new();
        if self.keys.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        let rows = self.columns.first().map_or(0, HostColumn::len);
        for row in (0..rows).filter(|r| self.takes(self.filter, *r)) {
            groups.entry(self.key(row)).or_insert_with(Vec::new).push(row);
        }
        groups
    }

    /// The key of a row.
    fn key(&self, row: usize) -> Key {
        let key = |k: &usize| {
            let column = &self.columns[*k];
            column.rows[row].map(|b| canonical(column.ty, b))
        };
        self.keys.iter().map(key).collect()
    }

    /// The query with its rows in the order of their keys; rows of equal keys stay in theirs.
    pub(crate) fn sorted(mut self) -> Self {
        let rows = self.columns.first().map_or(0, HostColumn::len);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_cached_key(|row| self.key(*row));
        for column in &mut self.columns {
            column.rows = order.iter().map(|row| column.rows[*row]).collect();
        }
        self
    }

    /// The keys of the groups in the order of their first rows, where rows of equal keys are
    /// neighbours.
    pub(crate) fn keys_in_order(&self) -> Vec<Key> {
        let rows = self.columns.first().map_or(0, HostColumn::len);
        let taken = (0..rows).filter(|r| self.takes(self.filter, *r));
        let mut keys: Vec<Key> = taken.map(|row| self.key(row)).collect();
        keys.dedup();
        keys
    }

    /// The keys of a result's groups.
    pub(crate) fn keys_of(&self, result: &GroupByResult) -> Vec<Key> {
        let types = self.keys.iter().map(|k| self.columns[*k].ty);
        let columns: Vec<HostColumn> =
            types.zip(&result.keys).map(|(ty, a)| HostColumn::from_arrow(ty, a)).collect();
        let key = |group: usize| {
            columns.iter().map(|c| c.rows[group].map(|b| canonical(c.ty, b))).collect()
        };
        (0..result.groups).map(key).collect()
    }

    fn takes(&self, filter: Option<usize>, row: usize) -> bool {
        filter.is_none_or(|f| self.columns[f].rows[row] == Some(1))
    }

    /// Panics unless `result` has the groups of this query, each once, and their states.
    pub(crate) fn check(&self, result: &GroupByResult, what: &str) {
        let groups = self.groups();
        assert_eq!(result.groups, groups.len(), "{what}: number of groups");
        assert!(result.keys.iter().all(|k| k.len() == groups.len()), "{what}: length of the keys");
        let keys = self.keys_of(result);
        let states: Vec<Vec<HostColumn>> = self
            .calls
            .iter()
            .zip(&result.states)
            .map(|(call, arrays)| {
                let types = call.accumulator.state_types(call.argument.map(|a| self.columns[a].ty));
                types.iter().zip(arrays).map(|(t, a)| HostColumn::from_arrow(*t, a)).collect()
            })
            .collect();
        assert_eq!(states.len(), self.calls.len(), "{what}: number of calls");
        let mut seen = std::collections::HashSet::new();
        for (group, key) in keys.into_iter().enumerate() {
            assert!(seen.insert(key.clone()), "{what}: two groups of key {key:x?}");
            let Some(rows) = groups.get(&key) else { panic!("{what}: no group {key:x?}") };
            for (c, call) in self.calls.iter().enumerate() {
                let got: Vec<_> = states[c].iter().map(|s| s.rows[group]).collect();
                let what = What { what, key: &key, call: c };
                self.check_call(call, rows, &got, &what);
            }
        }
    }

    /// How two rows compare in an order, whose values are columns.
    fn by_order(&self, keys: Order, a: usize, b: usize) -> Ordering {
        let compared = keys.keys().map(|key| {
            let column = &self.columns[key.value.0 as usize];
            match (column.rows[a], column.rows[b]) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) if key.nulls_first => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) if key.nulls_first => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(x), Some(y)) if key.descending => order(column.ty, y, x),
                (Some(x), Some(y)) => order(column.ty, x, y),
            }
        });
        compared.fold(Ordering::Equal, Ordering::then)
    }

    fn check_call(&self, call: &Call, rows: &[usize], got: &[Option<u128>], what: &What<'_>) {
        let rows = rows.iter().filter(|r| self.takes(call.filter, **r));
        let Some(argument) = call.argument else {
            assert_eq!(got, [Some(rows.count() as u128)], "{what}");
            return;
        };
        if let Accumulator::CoMoments { other } = call.accumulator {
            let value =
                |c: usize, r: &usize| self.columns[c].rows[*r].map(|b| float(PhysType::F64, b));
            let pair = |r: &usize| value(argument, r).zip(value(other.0 as usize, r));
            check_pairs(&rows.filter_map(pair).collect::<Vec<_>>(), got, what);
            return;
        }
        if let Accumulator::Pick { last, ignore_nulls, order } = call.accumulator {
            let values = &self.columns[argument].rows;
            let mut rows: Vec<usize> =
                rows.copied().filter(|r| !ignore_nulls || values[*r].is_some()).collect();
            // Stable, so equal rows stay in their order.
            rows.sort_by(|a, b| self.by_order(order, *a, *b));
            let row = if last { rows.last() } else { rows.first() };
            assert_eq!(got, [row.and_then(|r| values[*r])], "{what}");
            return;
        }
        let ty = self.columns[argument].ty;
        let values: Vec<u128> = rows.filter_map(|r| self.columns[argument].rows[*r]).collect();
        let n = values.len();
        match call.accumulator {
            Accumulator::CountRows | Accumulator::Count => {
                assert_eq!(got, [Some(n as u128)], "{what}");
            }
            Accumulator::Min | Accumulator::Max => {
                let better = match call.accumulator {
                    Accumulator::Min => Ordering::Less,
                    _ => Ordering::Greater,
                };
                let pick = |a: u128, b: u128| if order(ty, b, a) == better { b } else { a };
                assert_eq!(got, [values.into_iter().reduce(pick)], "{what}");
            }
            Accumulator::Sum { .. } if ty.is_float() => {
                let values: Vec<f64> = values.iter().map(|b| float(ty, *b)).collect();
                let magnitude = values.iter().map(|v| v.abs()).sum();
                let sum = (n > 0).then(|| values.iter().sum::<f64>());
                let got = got[0].map(|b| f64::from_bits(b as u64));
                close(got, sum, sum_tolerance(n, magnitude), what);
            }
            Accumulator::Sum { wide } => {
                let state = call.accumulator.state_types(Some(ty))[0];
                let add = |a: i128, b: &u128| a.wrapping_add(integer(ty, *b));
                let sum = values.iter().fold(0, add) as u128;
                let sum = column::truncate(state, sum);
                assert_eq!(got, [(n > 0).then_some(sum)], "{what} (wide: {wide})");
            }
            Accumulator::Bits(op) => {
                let of = |a: u128, b: u128| match op {
                    BitOp::And => a & b,
                    BitOp::Or => a | b,
                    BitOp::Xor => a ^ b,
                };
                assert_eq!(got, [values.into_iter().reduce(of)], "{what}");
            }
            Accumulator::Distinct => {
                let different: std::collections::HashSet<u128> = values.into_iter().collect();
                assert_eq!(got, [Some(different.len() as u128)], "{what}");
            }
            Accumulator::Quantile(share) => {
                let mut values = values;
                values.sort_by(|a, b| order(ty, *a, *b));
                let place = share.get() * (n as f64 - 1.0);
                let at = |p: f64| values.get(p as usize).copied();
                let want = [Some(n as u128), at(place.floor()), at(place.ceil())];
                assert_eq!(got, want, "{what}");
            }
            Accumulator::CoMoments { .. } | Accumulator::Pick { .. } => {
                unreachable!("checked above")
            }
            Accumulator::Moments => {
                let values: Vec<f64> = values.iter().map(|b| float(ty, *b)).collect();
                assert_eq!(got[0], Some(n as u128), "{what}: count");
                let mean = if n == 0 { 0.0 } else { values.iter().sum::<f64>() / n as f64 };
                let m2: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
                let magnitude = values.iter().map(|v| v.abs()).sum::<f64>() / n.max(1) as f64;
                let squares = values.iter().map(|v| v * v).sum();
                let got = |i: usize| got[i].map(|b| f64::from_bits(b as u64));
                close(got(1), Some(mean), sum_tolerance(n + 2, magnitude), what);
                close(got(2), Some(m2), m2_tolerance(n, m2, squares), what);
            }
        }
    }
}

/// Checks count, means, sums of squared deviations and of their products. The bound of the
/// last is that of the sums of squares, with the geometric mean of both variables' terms.
fn check_pairs(pairs: &[(f64, f64)], got: &[Option<u128>], what: &What<'_>) {
    let n = pairs.len();
    assert_eq!(got[0], Some(n as u128), "{what}: count");
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let mean = |v: &[f64]| if n == 0 { 0.0 } else { v.iter().sum::<f64>() / n as f64 };
    let m2 = |v: &[f64]| v.iter().map(|a| (a - mean(v)) * (a - mean(v))).sum::<f64>();
    let squares = |v: &[f64]| v.iter().map(|a| a * a).sum::<f64>();
    let got = |i: usize| got[i].map(|b| f64::from_bits(b as u64));
    for (v, at) in [(&x, 1), (&y, 3)] {
        let magnitude = v.iter().map(|v| v.abs()).sum::<f64>() / n.max(1) as f64;
        close(got(at), Some(mean(v)), sum_tolerance(n + 2, magnitude), what);
        close(got(at + 1), Some(m2(v)), m2_tolerance(n, m2(v), squares(v)), what);
    }
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let co = pairs.iter().map(|(a, b)| (a - mean_x) * (b - mean_y)).sum();
    let both = |a: f64, b: f64| (a * b).sqrt();
    let tolerance = m2_tolerance(n, both(m2(&x), m2(&y)), both(squares(&x), squares(&y)));
    let skewed = both(m2(&x), squares(&y)) + both(m2(&y), squares(&x));
    close(got(5), Some(co), tolerance + 8.0 * f64::EPSILON * skewed, what);
}

fn close(got: Option<f64>, want: Option<f64>, tolerance: f64, what: &What<'_>) {
    let ok = match (got, want) {
        (None, None) => true,
        (Some(g), Some(w)) => {
            g == w
                || (g.is_nan() && w.is_nan())
                || (g - w).abs() <= tolerance.max(f64::MIN_POSITIVE)
        }
        _ => false,
    };
    assert!(ok, "{what}: got {got:?}, expected {want:?} within {tolerance:e}");
}
