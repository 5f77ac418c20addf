//! Dates and timestamps: parts, truncation, and intervals. The calendar is the proleptic
//! Gregorian one of years -262143 to 262142, as in chrono; what lies outside is null in a
//! part and an error in arithmetic, as there.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{logical_expr::Operator, physical_expr::expressions as e, scalar::ScalarValue};
use windlass_kernels::{
    PhysType, Scalar,
    ir::{BinaryOp, CastMode, UnaryOp, ValueId},
};

use super::{Expr, lower};
use crate::lower::{
    Result, Unsupported,
    builder::{Builder, Guard, Lowered},
    types::per_second,
};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// First and last day of the calendar, in days since 1970-01-01.
const CALENDAR: (i128, i128) = (days_from_civil(-262_143, 1, 1), days_from_civil(262_142, 12, 31));

/// Days since 1970-01-01 of a date. Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i128 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) as i128
}

/// Whether a time zone is UTC.
pub(super) fn is_utc(tz: &Option<std::sync::Arc<str>>) -> bool {
    matches!(tz.as_deref(), Some("UTC" | "+00:00"))
}

/// A time zone in which local time is the stored time.
fn plain_zone(expr: &Expr, tz: &Option<std::sync::Arc<str>>) -> Result<()> {
    match tz {
        Some(zone) if !is_utc(tz) => {
            Err(Unsupported::new(format!("{expr} is in time zone {zone}, not UTC")))
        }
        _ => Ok(()),
    }
}

/// Whether a timestamp lies in the calendar; `None` where its unit cannot leave it.
fn in_calendar(b: &mut Builder, v: ValueId, unit: TimeUnit) -> Result<Option<ValueId>> {
    let day = i128::from(DAY) * i128::from(per_second(unit));
    let (low, high) = (CALENDAR.0 * day, (CALENDAR.1 + 1) * day - 1);
    if low < i128::from(i64::MIN) && high > i128::from(i64::MAX) {
        return Ok(None);
    }
    b.within(v, low, high).map(Some)
}

/// A timestamp that must lie in the calendar.
pub(super) fn require_calendar(
    b: &mut Builder,
    v: ValueId,
    unit: TimeUnit,
    guard: &Guard,
) -> Result<ValueId> {
    match in_calendar(b, v, unit)? {
        Some(ok) => b.require(ok, v, CastMode::Error, guard),
        None => Ok(v),
    }
}

/// The day of a timestamp in the calendar, as `I32`.
pub(super) fn days_of(b: &mut Builder, v: ValueId, unit: TimeUnit) -> Result<ValueId> {
    let days = b.binary_int(BinaryOp::FloorDiv, v, i128::from(DAY * per_second(unit)))?;
    b.widen(days, PhysType::I32)
}

/// Part of a day or of the time in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    /// From Sunday, which is 0.
    DayOfWeek,
    /// From Monday, which is 1.
    IsoDayOfWeek,
    Hour,
    Minute,
    Second,
    /// Of the minute, as `millisecond` and `microsecond` count seconds too.
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

