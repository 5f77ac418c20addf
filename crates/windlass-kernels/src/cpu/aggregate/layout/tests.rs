//! Keys packed into codes, and codes back into keys.

use super::*;

fn seen(ty: PhysType, values: Values<'_>, valid: Option<&[u8]>) -> KeyRange {
    let mut r = KeyRange::new(ty);
    r.observe(values, valid);
    r
}

#[test]
fn small_ranges_share_a_word_and_come_back() {
    let (a, b, c) = ([3i64, 700, 5], [1u8, 0, 1], [-2.5f64, f64::NAN, -0.0]);
    let valid = [1, 0, 1];
    let ranges = [
        seen(PhysType::I64, Values::I64(&a), Some(&valid)),
        seen(PhysType::Bool, Values::Bool(&b), None),
    ];
    let l = Layout::new(&ranges);
    assert_eq!((l.words(), l.bits()), (1, Some(3)), "[3, 5], null, and a bit");
    let mut out = vec![0; 3];
    assert!(l.pack_keys(0, Values::I64(&a), Some(&valid), &mut out));
    assert!(l.pack_keys(1, Values::Bool(&b), None, &mut out));
    let got: Vec<_> = out.iter().map(|w| (l.get(0, &[*w]), l.get(1, &[*w]))).collect();
    assert_eq!(got, [(Some(3), Some(1)), (None, Some(0)), (Some(5), Some(1))]);
    assert!(!l.pack_keys(0, Values::I64(&[9_000, 3, 3]), None, &mut [0; 3]));
    let f = Layout::new(&[seen(PhysType::F64, Values::F64(&c), None)]);
    let mut out = vec![0; 3];
    assert!(f.pack_keys(0, Values::F64(&c), None, &mut out));
    assert_eq!(f.get(0, &out[2..]), Some(0));
    assert_eq!(f.get(0, &out[1..2]), Some(f64::NAN.to_bits().into()));
}

#[test]
fn extremes_of_every_width() {
    let valid = [1, 0, 1];
    for mask in [None, Some(&valid[..])] {
        let (a, b, c) = ([i64::MIN, 7, i64::MAX], [u64::MAX, 7, 0], [i128::MIN, 7, i128::MAX]);
        let ranges = [
            seen(PhysType::I64, Values::I64(&a), mask),
            seen(PhysType::U64, Values::U64(&b), mask),
            seen(PhysType::I128, Values::I128(&c), mask),
            seen(PhysType::I128, Values::I128(&[i128::MIN; 3]), mask),
        ];
        let l = Layout::new(&ranges);
        assert_eq!(l.words(), if mask.is_some() { 5 } else { 4 });
        let mut out = vec![0; l.words() * 3];
        assert!(l.pack_keys(0, Values::I64(&a), mask, &mut out));
        assert!(l.pack_keys(1, Values::U64(&b), mask, &mut out));
        assert!(l.pack_keys(2, Values::I128(&c), mask, &mut out));
        assert!(l.pack_keys(3, Values::I128(&[i128::MIN; 3]), mask, &mut out));
        for i in 0..3 {
            let row = &out[i * l.words()..(i + 1) * l.words()];
            let want = |v: i128| (mask.is_none() || i != 1).then_some(v);
            assert_eq!(l.get(0, row), want(a[i].into()));
            assert_eq!(l.get(1, row), want(b[i].into()));
            assert_eq!(l.get(2, row), want(c[i]));
            assert_eq!(l.get(3, row), want(i128::MIN));
        }
    }
}

#[test]
fn a_growing_range_needs_few_layouts_and_keeps_its_keys() {
    let mut range = KeyRange::new(PhysType::I64);
    let mut layout = Layout::new(&[range]);
    let (mut packed, mut layouts) = (Vec::new(), 0);
    for start in (0..1_000_000i64).step_by(1000) {
        let v: Vec<i64> = (start..start + 1000).map(|x| x * 3 - 70).collect();
        let mut out = vec![0; v.len()];
        if !layout.pack_keys(0, Values::I64(&v), None, &mut out) {
            range = layout.ranges()[0];
            range.observe(Values::I64(&v), None);
            let wider = Layout::new(&[range]);
            packed = layout.recode(&packed, &wider);
            (layout, layouts) = (wider, layouts + 1);
            out.fill(0);
            assert!(layout.pack_keys(0, Values::I64(&v), None, &mut out));
        }
        packed.extend(out);
    }
    assert!(layouts < 20, "{layouts}");
    for (i, code) in packed.iter().enumerate() {
        assert_eq!(layout.get(0, &[*code]), Some(i as i128 * 3 - 70));
    }
}

/// Ranges that need all bits of their type take all its values, so that none is ever outside.
#[test]
fn whole_types_hold_every_value() {
    let (a, b) = ([i64::MIN + 5, i64::MAX - 9], [-1i32 << 30, i32::MAX]);
    let ranges =
        [seen(PhysType::I64, Values::I64(&a), None), seen(PhysType::I32, Values::I32(&b), None)];
    let l = Layout::new(&ranges);
    let mut out = vec![0; l.words() * 2];
    assert!(l.pack_keys(0, Values::I64(&[i64::MIN, i64::MAX]), None, &mut out));
    assert!(l.pack_keys(1, Values::I32(&[i32::MIN, i32::MAX]), None, &mut out));
    let rows: Vec<_> = out.chunks(l.words()).map(|r| (l.get(0, r), l.get(1, r))).collect();
    let want = |a: i64, b: i32| (Some(i128::from(a)), Some(i128::from(b)));
    assert_eq!(rows, [want(i64::MIN, i32::MIN), want(i64::MAX, i32::MAX)]);
}
