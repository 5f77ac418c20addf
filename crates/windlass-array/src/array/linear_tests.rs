//! Factors and equations of arrays in several chunks, by tiles that are small in tests.

use super::Array;
use crate::{C64, DType, Norm, compute_all};

/// Random numbers in chunks, behind a stage.
fn random(rows: usize, columns: usize, chunk: [usize; 2]) -> Array {
    let x = Array::random_normal([rows, columns], (0.0, 1.0), (rows + 31 * columns) as u64);
    let x = x.and_then(|x| x.rechunk(chunk)).expect("chunks");
    let grid = x.chunks().clone();
    Array::blocks(&[&x], DType::F64, grid, |t, _| Ok(t[0].clone()))
}

fn complex(x: &Array) -> Array {
    let turned = x.flip(&[0]).and_then(|y| y.multiply(C64::new(0.0, 1.0)));
    turned.and_then(|y| x.add(&y)).expect("one shape")
}

/// The greatest distance of two arrays' elements.
fn far(a: &Array, b: &Array) -> f64 {
    let found = a.subtract(b).and_then(|d| d.absolute()?.max(..)).expect("one shape");
    found.astype(DType::F64).compute::<f64>().expect("a number")[[]]
}

fn turned(a: &Array) -> Array {
    a.conj().expect("numbers").t()
}

fn eye(n: usize) -> Array {
    Array::eye(n, n, 0, DType::F64)
}

#[test]
fn q_times_r_is_the_matrix_whatever_the_chunks() {
    for (m, n, chunk) in [
        (1, 1, [1, 1]),
        (100, 3, [7, 2]),
        (400, 5, [400, 5]),
        (60, 20, [9, 9]),
        (7, 30, [2, 4]),
        (20, 20, [3, 20]),
    ] {
        let x = random(m, n, chunk);
        for x in [x.clone(), complex(&x)] {
            let (q, r) = x.qr().unwrap();
            let k = m.min(n);
            assert_eq!((q.shape().as_slice(), r.shape().as_slice()), (&[m, k][..], &[k, n][..]));
            assert!(far(&q.matmul(&r).unwrap(), &x) < 1e-12, "{m} by {n}");
            assert!(far(&turned(&q).matmul(&q).unwrap(), &eye(k)) < 1e-12);
            assert_eq!(far(&r, &r.triu(0).unwrap()), 0.0);
            let (u, s, vh) = x.svd().unwrap();
            let back = u.multiply(&s).unwrap().matmul(&vh).unwrap();
            assert!(far(&back, &x) < 1e-12, "{m} by {n}");
            assert!(far(&turned(&u).matmul(&u).unwrap(), &eye(k)) < 1e-12);
            assert!(far(&s, &x.svdvals().unwrap()) < 1e-12);
        }
    }
}

#[test]
fn q_and_r_of_one_call_are_made_at_once() {
    let called = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&called);
    let x = random(90, 3, [10, 3]);
    let grid = x.chunks().clone();
    let x = Array::blocks(&[&x], DType::F64, grid, move |t, _| {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(t[0].clone())
    });
    let (q, r) = x.qr().unwrap();
    compute_all(&[&q, &r]).unwrap();
    assert_eq!(called.load(std::sync::atomic::Ordering::Relaxed), 9);
}