impl Part {
    /// The names that DataFusion takes, its short forms included.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(['\'', '"']).to_lowercase();
        Some(match text.as_str() {
            "year" | "years" | "y" | "yr" | "yrs" => Self::Year,
            "isoyear" => Self::IsoYear,
            "quarter" | "qtr" => Self::Quarter,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "week" | "weeks" | "w" => Self::Week,
            "day" | "days" | "d" => Self::Day,
            "doy" => Self::DayOfYear,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "hour" | "hours" | "h" | "hr" | "hrs" => Self::Hour,
            "minute" | "minutes" | "m" | "min" | "mins" => Self::Minute,
            "second" | "seconds" | "s" | "sec" | "secs" => Self::Second,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Self::Millisecond,
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Self::Microsecond,
            "nanosecond" | "nanoseconds" | "ns" | "nsec" | "nsecs" => Self::Nanosecond,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }
}

/// DATE_PART and EXTRACT.
pub(super) fn date_part(
    b: &mut Builder,
    expr: &Expr,
    args: &[Expr],
    guard: &Guard,
) -> Result<Lowered> {
    let refuse = || Unsupported::new(format!("{expr} has no device form"));
    let [part, argument] = args else { return Err(refuse()) };
    let part = literal_text(part).and_then(|t| Part::parse(&t)).ok_or_else(refuse)?;
    let a = lower(b, argument, guard)?;
    if part == Part::Epoch {
        return epoch(b, expr, &a);
    }
    let (days, time, unit, ok) = match &a.ty {
        DataType::Date32 => {
            let ok = b.within(a.value, CALENDAR.0, CALENDAR.1)?;
            (a.value, None, TimeUnit::Second, Some(ok))
        }
        DataType::Timestamp(unit, tz) => {
            plain_zone(expr, tz)?;
            let ok = in_calendar(b, a.value, *unit)?;
            (days_of(b, a.value, *unit)?, Some(a.value), *unit, ok)
        }
        _ => return Err(refuse()),
    };
    let value = match part {
        Part::Year => b.unary(UnaryOp::YearOfDate, days, guard)?,
        Part::Month => b.unary(UnaryOp::MonthOfDate, days, guard)?,
        Part::Day => b.unary(UnaryOp::DayOfDate, days, guard)?,
        Part::Quarter => {
            let month = b.unary(UnaryOp::MonthOfDate, days, guard)?;
            let shifted = b.binary_int(BinaryOp::Add, month, 2)?;
            b.binary_int(BinaryOp::FloorDiv, shifted, 3)?
        }
        Part::DayOfYear => day_of_year(b, days)?,
        // 1970-01-01 was a Thursday.
        Part::DayOfWeek => weekday(b, days, 4)?,
        Part::IsoDayOfWeek => {
            let monday0 = weekday(b, days, 3)?;
            b.binary_int(BinaryOp::Add, monday0, 1)?
        }
        Part::IsoYear => {
            let thursday = thursday(b, days)?;
            b.unary(UnaryOp::YearOfDate, thursday, guard)?
        }
        Part::Week => {
            let thursday = thursday(b, days)?;
            let day = day_of_year(b, thursday)?;
            let before = b.binary_int(BinaryOp::Sub, day, 1)?;
            let week = b.binary_int(BinaryOp::FloorDiv, before, 7)?;
            b.binary_int(BinaryOp::Add, week, 1)?
        }
        _ => {
            let ty = if part == Part::Nanosecond { DataType::Int64 } else { DataType::Int32 };
            let value = time_part(b, part, time, unit, &a)?;
            let value = match (ok, time) {
                (Some(ok), Some(_)) => b.require(ok, value, CastMode::Null, guard)?,
                _ => value,
            };
            return Ok(Lowered::new(value, ty));
        }
    };
    let value = match ok {
        Some(ok) => b.require(ok, value, CastMode::Null, guard)?,
        None => value,
    };
    Ok(Lowered::new(value, DataType::Int32))
}

/// A part of the time of the day; of a date it is 0.
fn time_part(
    b: &mut Builder,
    part: Part,
    time: Option<ValueId>,
    unit: TimeUnit,
    a: &Lowered,
) -> Result<ValueId> {
    let out = if part == Part::Nanosecond { PhysType::I64 } else { PhysType::I32 };
    let Some(time) = time else {
        // 0, and null where the date is.
        let wide = b.widen(a.value, out)?;
        return b.binary_int(BinaryOp::BitAnd, wide, 0);
    };
    let second = per_second(unit);
    // The part counts `count` units of 1/`fraction` second, within `of` seconds.
    let (of, seconds) = match part {
        Part::Hour => (DAY, 3600),
        Part::Minute => (3600, 60),
        _ => (60, 1),
    };
    let within = b.binary_int(BinaryOp::FloorMod, time, i128::from(of * second))?;
    let fraction = match part {
        Part::Millisecond => 1_000,
        Part::Microsecond => 1_000_000,
        Part::Nanosecond => 1_000_000_000,
        _ => 1,
    };
    let value = if fraction > second {
        b.binary_int(BinaryOp::Mul, within, i128::from(fraction / second))?
    } else {
        let by = seconds * second / fraction;
        if by == 1 { within } else { b.binary_int(BinaryOp::FloorDiv, within, i128::from(by))? }
    };
    b.widen(value, out)
}

/// Seconds since 1970 as a float.
fn epoch(b: &mut Builder, expr: &Expr, a: &Lowered) -> Result<Lowered> {
    let float = b.widen(a.value, PhysType::F64)?;
    let (op, by) = match &a.ty {
        DataType::Date32 => (BinaryOp::Mul, DAY as f64),
        DataType::Timestamp(unit, _) => (BinaryOp::Div, per_second(*unit) as f64),
        ty => return Err(Unsupported::new(format!("{expr}: the epoch of {ty}"))),
    };
    let by = b.program.constant(Scalar::F64(by));
    Ok(Lowered::new(b.binary(op, float, by, &Guard::default())?, DataType::Float64))
}

/// Days since the last day of the week that `shift` starts: (days + shift) mod 7.
fn weekday(b: &mut Builder, days: ValueId, shift: i128) -> Result<ValueId> {
    let shifted = b.binary_int(BinaryOp::Add, days, shift)?;
    b.binary_int(BinaryOp::FloorMod, shifted, 7)
}

/// The Thursday of a day's ISO week, which decides the week's year and number.
fn thursday(b: &mut Builder, days: ValueId) -> Result<ValueId> {
    let monday0 = weekday(b, days, 3)?;
    let monday = b.program.binary(BinaryOp::Sub, days, monday0, None)?;
    b.binary_int(BinaryOp::Add, monday, 3)
}

/// The first day of the month that is `months` after January of a day's year.
fn month_start(b: &mut Builder, days: ValueId, month: Option<ValueId>) -> Result<ValueId> {
    let year = b.program.unary(UnaryOp::YearOfDate, days, None)?;
    let since = b.binary_int(BinaryOp::Sub, year, 1970)?;
    let mut months = b.binary_int(BinaryOp::Mul, since, 12)?;
    if let Some(m) = month {
        months = b.program.binary(BinaryOp::Add, months, m, None)?;
    }
    Ok(b.program.unary(UnaryOp::MonthStart, months, None)?)
}

/// 1 to 366.
fn day_of_year(b: &mut Builder, days: ValueId) -> Result<ValueId> {
    let start = month_start(b, days, None)?;
    let since = b.program.binary(BinaryOp::Sub, days, start, None)?;
    b.binary_int(BinaryOp::Add, since, 1)
}

fn literal_text(expr: &Expr) -> Option<String> {
    let literal = expr.downcast_ref::<e::Literal>()?;
    super::string::text(literal.value()).map(str::to_string)
}

/// DATE_TRUNC of a timestamp.
pub(super) fn date_trunc(
    b: &mut Builder,
    expr: &Expr,
    args: &[Expr],
    guard: &Guard,
) -> Result<Lowered> {
    let refuse = || Unsupported::new(format!("{expr} has no device form"));
    let [to, argument] = args else { return Err(refuse()) };
    let to = literal_text(to).ok_or_else(refuse)?.to_lowercase();
    let a = lower(b, argument, guard)?;
    let DataType::Timestamp(unit, tz) = a.ty.clone() else { return Err(refuse()) };
    plain_zone(expr, &tz)?;
    let second = i128::from(per_second(unit));
    // Nanoseconds of the units that have a fixed length.
    let fixed: Option<i128> = match to.as_str() {
        "microsecond" => Some(1_000),
        "millisecond" => Some(1_000_000),
        "second" => Some(1_000_000_000),
        "minute" => Some(60_000_000_000),
        "hour" => Some(3_600_000_000_000),
        "day" => Some(86_400_000_000_000),
        _ => None,
    };
    if let Some(nanos) = fixed {
        let length = nanos * second / 1_000_000_000;
        if length <= 1 {
            return Ok(a);
        }
        let over = b.binary_int(BinaryOp::FloorMod, a.value, length)?;
        return Ok(Lowered::new(b.program.binary(BinaryOp::Sub, a.value, over, None)?, a.ty));
    }
    // DataFusion goes through nanoseconds, so times outside of their range are an error.
    let scale = 1_000_000_000 / second;
    let (low, high) = (i128::from(i64::MIN) / scale, i128::from(i64::MAX) / scale);
    let value = if scale > 1 {
        let ok = b.within(a.value, low, high)?;
        b.require(ok, a.value, CastMode::Error, guard)?
    } else {
        a.value
    };
    let days = days_of(b, value, unit)?;
    let start = match to.as_str() {
        "week" => {
            let monday0 = weekday(b, days, 3)?;
            b.program.binary(BinaryOp::Sub, days, monday0, None)?
        }
        "year" => month_start(b, days, None)?,
        "month" | "quarter" => {
            let month = b.unary(UnaryOp::MonthOfDate, days, guard)?;
            let mut month0 = b.binary_int(BinaryOp::Sub, month, 1)?;
            if to == "quarter" {
                let over = b.binary_int(BinaryOp::FloorMod, month0, 3)?;
                month0 = b.program.binary(BinaryOp::Sub, month0, over, None)?;
            }
            month_start(b, days, Some(month0))?
        }
        _ => return Err(refuse()),
    };
    // The start of the first week, month or year may lie before the range.
    let start = b.widen(start, PhysType::I64)?;
    let day = i128::from(DAY) * second;
    let ok = b.within(start, (low + day - 1).div_euclid(day), i128::from(i64::MAX) / day)?;
    let start = b.require(ok, start, CastMode::Error, guard)?;
    Ok(Lowered::new(b.binary_int(BinaryOp::Mul, start, day)?, a.ty))
}

/// A date or timestamp plus or minus a constant interval.
pub(super) fn plus_interval(
    b: &mut Builder,
    expr: &Expr,
    x: &e::BinaryExpr,
    guard: &Guard,
) -> Result<Lowered> {
    let refuse = || Unsupported::new(format!("{expr} has no device form"));
    let interval = |e: &Expr| e.downcast_ref::<e::Literal>().and_then(|l| parts(l.value()));
    let (time, interval) = match (interval(x.left()), interval(x.right()), x.op()) {
        (None, Some(i), Operator::Plus | Operator::Minus) => (x.left(), i),
        (Some(i), None, Operator::Plus) => (x.right(), i),
        _ => return Err(refuse()),
    };
    let sign = if *x.op() == Operator::Minus { -1 } else { 1 };
    let (months, days, nanos) =
        (sign * interval.0, sign * interval.1, i128::from(sign) * i128::from(interval.2));
    let a = lower(b, time, guard)?;
    match &a.ty {
        DataType::Date32 => {
            let ok = b.within(a.value, CALENDAR.0, CALENDAR.1)?;
            let date = b.require(ok, a.value, CastMode::Error, guard)?;
            let date = add_months(b, date, months, guard)?;
            // A date takes whole days of the nanoseconds, towards zero.
            let days = i128::from(days) + nanos / (i128::from(DAY) * 1_000_000_000);
            let wide = b.widen(date, PhysType::I64)?;
            let moved = b.binary_int(BinaryOp::Add, wide, days)?;
            let ok = b.within(moved, CALENDAR.0, CALENDAR.1)?;
            let moved = b.require(ok, moved, CastMode::Error, guard)?;
            Ok(Lowered::new(b.widen(moved, PhysType::I32)?, a.ty))
        }
        DataType::Timestamp(unit, tz) => {
            plain_zone(expr, tz)?;
            let unit = *unit;
            let second = i128::from(per_second(unit));
            let day = i128::from(DAY) * second;
            let mut value = require_calendar(b, a.value, unit, guard)?;
            if months != 0 {
                let date = days_of(b, value, unit)?;
                let time = b.binary_int(BinaryOp::FloorMod, value, day)?;
                let date = add_months(b, date, months, guard)?;
                let date = b.widen(date, PhysType::I64)?;
                let length = b.int(PhysType::I64, day);
                let start = b.binary(BinaryOp::MulChecked, date, length, guard)?;
                value = b.binary(BinaryOp::AddChecked, start, time, guard)?;
            }
            // What is left of the nanoseconds is below the unit and rounds down.
            let by = i128::from(days) * day + (nanos * second).div_euclid(1_000_000_000);
            let by = i64::try_from(by).map_err(|_| refuse())?;
            if by != 0 {
                let by = b.int(PhysType::I64, i128::from(by));
                value = b.binary(BinaryOp::AddChecked, value, by, guard)?;
            }
            let value = require_calendar(b, value, unit, guard)?;
            Ok(Lowered::new(value, a.ty))
        }
        _ => Err(refuse()),
    }
}

/// Months, days and nanoseconds of a constant interval.
fn parts(value: &ScalarValue) -> Option<(i32, i32, i64)> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) => Some((i.months, i.days, i.nanoseconds)),
        ScalarValue::IntervalDayTime(Some(i)) => {
            Some((0, i.days, i64::from(i.milliseconds) * 1_000_000))
        }
        ScalarValue::IntervalYearMonth(Some(months)) => Some((*months, 0, 0)),
        _ => None,
    }
}

