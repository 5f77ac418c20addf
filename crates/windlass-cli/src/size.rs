//! Sizes of memory as people write them: `512MB`, `2GiB`, `1048576`.

/// Decimal and binary units with their factor. A bare letter is binary, as in most tools
/// that take a memory size (`-Xmx2g`, `ulimit`, cgroups).
const UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
];

/// Parses a size into bytes.
///
/// # Errors
/// A sentence that says what is wrong and shows sizes that would do.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let trimmed = text.trim();
    let at = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(at);
    let unit = unit.trim().to_ascii_lowercase();
    let hint = "write a number and a unit, such as 512MB, 2GiB or 1048576 (bytes)";
    let factor = match unit.as_str() {
        "" => 1,
        u => match UNITS.iter().find(|(name, _)| *name == u) {
            Some((_, factor)) => *factor,
            None => return Err(format!("{text:?} is not a size: unknown unit {u:?}; {hint}")),
        },
    };
    let value: f64 =
        number.parse().map_err(|_| format!("{text:?} is not a size: no number in it; {hint}"))?;
    // Whole numbers are kept exact; f64 would round them past 2^53.
    let bytes = match number.parse::<u64>() {
        Ok(n) => n.checked_mul(factor),
        Err(_) if value * factor as f64 <= u64::MAX as f64 => Some((value * factor as f64) as u64),
        Err(_) => None,
    };
    match bytes.and_then(|b| usize::try_from(b).ok()) {
        Some(0) => Err(format!("{text:?} is no size to work with: it must be above zero; {hint}")),
        Some(b) => Ok(b),
        None => Err(format!("{text:?} is larger than this machine can address; {hint}")),
    }
}

/// Bytes for people: `1.5 GiB`, `312 KiB`, `17 B`.
pub(crate) fn format_bytes(bytes: u64) -> String {
    const NAMES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < NAMES.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", NAMES[unit])
    } else {
        format!("{value:.1} {}", NAMES[unit])
    }
}

/// A count with thousands separated: `336,776`.
pub(crate) fn format_count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A duration in seconds for people: `12 ms`, `3.42 s`, `4 min 10 s`.
pub(crate) fn format_seconds(s: f64) -> String {
    if s < 0.0995 {
        format!("{:.1} ms", s * 1e3)
    } else if s < 0.9995 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 99.5 {
        format!("{s:.2} s")
    } else {
        let whole = s.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [
            ("1", 1),
            ("512MB", 512_000_000),
            ("2GiB", 2 << 30),
            ("2gib", 2 << 30),
            (" 1.5 KiB ", 1536),
            ("4g", 4 << 30),
            ("0.5tb", 500_000_000_000),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be_one() {
        for text in [
            "",
            "MB",
            "12XB",
            "-1",
            "1e9",
            "0",
            "0GB",
            "99999999999999TiB",
            "1.2.3",
            "two GiB",
            ".",
        ] {
            let e = parse_size(text).unwrap_err();
            assert!(e.contains("512MB"), "{text}: {e}");
        }
    }

    #[test]
    fn people_read_these() {
        assert_eq!(format_bytes(17), "17 B");
        assert_eq!(format_bytes(1536), "1.5 KiB");
        assert_eq!(format_bytes(1 << 30), "1.0 GiB");
        assert_eq!(format_bytes(1023 * 1024 + 1000), "1.0 MiB");
        assert_eq!(format_count(336_776), "336,776");
        assert_eq!(format_count(999), "999");
        assert_eq!(format_count(1000), "1,000");
        assert_eq!(format_seconds(0.0123), "12.3 ms");
        assert_eq!(format_seconds(0.25), "250 ms");
        assert_eq!(format_seconds(3.416), "3.42 s");
        assert_eq!(format_seconds(250.2), "4 min 10 s");
    }
}
