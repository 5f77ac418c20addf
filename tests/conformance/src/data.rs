//! Test values: the extremes of each type and what lies near them, in every pair.

use windlass_kernels::PhysType;

use crate::{HostColumn, host::truncate};

/// A small generator of pseudo-random bits (SplitMix64, Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// The extremes of a type, zero, ones, and values around powers of two and ten.
pub fn extremes(ty: PhysType) -> Vec<u128> {
    let f32s = [
        0.0f32,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        0.49999997,
        3.75,
        -7.25,
        127.0,
        128.5,
        -128.0,
        -129.0,
        255.9,
        256.0,
        32768.0,
        65535.5,
        1e6,
        16_777_217.0,
        2_147_483_648.0,
        -2_147_483_648.0,
        4_294_967_296.0,
        9.223_372e18,
        -9.223_372e18,
        1.844_674_4e19,
        1e20,
        1e30,
        -1e30,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        f32::MIN_POSITIVE,
    ];
    match ty {
        PhysType::Bool => vec![0, 1],
        PhysType::F32 => {
            let all = f32s.iter().map(|f| u128::from(f.to_bits()));
            // A NaN by its last bit alone.
            all.chain([0x7f80_0001]).collect()
        }
        PhysType::F64 => {
            let more = [1e-300, 1e300, 0.1, 0.499_999_999_999_999_94, 4_503_599_627_370_497.5];
            let all = f32s.iter().map(|f| f64::from(*f)).chain(more);
            let all = all.map(|f| u128::from(f.to_bits()));
            // NaNs by the last bit of either half alone.
            all.chain([0x7ff0_0000_0000_0001, 0x7ff0_0001_0000_0000]).collect()
        }
        _ => {
            let bits = ty.packed_bytes().unwrap_or(1) as u32 * 8;
            let top = 1u128 << (bits - 1);
            let mut out = vec![0, 1, 2, 3, 7, 10, 12, 60, 97, 100, u128::MAX, u128::MAX - 1];
            out.extend([top, top + 1, top - 1, top.wrapping_neg(), u128::MAX - 9, u128::MAX - 99]);
            for shift in [8, 16, 31, 32, 33, 63, 64, 96].into_iter().filter(|s| *s < bits) {
                let p = 1u128 << shift;
                out.extend([p, p - 1, p + 1, p.wrapping_neg(), (p + 1).wrapping_neg()]);
            }
            if bits >= 32 {
                out.extend([719_468, 146_097, 1_000_000_007, 365]);
            }
            let mut out: Vec<u128> = out.into_iter().map(|v| truncate(ty, v)).collect();
            out.sort_unstable();
            out.dedup();
            out
        }
    }
}

/// A pseudo-random value: an extreme, a small number or any bits.
pub fn any(ty: PhysType, random: &mut Random) -> u128 {
    let list = extremes(ty);
    let bits = (u128::from(random.bits()) << 64) | u128::from(random.bits());
    let kind = random.below(4);
    match (ty, kind) {
        (_, 0) => list[random.below(list.len())],
        (PhysType::F32, _) => u128::from(((bits as i16 as f32) / 16.0).to_bits()),
        (PhysType::F64, 1) => u128::from(((bits as i16 as f64) / 16.0).to_bits()),
        (PhysType::F64, _) => u128::from(((bits as i64 as f64) / 1e3).to_bits()),
        (_, 1 | 2) => truncate(ty, (bits % 41).wrapping_sub(20)),
        _ => truncate(ty, bits),
    }
}

/// Which rows of a column are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// None.
    None,
    /// About one in this many.
    OneIn(usize),
    /// All.
    All,
}

/// A column of pseudo-random values.
pub fn column(ty: PhysType, rows: usize, nulls: Nulls, seed: u64) -> HostColumn {
    let mut random = Random(seed);
    let values = (0..rows)
        .map(|_| {
            let value = any(ty, &mut random);
            let null = match nulls {
                Nulls::None => false,
                Nulls::OneIn(n) => random.below(n) == 0,
                Nulls::All => true,
            };
            (!null).then_some(value)
        })
        .collect();
    HostColumn { ty, values }
}

/// Two columns that hold every pair of a type's extremes, and `more` pseudo-random rows.
pub fn pairs(ty: PhysType, nulls: Nulls, more: usize) -> [HostColumn; 2] {
    let list = extremes(ty);
    let (mut a, mut b) = (column(ty, more, nulls, 1), column(ty, more, nulls, 2));
    for x in &list {
        for y in &list {
            a.values.push(Some(*x));
            b.values.push(Some(*y));
        }
    }
    [a, b]
}
