//! Needles and LIKE.

use conformance::{Bench, Target, data::Random};
use windlass_kernels::{
    PhysType,
    string::{self, Pattern},
};

use super::data::{Form, Rows, SIZES, rows, same_values, text, upload};

/// LIKE by trying everything.
fn is_like(text: &[char], pattern: &[char], escape: Option<char>) -> bool {
    match pattern {
        [] => text.is_empty(),
        [e, next, rest @ ..] if Some(*e) == escape => {
            text.first() == Some(next) && is_like(&text[1..], rest, escape)
        }
        ['%', rest @ ..] => (0..=text.len()).any(|i| is_like(&text[i..], rest, escape)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest, escape),
        [c, rest @ ..] => text.first() == Some(c) && is_like(&text[1..], rest, escape),
    }
}

fn want(rows: &Rows, holds: impl Fn(&str) -> bool) -> Vec<Option<i64>> {
    rows.iter().map(|t| t.as_ref().map(|t| i64::from(holds(t)))).collect()
}

fn check_like(bench: &mut Bench, from: &Rows, form: Form, patterns: &[(&str, Option<char>)]) {
    let device = bench.device_arc();
    let c = upload(bench, from, form);
    let mut r = device.pool().reserve(0).unwrap();
    for (pattern, escape) in patterns {
        let compiled = Pattern::new(pattern, *escape).unwrap();
        let characters: Vec<char> = pattern.chars().collect();
        for negated in [false, true] {
            let got = string::like(&*device, bench.queue(), &mut r, &c, &compiled, negated);
            let want = want(from, |t| {
                is_like(&t.chars().collect::<Vec<_>>(), &characters, *escape) != negated
            });
            let context = format!("{form:?} like {pattern:?} escape {escape:?} {negated}");
            same_values(bench, &got.unwrap(), PhysType::Bool, &want, &context);
        }
    }
}

fn check_needle(bench: &mut Bench, from: &Rows, form: Form, needle: &str) {
    let device = bench.device_arc();
    let (d, c) = (&*device, upload(bench, from, form));
    let mut r = device.pool().reserve(0).unwrap();
    let context = format!("{form:?} {needle:?} {} rows", from.len());
    let got = string::starts_with(d, bench.queue(), &mut r, &c, needle).unwrap();
    same_values(bench, &got, PhysType::Bool, &want(from, |t| t.starts_with(needle)), &context);
    let got = string::ends_with(d, bench.queue(), &mut r, &c, needle).unwrap();
    same_values(bench, &got, PhysType::Bool, &want(from, |t| t.ends_with(needle)), &context);
    let got = string::contains(d, bench.queue(), &mut r, &c, needle).unwrap();
    same_values(bench, &got, PhysType::Bool, &want(from, |t| t.contains(needle)), &context);
}

/// A pseudo-random needle and pattern.
pub(crate) fn check_random(bench: &mut Bench, from: &Rows, form: Form, seed: u64) {
    let mut random = Random(seed);
    let needle = text(&mut random);
    if !needle.is_empty() {
        check_needle(bench, from, form, &needle);
    }
    let parts = ["%", "_", "a", "b", "é", "ab", "%", "😀", "#_", "#%"];
    let pattern: String = (0..random.below(7)).map(|_| parts[random.below(parts.len())]).collect();
    check_like(bench, from, form, &[(&pattern, Some('#'))]);
}

pub(crate) fn searches(target: Target) {
    let mut bench = Bench::new(target);
    for form in Form::FEW {
        for n in SIZES {
            let from = rows(n, 5, n as u64);
            for needle in ["a", "ab", "é"] {
                check_needle(&mut bench, &from, form, needle);
            }
        }
        let from = rows(300, 0, 3);
        for needle in ["abcdefghijklm", "\0", "zzzz", "😀", "\\", "ÿ"] {
            check_needle(&mut bench, &from, form, needle);
        }
    }
    // Needles across the ends of rows, and more rows than a piece of the twin.
    let n = if target == Target::Cpu { 40_000 } else { 700 };
    let from: Rows = (0..n)
        .map(|i| match i % 5 {
            0 => Some("ab".into()),
            1 => Some("cab".into()),
            2 => Some(String::new()),
            3 => None,
            _ => Some("xxabcx".into()),
        })
        .collect();
    for needle in ["abc", "bc", "a", "abcxabcab"] {
        check_needle(&mut bench, &from, Form::Sliced, needle);
    }
}

pub(crate) fn searches_special(target: Target) {
    let mut bench = Bench::new(target);
    let escape = Some('\\');
    let patterns = [
        ("", None),
        ("%", None),
        ("%%", None),
        ("_", None),
        ("__", None),
        ("%_", None),
        ("_%", None),
        ("a", None),
        ("a%", None),
        ("%a", None),
        ("%a%", None),
        ("a%a", None),
        ("a_c", None),
        ("a_%", None),
        ("%_a", None),
        ("%é%", None),
        ("_é%", None),
        ("%€_", None),
        ("%b%a%", None),
        ("%a%ab%abc", None),
        ("%_b_%", None),
        ("%😀", None),
        ("abc_", None),
        ("%a_c%f_h%", None),
        ("\\%%", escape),
        ("%\\_%", escape),
        ("%\\\\%", escape),
        ("\\a%", escape),
        ("%\\%", None),
        ("the%_fox%o_er%dog", None),
        ("%%%a%%_%%", None),
        // Ends that could match what the beginning has taken, in texts with enough bytes for both.
        ("_b%b", None),
        ("_€%€", None),
        ("%_b%_b", None),
        ("_%_", None),
        ("__%é", None),
    ];
    for form in Form::FEW {
        let mut from = rows(257, 6, 21);
        let more = ["aa", "aba", "aabab", "%", "_", "\\", "50%", "€a", "aab", "abcabcabc"];
        for t in more.into_iter().chain(["€b", "😀b", "😀€", "é", "éé", "€bb", "😀éé"])
        {
            from.push(Some(t.into()));
        }
        check_like(&mut bench, &from, form, &patterns);
    }
    check_like(&mut bench, &vec![], Form::Offsets, &patterns[..4]);
}