/// A date moved by months; the day is limited to the length of the month.
fn add_months(b: &mut Builder, date: ValueId, months: i32, guard: &Guard) -> Result<ValueId> {
    if months == 0 {
        return Ok(date);
    }
    if months.unsigned_abs() > 12 * 524_286 {
        return Err(Unsupported::new("an interval longer than the calendar"));
    }
    let year = b.unary(UnaryOp::YearOfDate, date, guard)?;
    let month = b.unary(UnaryOp::MonthOfDate, date, guard)?;
    let day = b.unary(UnaryOp::DayOfDate, date, guard)?;
    let since = b.binary_int(BinaryOp::Sub, year, 1970)?;
    let whole = b.binary_int(BinaryOp::Mul, since, 12)?;
    let at = b.program.binary(BinaryOp::Add, whole, month, None)?;
    let at = b.binary_int(BinaryOp::Add, at, i128::from(months) - 1)?;
    let start = b.unary(UnaryOp::MonthStart, at, guard)?;
    let next = b.binary_int(BinaryOp::Add, at, 1)?;
    let next = b.unary(UnaryOp::MonthStart, next, guard)?;
    let length = b.program.binary(BinaryOp::Sub, next, start, None)?;
    let over = b.program.binary(BinaryOp::Gt, day, length, None)?;
    let day = b.select(over, length, day)?;
    let before = b.binary_int(BinaryOp::Sub, day, 1)?;
    let moved = b.program.binary(BinaryOp::Add, start, before, None)?;
    let ok = b.within(moved, CALENDAR.0, CALENDAR.1)?;
    b.require(ok, moved, CastMode::Error, guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
        assert_eq!(days_from_civil(1969, 12, 31), -1);
    }
}
