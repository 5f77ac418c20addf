//! Days since 1970-01-01 to civil dates and back, in the proleptic Gregorian calendar:
//! the algorithms `civil_from_days` and `days_from_civil` of Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms" (2013). They shift the year's start to
//! March, so that the leap day is its last, and count in eras of 400 years.

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i32 = 719_468;
/// Days of 400 years.
const ERA: i32 = 146_097;

/// Year, month (1 to 12) and day (1 to 31).
#[inline]
pub(crate) fn civil(days: i32) -> (i32, i32, i32) {
    // The era is taken before the shift, so that no i32 overflows.
    let (era, rest) = (days.div_euclid(ERA), days.rem_euclid(ERA) + EPOCH);
    let (era, doe) = (era + rest / ERA, rest % ERA);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / (ERA - 1)) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i32::from(month <= 2), month, day)
}

/// Days since 1970-01-01 of the first day of a month given as months since January 1970,
/// modulo 2^32.
#[inline]
pub(crate) fn month_start(months: i32) -> i32 {
    let (year, month) = (months.div_euclid(12) + 1970, months.rem_euclid(12) + 1);
    let year = year - i32::from(month <= 2);
    let (era, yoe) = (year.div_euclid(400), year.rem_euclid(400));
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doy = (153 * mp + 2) / 5;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era.wrapping_mul(ERA).wrapping_add(doe - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_millennium_follows_the_calendar() {
        let (mut y, mut m, mut d) = (1600, 1, 1);
        for days in -135_140..250_000 {
            assert_eq!(civil(days), (y, m, d), "day {days}");
            if d == 1 {
                assert_eq!(month_start((y - 1970) * 12 + m - 1), days);
            }
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let last = match m {
                2 => 28 + i32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            d += 1;
            if d > last {
                (d, m) = (1, m + 1);
            }
            if m > 12 {
                (m, y) = (1, y + 1);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        assert_eq!(civil(i32::MAX), (5_881_580, 7, 11));
        assert_eq!(civil(i32::MIN), (-5_877_641, 6, 23));
        month_start(i32::MAX);
        month_start(i32::MIN);
    }
}
