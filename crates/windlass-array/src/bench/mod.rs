//! Operations on whole arrays whose speed `windlass bench arrays` compares with other engines':
//! each gives a number of its result, which all engines must give. `benches/peers/arrays.py` has
//! the same ones for NumPy, Dask and CuPy.

mod files;

use std::sync::{Arc, LazyLock};

use windlass_device::{Device, DeviceOptions, DeviceSpec};
use windlass_runtime::{
    Inventory,
    delayed::RunGraph,
    execute::{Executor, ExecutorOptions},
};

pub use self::files::Files;
use crate::{
    Array, ArrayError, ChunkGrid, ChunkIndex, DType, TakenOver, Tile, compute_all_on, taken_over,
};

/// The name of the operation whose time is for many small chunks.
pub const CHUNKS: &str = "sum of chunks of one";

/// An operation: a number of its result, which other engines must give too.
pub type Run<'a> = Box<dyn Fn() -> Result<f64, ArrayError> + 'a>;

/// Columns of the matrix that is factored.
pub const COLUMNS: usize = 64;
/// Singular values that are asked for, and the rank of the matrix whose they are: so that all
/// engines find the same ones, whatever their random vectors.
const VALUES: usize = 10;

/// The numbers of all operations: `(7919 i + 104729 j) mod 1000003`, in 0..1.
///
/// # Errors
/// Those of the arrays.
pub fn numbers(rows: usize, columns: usize) -> Result<Array, ArrayError> {
    let along = |n: usize, factor: i64| Array::arange(0_i64, n as i64, 1_i64).map(|a| a * factor);
    let made = (along(rows, 7919)?.expand_dims(1)? + along(columns, 104_729)?) % 1_000_003_i64;
    let made = made.astype(DType::F64) / 1_000_003.0;
    made.compute::<f64>().map(Array::from_array)
}

/// The operations on matrices: a square one, and a tall one of [`COLUMNS`]. They are made
/// when the first run needs them.
pub fn matrices(side: usize, rows: usize, on: &On) -> Vec<(&'static str, Run<'_>)> {
    let square = LazyLock::new(move || on.placed(&numbers(side, side)?));
    let tall = Arc::new(LazyLock::new(move || on.placed(&numbers(rows, COLUMNS)?)));
    let of = Arc::clone(&tall);
    let low = LazyLock::new(move || {
        let x = (**of).clone()?;
        let parts = (x.index_axis(1, ..VALUES as i64)?, x.index_axis(0, ..VALUES as i64)?);
        let product = parts.0.matmul(&parts.1)?.compute_on::<f64>(&*on.executor)?;
        on.placed(&Array::from_array(product))
    });
    vec![
        (
            "matmul",
            Box::new(move || {
                let x = (*square).clone()?;
                on.element(&x.matmul(&x)?, [side / 2, side / 3])
            }),
        ),
        (
            "qr",
            Box::new(move || {
                let (q, r) = (**tall).clone()?.qr()?;
                let size = r.diagonal(0, 0, 1)?.absolute()?.sum(..)?;
                Ok(on.all(&[&q, &size])?[1].to_array::<f64>()?[[]])
            }),
        ),
        (
            "compressed svd",
            Box::new(move || {
                let (u, s, vh) = (*low).clone()?.svd_compressed(VALUES, 10, 0, 1)?;
                Ok(on.all(&[&u, &s.sum(..)?, &vh])?[1].to_array::<f64>()?[[]])
            }),
        ),
    ]
}

/// What computes.
#[derive(Debug)]
pub struct On {
    executor: Arc<Executor>,
    /// Whether it has devices: then arrays lie in their memory before and after.
    devices: bool,
}

fn device_error(e: &dyn std::error::Error) -> ArrayError {
    ArrayError::Device { reason: e.to_string() }
}

impl On {
    /// The devices of a spec beside the host's cores; these alone if it names none.
    ///
    /// # Errors
    /// If a device does not open.
    pub fn new(devices: &DeviceSpec) -> Result<Self, ArrayError> {
        let inventory = Inventory::new(devices.clone(), DeviceOptions::default());
        if inventory.accelerators().map_err(|e| device_error(&e))?.is_empty() {
            return Ok(Self { executor: Arc::clone(Executor::global()), devices: false });
        }
        let executor = Executor::with_devices(ExecutorOptions::default(), inventory);
        let executor = Arc::new(executor.map_err(|e| device_error(&e))?);
        Ok(Self { executor, devices: true })
    }

