//! The functions of linear algebra and Fourier transforms that cases call.

use serde_json::Value;
use windlass_array::{Array, FftNorm, Norm, Operand};

use super::call::{Result, array, counts, places};

fn norm_of(value: &Value) -> Result<Norm> {
    Ok(match value.as_str().ok_or("a norm")? {
        "fro" => Norm::Frobenius,
        "nuc" => Norm::Nuclear,
        p => Norm::P(p.parse()?),
    })
}

fn turned(x: &Array) -> Result<Array> {
    Ok(x.conj()?.swapaxes(-1, -2)?)
}

/// A matrix's product with a diagonal one.
fn scaled(x: &Array, diagonal: &Array) -> Result<Array> {
    Ok(x.multiply(&diagonal.astype(x.dtype()).expand_dims(-2)?)?)
}

/// Calls a function with its operands and named arguments, if it is one of these.
pub(crate) fn call(name: &str, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let x = &array(&of[0])?;
    let found = match product(name, x, of, with)? {
        Some(found) => Some(found),
        None => match factors(name, x, with)? {
            Some(found) => Some(found),
            None => match equations(name, x, of, with)? {
                Some(found) => Some(found),
                None => transform(name, x, with)?,
            },
        },
    };
    Ok(found)
}

fn product(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let other = || of.get(1).map_or_else(|| Err("another operand".into()), array);
    let offset = with["offset"].as_i64().unwrap_or(0);
    let axes = places(&with["axes"]).unwrap_or_default();
    Ok(Some(match name {
        "matmul" => x.matmul(&other()?)?,
        "dot" => x.dot(&other()?)?,
        "vdot" => x.vdot(&other()?)?,
        "inner" => x.inner(&other()?)?,
        "outer" => x.outer(&other()?)?,
        "kron" => x.kron(&other()?)?,
        "tensordot" => {
            let (a, b) = (places(&with["a"]).ok_or("axes")?, places(&with["b"]).ok_or("axes")?);
            x.tensordot(&other()?, (&a, &b))?
        }
        "einsum" => {
            let all = of.iter().map(array).collect::<Result<Vec<_>>>()?;
            let text = with["subscripts"].as_str().ok_or("subscripts")?;
            Array::einsum(text, &all.iter().collect::<Vec<_>>())?
        }
        "matrix_power" => x.matrix_power(with["power"].as_i64().ok_or("a power")?)?,
        "trace" => x.trace(offset, axes[0], axes[1])?,
        "diagonal" => x.diagonal(offset, axes[0], axes[1])?,
        "diag" => x.diag(offset)?,
        "tril" => x.tril(offset)?,
        "triu" => x.triu(offset)?,
        _ => return Ok(None),
    }))
}

fn factors(name: &str, x: &Array, with: &Value) -> Result<Option<Array>> {
    Ok(Some(match name {
        "qr_product" => {
            let (q, r) = x.qr()?;
            q.matmul(&r)?
        }
        "qr_q" => {
            let q = x.qr()?.0;
            turned(&q)?.matmul(&q)?
        }
        "qr_r" => x.qr()?.1.absolute()?,
        "qr_complete_product" => {
            let (q, r) = x.qr_complete()?;
            q.matmul(&r)?
        }
        "qr_complete_q" => {
            let q = x.qr_complete()?.0;
            turned(&q)?.matmul(&q)?
        }
        // Zeros below the diagonal; the rest is compared as the product.
        "qr_complete_r" => x.qr_complete()?.1.tril(-1)?,
        "svd_full_product" => {
            let (u, s, vh) = x.svd_full()?;
            let k = s.shape()[s.rank() - 1] as i64;
            let (u, vh) = (u.index_axis(-1, ..k)?, vh.index_axis(-2, ..k)?);
            scaled(&u, &s)?.matmul(&vh)?
        }
        "svd_full_u" => {
            let u = x.svd_full()?.0;
            turned(&u)?.matmul(&u)?
        }
        "svd_full_v" => {
            let vh = x.svd_full()?.2;
            vh.matmul(&turned(&vh)?)?
        }
        "svd_full_values" => x.svd_full()?.1,
        "svd_product" => {
            let (u, s, vh) = x.svd()?;
            scaled(&u, &s)?.matmul(&vh)?
        }
        "svd_u" => {
            let u = x.svd()?.0;
            turned(&u)?.matmul(&u)?
        }
        "svd_v" => {
            let vh = x.svd()?.2;
            vh.matmul(&turned(&vh)?)?
        }
        "svdvals" => x.svdvals()?,
        "lu_product" => {
            let (p, l, u) = x.lu()?;
            p.matmul(&l)?.matmul(&u)?
        }
        "lu_p" => x.lu()?.0,
        "lu_l" => x.lu()?.1,
        "lu_u" => x.lu()?.2,
        "cholesky" => x.cholesky()?,
        "eigh_product" => {
            let (values, vectors) = x.eigh()?;
            scaled(&vectors, &values)?.matmul(&turned(&vectors)?)?
        }
        "eigh_vectors" => {
            let vectors = x.eigh()?.1;
            turned(&vectors)?.matmul(&vectors)?
        }
        "eigvalsh" => x.eigvalsh()?,
        "compressed" => {
            let k = with["k"].as_u64().ok_or("k")? as usize;
            let (u, s, vh) = x.svd_compressed(k, 2, 1, 5)?;
            scaled(&u, &s)?.matmul(&vh)?
        }
        _ => return Ok(None),
    }))
}