#[test]
fn large_matrices_are_factored_by_tiles() {
    for n in [13, 20, 33] {
        let x = random(n, n, [6, 7]);
        for x in [x.clone(), complex(&x)] {
            let b = random(n, 4, [5, 3]);
            assert!(far(&x.matmul(&x.solve(&b).unwrap()).unwrap(), &b) < 1e-9);
            assert!(far(&x.matmul(&x.inv().unwrap()).unwrap(), &eye(n)) < 1e-9);
            for wide in [x.clone(), Array::concatenate(&[&x, &x.flip(&[0]).unwrap()], 1).unwrap()] {
                let (p, l, u) = wide.lu().unwrap();
                let back = p.matmul(&l).unwrap().matmul(&u).unwrap();
                assert!(far(&back, &wide) < 1e-10, "{n}");
                assert_eq!(far(&l, &l.tril(0).unwrap()), 0.0);
                assert_eq!(far(&u, &u.triu(0).unwrap()), 0.0);
                assert!(
                    l.absolute().unwrap().max(..).unwrap().compute::<f64>().unwrap()[[]] <= 1.5
                );
            }
            let square = x.matmul(&turned(&x)).unwrap().add(eye(n)).unwrap();
            let l = square.cholesky().unwrap();
            assert!(far(&l.matmul(&turned(&l)).unwrap(), &square) < 1e-9);
            assert_eq!(far(&l, &l.tril(0).unwrap()), 0.0);
            for (lower, unit) in [(true, false), (false, false), (true, true), (false, true)] {
                let full = x.divide(n as f64).unwrap().add(eye(n)).unwrap();
                let triangle = if lower { full.tril(0).unwrap() } else { full.triu(0).unwrap() };
                let found = full.solve_triangular(&b, lower, unit).unwrap();
                let ones = triangle.diagonal(0, 0, 1).unwrap().diag(0).unwrap();
                let triangle = match unit {
                    true => triangle.subtract(&ones).unwrap().add(eye(n)).unwrap(),
                    false => triangle,
                };
                assert!(far(&triangle.matmul(&found).unwrap(), &b) < 1e-9);
            }
        }
    }
}

#[test]
fn compressed_factors_are_those_of_a_matrix_of_low_rank() {
    for (m, n) in [(200, 20), (20, 70), (40, 40)] {
        let x = random(m, 4, [30, 4]).matmul(&random(4, n, [4, 9])).unwrap();
        let (u, s, vh) = x.svd_compressed(4, 3, 1, 7).unwrap();
        assert!(far(&u.multiply(&s).unwrap().matmul(&vh).unwrap(), &x) < 1e-9);
        let exact = x.svdvals().unwrap().index_axis(0, ..4).unwrap();
        assert!(far(&s, &exact) < 1e-9);
        let again = x.rechunk([m, n]).unwrap().svd_compressed(4, 3, 1, 7).unwrap().1;
        assert!(far(&again, &s) < 1e-10);
    }
    for k in [0, 21] {
        let error = random(30, 20, [5, 5]).svd_compressed(k, 2, 0, 1).unwrap_err().to_string();
        assert!(error.contains("k must be in 1..=20"), "{error}");
    }
}

#[test]
fn matrices_without_a_result_are_named() {
    let told = |a: crate::Result<Array>| a.unwrap().compute_tile().unwrap_err().to_string();
    let ones = Array::ones([3, 2, 2], DType::F64);
    let error = told(ones.inv());
    assert!(error.contains("inv of matrix [0]") && error.contains("singular"), "{error}");
    let error = told(Array::ones([2, 2], DType::F64).negative().unwrap().cholesky());
    assert!(error.contains("not positive definite") && error.contains("row 0"), "{error}");
    let large = eye(30).subtract(Array::eye(30, 30, 0, DType::F64).multiply(2).unwrap()).unwrap();
    let error = told(large.cholesky());
    assert!(error.contains("rows 0..5") && error.contains("not positive"), "{error}");
    for found in [ones.multiply(f64::NAN).unwrap().svdvals(), ones.divide(0.0).unwrap().eigvalsh()]
    {
        let error = told(found);
        assert!(error.contains("NaN or infinite"), "{error}");
    }
    let error = told(Array::zeros([20, 20], DType::F64).solve(&eye(20)));
    assert!(error.contains("singular"), "{error}");
    for found in [Array::ones([2, 3], DType::F64).inv(), Array::ones([2], DType::F64).det()] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains("matrices in the last two axes"), "{error}");
    }
    let error = eye(3).solve(&Array::ones([4], DType::F64)).unwrap_err().to_string();
    assert!(error.contains("the 3 rows") && error.contains("(4,)"), "{error}");
    let error = ones.norm_of(Norm::Nuclear, Some(&[0]), false).unwrap_err().to_string();
    assert!(error.contains("Nuclear"), "{error}");
    let error = ones.matmul(&Array::ones([3, 5, 2], DType::F64)).unwrap_err().to_string();
    assert!(error.contains("matmul") && error.contains("(3, 5, 2)"), "{error}");
}