    /// The devices.
    ///
    /// # Errors
    /// If one does not open.
    pub fn devices(&self) -> Result<Vec<Arc<dyn Device>>, ArrayError> {
        match self.executor.inventory().filter(|_| self.devices) {
            Some(inventory) => inventory.accelerators().map_err(|e| device_error(&e)),
            None => Ok(Vec::new()),
        }
    }

    /// What the host did so far in a device's place.
    pub fn taken_over(&self) -> TakenOver {
        taken_over(&*self.executor)
    }

    /// The same array, in a device's memory if there is one.
    ///
    /// # Errors
    /// Those of the array.
    pub fn placed(&self, x: &Array) -> Result<Array, ArrayError> {
        if self.devices { x.persist_on(&*self.executor) } else { Ok(x.clone()) }
    }

    fn all(&self, arrays: &[&Array]) -> Result<Vec<Tile>, ArrayError> {
        compute_all_on(arrays, &*self.executor)
    }

    /// An element of a result, all of which is computed.
    fn element(&self, x: &Array, at: [usize; 2]) -> Result<f64, ArrayError> {
        if !self.devices {
            return Ok(x.compute_on::<f64>(&*self.executor)?[at]);
        }
        let one = [(at[0] as i64).into(), (at[1] as i64).into()];
        let one = x.persist_on(&*self.executor)?.index(&one)?;
        Ok(one.compute_on::<f64>(&*self.executor)?[[]])
    }
}

/// Elementwise operations, reductions and many small chunks, on a square array.
pub fn operations<'a>(x: &'a Array, chunks: usize, on: &'a On) -> Vec<(&'static str, Run<'a>)> {
    let n = x.shape().as_slice()[0];
    vec![
        (
            "chain of ten",
            Box::new(move || {
                let y = ((x * 2.0 + 1.0).exp()? - 0.5).absolute()?.sqrt()?;
                on.element(&((y * 3.0 + x - 1.0) / 7.0), [n / 2, n / 3])
            }),
        ),
        (
            "mean and std",
            Box::new(move || {
                let both = on.all(&[&x.mean(0)?, &x.std(1, 0.0)?])?;
                let sums = both.into_iter().map(|tile| Ok(tile.into_array::<f64>()?.sum()));
                sums.sum::<Result<f64, ArrayError>>()
            }),
        ),
        (
            "(x + x.T).mean()",
            Box::new(move || Ok((x + &x.t()).mean(..)?.compute_on::<f64>(&*on.executor)?[[]])),
        ),
        (
            CHUNKS,
            Box::new(move || {
                let grid = ChunkGrid::regular(&[chunks].into(), &[1].into())?;
                // A call for each, as Dask makes.
                let one = |_: &ChunkIndex| Ok(Tile::new(vec![1.0], [1])?);
                let ones = Array::from_function(grid, DType::F64, one);
                Ok(ones.sum(..)?.compute_on::<f64>(&*on.executor)?[[]])
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_give_the_same_numbers_on_devices() {
        let all = |spec: &str| {
            let devices: DeviceSpec = spec.parse().unwrap();
            let on = On::new(&devices).unwrap();
            assert_eq!(on.devices().unwrap().is_empty(), spec == "cpu");
            let x = numbers(60, 60).and_then(|x| on.placed(&x)).unwrap();
            let files = Files::new(3, "", &devices).unwrap();
            let mut found = Vec::new();
            for (name, run) in operations(&x, 50, &on)
                .into_iter()
                .chain(matrices(40, 200, &on))
                .chain(files.operations())
            {
                found.push((name, run().unwrap()));
            }
            assert_eq!(on.taken_over().tiles, 0);
            found
        };
        let (host, device) = (all("cpu"), all("cuda-emulated:0"));
        assert_eq!(host.len(), 10);
        assert_eq!(host.iter().find(|o| o.0 == CHUNKS).unwrap().1, 50.0);
        for ((name, here), (_, there)) in host.iter().zip(&device) {
            let far = (here - there).abs();
            assert!(far <= 1e-9 * here.abs().max(1.0), "{name}: {here}, {there} on the device");
        }
    }
}