fn equations(name: &str, x: &Array, of: &[Operand], with: &Value) -> Result<Option<Array>> {
    let other = || of.get(1).map_or_else(|| Err("another operand".into()), array);
    Ok(Some(match name {
        "solve" => x.solve(&other()?)?,
        "solve_triangular" => {
            x.solve_triangular(&other()?, with["lower"] == true, with["unit"] == true)?
        }
        "inv" => x.inv()?,
        "det" => x.det()?,
        "slogdet_sign" => x.slogdet()?.0,
        "slogdet_log" => x.slogdet()?.1,
        "lstsq" => x.lstsq(&other()?, None)?.solution,
        "lstsq_residuals" => x.lstsq(&other()?, None)?.residuals,
        "lstsq_rank" => x.lstsq(&other()?, None)?.rank,
        "pinv" => x.pinv(with["tolerance"].as_f64().ok_or("a tolerance")?)?,
        "matrix_rank" => x.matrix_rank(None)?,
        "cond" => x.cond(norm_of(&with["norm"])?)?,
        "norm_of" => {
            let axes = places(&with["axis"]);
            x.norm_of(norm_of(&with["norm"])?, axes.as_deref(), with["keepdims"] == true)?
        }
        _ => return Ok(None),
    }))
}

fn transform(name: &str, x: &Array, with: &Value) -> Result<Option<Array>> {
    let norm = match with["norm"].as_str() {
        Some("ortho") => FftNorm::Ortho,
        Some("forward") => FftNorm::Forward,
        _ => FftNorm::Backward,
    };
    let n = with["n"].as_u64().map(|n| n as usize);
    let axis = with["axis"].as_i64().unwrap_or(-1) as isize;
    let (lens, axes) = (counts(&with["lens"]), places(&with["axes"]));
    let (lens, axes) = (lens.as_deref(), axes.as_deref());
    let spacing = with["spacing"].as_f64().unwrap_or(1.0);
    Ok(Some(match name {
        "fft" => x.fft(n, axis, norm)?,
        "ifft" => x.ifft(n, axis, norm)?,
        "rfft" => x.rfft(n, axis, norm)?,
        "irfft" => x.irfft(n, axis, norm)?,
        "hfft" => x.hfft(n, axis, norm)?,
        "ihfft" => x.ihfft(n, axis, norm)?,
        "fftn" => x.fftn(lens, axes, norm)?,
        "ifftn" => x.ifftn(lens, axes, norm)?,
        "rfftn" => x.rfftn(lens, axes, norm)?,
        "irfftn" => x.irfftn(lens, axes, norm)?,
        "fft2" => x.fft2(lens, norm)?,
        "ifft2" => x.ifft2(lens, norm)?,
        "fftshift" => x.fftshift(axes)?,
        "ifftshift" => x.ifftshift(axes)?,
        "fftfreq" => Array::fftfreq(n.ok_or("n")?, spacing)?,
        "rfftfreq" => Array::rfftfreq(n.ok_or("n")?, spacing)?,
        _ => return Ok(None),
    }))
}
