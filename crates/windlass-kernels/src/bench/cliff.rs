//! Series for plots: does time jump where a table outgrows a cache or a limit, or where one key
//! has half of the rows?

use super::{
    Bench, Step,
    aggregate::sums_by,
    host::{random, spread},
    join::{self, Keys},
};

/// 2^0 to 2^23 groups.
const GROUP_POWERS: std::ops::RangeInclusive<u32> = 0..=23;

/// 2^10 to 2^23 build rows, every second power.
const BUILD_POWERS: std::ops::RangeInclusive<u32> = 10..=23;

pub(super) fn benches() -> Vec<Bench> {
    const GROUPS: &str =
        "sum and count of i64 by i64; floor: 16 bytes a row read, 24 a group written";
    const JOIN: &str =
        "build and probe by i64; floor: 8 bytes a row of both sides read, 8 a pair written";
    let mut all = Vec::new();
    for power in GROUP_POWERS {
        let groups = 1usize << power;
        for line in ["uniform", "half in one group"] {
            let half = line != "uniform";
            let name = if half { "half_one_key" } else { "uniform" };
            let step = Step { series: "group-by by groups", line, at: groups as u64 };
            let bench =
                Bench::new(format!("cliff/group_by/{name}/2^{power}"), GROUPS, move |on, n| {
                    let key = |r: &mut super::host::Random| match half && r.next().is_multiple_of(2)
                    {
                        true => spread(0),
                        false => spread(r.below(groups) as u64),
                    };
                    sums_by(on, random(n, 1, key), groups)
                });
            all.push(bench.at(step));
        }
    }
    for power in BUILD_POWERS.step_by(2).chain([*BUILD_POWERS.end()]) {
        let forms = [
            ("uniform", "uniform", Keys::Unique),
            ("half_probe_one_key", "half of the probe rows have one key", Keys::HalfProbe),
            ("half_build_one_key", "half of the build rows have one key", Keys::HalfBuild),
        ];
        for (name, line, keys) in forms {
            let rows = 1usize << power;
            let step = Step { series: "join by build rows", line, at: rows as u64 };
            let name = format!("cliff/join/{name}/2^{power}");
            all.push(Bench::new(name, JOIN, move |on, n| join::inner(on, rows, n, keys)).at(step));
        }
    }
    all
}
