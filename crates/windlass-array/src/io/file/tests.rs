//! Tests of files: round trips, regions, what is damaged.

use std::{fs, io::Write, path::Path};

use super::*;
use crate::{Array, DType, Index, dtype::Kind, io::bytes::Endianness};

fn sample(dtype: DType, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let numbers = Array::arange(0, n as i64, 1).unwrap().reshape(shape).unwrap();
    match dtype.kind() {
        Kind::Bool => (numbers % 3).astype(dtype),
        Kind::Complex => {
            (numbers * Array::scalar(crate::C64::new(0.5, -2.0)).unwrap()).astype(dtype)
        }
        _ => (numbers * 3).astype(dtype),
    }
}

fn same(a: &Array, b: &Array) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let bytes = |x: &Array| x.compute_tile().unwrap().to_own_memory().buf().as_bytes().to_vec();
    assert_eq!(bytes(a), bytes(b), "{a} and {b}");
}

/// Some parts of an array, with steps of both signs.
fn parts(x: &Array) -> Vec<Array> {
    let rank = x.rank();
    let axis = |index: Index| x.index(&vec![index; rank]).unwrap();
    vec![x.t(), axis(Index::All.step(-2)), axis(Index::from(1..3)), axis(Index::from(0..1))]
}

#[test]
fn every_type_order_and_endianness_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (npy, raw) = (folder.path().join("x.npy"), folder.path().join("x"));
    for dtype in DType::ALL {
        for shape in [&[][..], &[7], &[5, 4], &[3, 4, 5], &[2, 3, 1, 4], &[0, 3]] {
            let chunk: Vec<usize> = shape.iter().map(|&n: &usize| n.div_ceil(2).max(1)).collect();
            let x = sample(dtype, shape).rechunk(chunk).unwrap();
            for order in [Order::C, Order::Fortran] {
                for endianness in [Endianness::Little, Endianness::Big] {
                    let options = FileWrite::default().order(order).endianness(endianness);
                    let options = options.overwrite(true);
                    x.to_npy(&npy, &options).unwrap();
                    let back = Array::from_npy(&npy).unwrap();
                    same(&back, &x);
                    parts(&back).iter().zip(&parts(&x)).for_each(|(a, b)| same(a, b));
                    x.to_raw(&raw, &options).unwrap();
                    let layout = RawLayout::new(dtype, shape).order(order).endianness(endianness);
                    same(&Array::from_raw(&raw, &layout).unwrap(), &x);
                }
            }
        }
    }
}

#[test]
fn large_regions_are_read_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.npy");
    let x = Array::arange(0, 1200 * 900, 1).unwrap().reshape([1200, 900]).unwrap();
    for order in [Order::C, Order::Fortran] {
        x.to_npy(&place, &FileWrite::default().order(order).overwrite(true)).unwrap();
        let back = Array::from_npy(&place).unwrap();
        same(&back, &x);
        for part in [
            [Index::All, Index::from(3..890)],
            [Index::from(7..8), Index::All],
            [Index::All, Index::from(5..6)],
            [Index::All.step(400), Index::All.step(-300)],
        ] {
            same(&back.index(&part).unwrap(), &x.index(&part).unwrap());
        }
    }
}

#[test]
fn all_versions_of_the_header_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.npy");
    for version in 1..=3 {
        let text = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2)}\n";
        let mut file = fs::File::create(&place).unwrap();
        file.write_all(b"\x93NUMPY").unwrap();
        file.write_all(&[version, 0]).unwrap();
        let len = text.len() as u32;
        let len = len.to_le_bytes();
        file.write_all(if version == 1 { &len[..2] } else { &len }).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.write_all(&[0, 1, 0, 2, 0, 3, 0, 4]).unwrap();
        let x = Array::from_npy(&place).unwrap().compute::<i16>().unwrap();
        assert_eq!(x, ndarray::arr2(&[[1, 3], [2, 4]]).into_dyn());
    }
}

fn error(place: &Path) -> String {
    Array::from_npy(place).unwrap_err().to_string()
}

#[test]
fn wrong_files_are_errors_that_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.npy");
    assert!(error(&place).contains("x.npy"));
    sample(DType::F64, &[10]).to_npy(&place, &FileWrite::default()).unwrap();
    let whole = fs::read(&place).unwrap();
    fs::write(&place, &whole[..whole.len() - 1]).unwrap();
    assert!(
        error(&place).contains("207 bytes") && error(&place).contains("208"),
        "{}",
        error(&place)
    );
    fs::write(&place, &whole[..50]).unwrap();
    assert!(error(&place).contains("header"));
    let text = String::from_utf8_lossy(&whole[10..128]).to_string();
    for (to, word) in [
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (10,)}", "[('a'"),
        ("{'descr': '<f2', 'fortran_order': False, 'shape': (10,)}", "<f2"),
        ("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (10,)}", "Maybe"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "-1"),
        ("{'descr': '<f8', 'shape': (10,)}", "fortran_order"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "64 bits"),
    ] {
        let mut file = whole[..10].to_vec();
        file.extend(format!("{to:<width$}", width = text.len()).as_bytes());
        file.extend(&whole[128..]);
        fs::write(&place, file).unwrap();
        assert!(error(&place).contains(word), "{}", error(&place));
    }
    fs::write(&place, "no array at all").unwrap();
    assert!(error(&place).contains("NumPy"));
    let layout = RawLayout::new(DType::I32, [4]).offset(1);
    let error = Array::from_raw(&place, &layout).unwrap_err().to_string();
    assert!(error.contains("15 bytes") && error.contains("17"), "{error}");
}

#[test]
fn a_failed_write_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.npy");
    let old = sample(DType::U8, &[20]);
    old.to_npy(&place, &FileWrite::default()).unwrap();
    let refused = old.to_npy(&place, &FileWrite::default()).unwrap_err().to_string();
    assert!(refused.contains("exists"), "{refused}");
    let grid = crate::ChunkGrid::regular(&[20].into(), &[10].into()).unwrap();
    let failing = Array::from_function(grid, DType::U8, |_| Err("nothing".into()));
    failing.to_npy(&place, &FileWrite::default().overwrite(true)).unwrap_err();
    same(&Array::from_npy(&place).unwrap(), &old);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn archives_hold_several_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("all.npz");
    let (x, y) = (sample(DType::F32, &[30, 40]), sample(DType::C128, &[7]));
    for compress in [false, true] {
        let options = FileWrite::default().overwrite(true).compress(compress);
        save_npz(&place, &[("x", &x), ("of y", &y)], &options).unwrap();
        assert_eq!(npz_names(&place).unwrap(), ["x", "of y"]);
        let back = Array::from_npz(&place, "x").unwrap();
        same(&back, &x);
        parts(&back).iter().zip(&parts(&x)).for_each(|(a, b)| same(a, b));
        same(&Array::from_npz(&place, "of y").unwrap(), &y);
        let error = Array::from_npz(&place, "z").unwrap_err().to_string();
        assert!(error.contains("of y"), "{error}");
    }
    let mut damaged = fs::read(&place).unwrap();
    let n = damaged.len();
    damaged[n / 3] ^= 0xff;
    fs::write(&place, damaged).unwrap();
    let damaged = Array::from_npz(&place, "x").and_then(|x| x.compute_tile());
    assert!(damaged.unwrap_err().to_string().contains("all.npz"));
    assert!(save_npz(&place, &[("x", &x), ("x", &y)], &FileWrite::default()).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
