//! Arrays on devices: the emulator and, where there is one, a software adapter. The same results
//! as on the host, by tasks that ran there; without memory or without the device, too.

use std::sync::Arc;

use windlass_array::{Array, Axes, DType, TakenOver, compute_all_on, taken_over};
use windlass_device::{DeviceOptions, fault::FaultPlan};
use windlass_runtime::{
    Inventory,
    execute::{Executor, ExecutorOptions},
};

const EMULATED: &str = "cuda-emulated:0";
const ALL: [&str; 3] = [EMULATED, "cuda-emulated*2", "wgpu:0"];

fn executor(spec: &str, options: DeviceOptions) -> Executor {
    let inventory = Inventory::new(spec.parse().unwrap(), options);
    Executor::with_devices(ExecutorOptions::default().threads(2), inventory).unwrap()
}

/// Tasks that ran on devices, and on the host.
fn tasks(on: &Executor) -> (u64, u64) {
    let counts = on.counts();
    let of = |host: bool| {
        counts.iter().filter(|(name, _)| (name == "cpu") == host).map(|(_, c)| c.tasks).sum()
    };
    (of(false), of(true))
}

/// 60 by 50 in chunks that do not divide them.
fn matrix() -> Array {
    let all = Array::arange(0_i64, 3000_i64, 1_i64).unwrap();
    let x = (all * 7919_i64 % 1009_i64).astype(DType::F64) / 100.0 - 3.0;
    let x = x.reshape([60, 50]).unwrap().compute::<f64>().unwrap();
    Array::from_array(x).rechunk([17, 13]).unwrap()
}

#[test]
fn chains_transposes_and_reductions_are_those_of_the_host() {
    let x = matrix();
    let chain = ((&x * 2.0 + 1.0).absolute().unwrap().sqrt().unwrap()
        - &x.t().rechunk([9, 20]).unwrap().t())
        / 3.0;
    let small = x.astype(DType::F32);
    let bools = x.greater(0.5).unwrap();
    let wanted = [
        chain.clone(),
        chain.sum(0).unwrap(),
        x.mean(1).unwrap(),
        x.std(Axes::all(), 0.0).unwrap(),
        x.max(0).unwrap(),
        x.argmin(Some(1), false).unwrap(),
        x.t().argmax(Some(0), false).unwrap(),
        small.sin().unwrap(),
        small.prod(0).unwrap(),
        bools.any(1).unwrap(),
        bools.clone(),
        x.cumsum(0).unwrap(),
        (x.astype(DType::I16) * 300_i64).floor_divide(7_i64).unwrap(),
    ];
    let arrays: Vec<&Array> = wanted.iter().collect();
    let host = compute_all_on(&arrays, &**Executor::global()).unwrap();
    for spec in ALL {
        let on = executor(spec, DeviceOptions::default());
        let found = compute_all_on(&arrays, &on).unwrap();
        for ((found, host), array) in found.iter().zip(&host).zip(&wanted) {
            assert_eq!((found.dtype(), found.shape()), (host.dtype(), host.shape()));
            close(found, host, &format!("{array} on {spec}"));
        }
        let (there, here) = tasks(&on);
        assert!(there > here, "{spec}: {there} tasks on devices, {here} on the host");
        assert_eq!(taken_over(&on), TakenOver::default(), "{spec}");
    }
}

fn close(found: &windlass_array::Tile, host: &windlass_array::Tile, what: &str) {
    let as_f64 = |t: &windlass_array::Tile| {
        let shape = t.shape().clone();
        let array = match t.dtype() {
            DType::F64 => Array::from_array(t.to_array::<f64>().unwrap()),
            DType::F32 => Array::from_array(t.to_array::<f32>().unwrap()),
            DType::I64 => Array::from_array(t.to_array::<i64>().unwrap()),
            DType::I16 => Array::from_array(t.to_array::<i16>().unwrap()),
            _ => Array::from_array(t.to_array::<bool>().unwrap()),
        };
        let values = array.astype(DType::F64).compute::<f64>().unwrap();
        assert_eq!(values.shape(), shape.as_slice());
        values
    };
    let bound = if found.dtype() == DType::F32 { 1e-4 } else { 1e-11 };
    for (f, h) in as_f64(found).iter().zip(&as_f64(host)) {
        assert!((f - h).abs() <= bound * h.abs().max(1.0), "{what}: {f}, and {h} on the host");
    }
}

#[test]
fn persisted_tiles_stay_where_they_were_computed() {
    for spec in [EMULATED, "wgpu:0"] {
        let on = executor(spec, DeviceOptions::default());
        let y = (matrix() * 0.5).persist_on(&on).unwrap();
        assert_eq!(y.devices(), [spec]);
        assert!(y.to_string().contains(&format!("devices={spec}")), "{y}");
        // On the device, from several of its tiles; and on the host alone.
        let twice = (&y + &y.flip(&[0]).unwrap()).t();
        let sum = twice.sum(..).unwrap();
        let there = sum.compute_on::<f64>(&on).unwrap()[[]];
        let here = sum.compute::<f64>().unwrap()[[]];
        let wanted = matrix().sum(..).unwrap().compute::<f64>().unwrap()[[]];
        assert!((there - wanted).abs() < 1e-9 && (here - wanted).abs() < 1e-9);
    }
}

#[test]
fn what_has_no_kernel_or_no_memory_is_computed_on_the_host() {
    let on = executor(EMULATED, DeviceOptions::default());
    let complex = matrix().astype(DType::C128);
    let text = (complex.clone() + complex).explain_on(&on).unwrap();
    assert!(text.contains("on the host") && text.contains("complex128"), "{text}");
    let text = matrix().mean(0).unwrap().explain_on(&on).unwrap();
    assert!(text.contains(EMULATED), "{text}");
    let x = matrix();
    let found = (&x * &x).sum(0).unwrap();
    let wanted = found.compute::<f64>().unwrap();
    let same = |on: &Executor| {
        let found = found.compute_on::<f64>(on).unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-9));
    };
    // A device that holds no tile gets none.
    let options = DeviceOptions { memory_cap: Some(1000), ..DeviceOptions::default() };
    let on = executor(EMULATED, options);
    same(&on);
    assert_eq!(tasks(&on).0, 0);
    // One whose memory runs out meanwhile: the host does the work of that task.
    let faults = FaultPlan { alloc: 3, ..FaultPlan::default() };
    let on = executor(EMULATED, DeviceOptions { faults, ..DeviceOptions::default() });
    same(&on);
    let taken = taken_over(&on);
    assert_eq!(taken.tiles, 1);
    assert!(taken.reason.unwrap().contains("memory"));
}

#[test]
fn a_lost_device_loses_no_result() {
    let x = matrix();
    let wanted = (x.t() * 3.0).mean(0).unwrap().compute::<f64>().unwrap();
    for lost in (1..80).step_by(3).chain([200]) {
        let faults = FaultPlan { lost, ..FaultPlan::default() };
        let on = executor(EMULATED, DeviceOptions { faults, ..DeviceOptions::default() });
        // A stage of its own, whose tiles lie on the device when it goes.
        let found = (x.t() * 3.0).rechunk([50, 60]).unwrap().mean(0).unwrap();
        let found = found.compute_on::<f64>(&on).unwrap();
        assert!(
            found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-9),
            "lost at call {lost}"
        );
        drop(Arc::new(on));
    }
}

/// What devices compute is what the host computes, and no host's task but those that are named
/// here.
fn all_there(spec: &str, wanted: &[Array], host_tasks: u64) {
    let arrays: Vec<&Array> = wanted.iter().collect();
    let host = compute_all_on(&arrays, &**Executor::global()).unwrap();
    let on = executor(spec, DeviceOptions::default());
    let found = compute_all_on(&arrays, &on).unwrap();
    for ((found, host), array) in found.iter().zip(&host).zip(wanted) {
        assert_eq!((found.dtype(), found.shape()), (host.dtype(), host.shape()));
        close(found, host, &format!("{array} on {spec}"));
    }
    let (_, here) = tasks(&on);
    assert!(here <= host_tasks, "{spec}: {here} tasks on the host");
    assert_eq!(taken_over(&on), TakenOver::default(), "{spec}");
}

/// All elements, bit by bit.
fn same(found: &Array, wanted: &Array, spec: &str) {
    let differ = found.not_equal(wanted).unwrap().count_nonzero(..).unwrap();
    assert_eq!(differ.compute::<i64>().unwrap()[[]], 0, "{wanted} on {spec}");
}

#[test]
fn products_of_matrices_are_made_where_their_tiles_are() {
    let x = matrix();
    let wanted = [
        x.matmul(&x.t()).unwrap(),
        // The result's axes in another order than the product's.
        Array::einsum("ij,kj->ki", &[&x, &(&x * 2.0)]).unwrap(),
        Array::einsum(
            "abc,dcb->ad",
            &[&x.reshape([60, 5, 10]).unwrap(), &x.reshape([60, 10, 5]).unwrap()],
        )
        .unwrap(),
        Array::einsum(
            "bij,bjk->bik",
            &[&x.reshape([6, 10, 50]).unwrap(), &x.reshape([6, 50, 10]).unwrap()],
        )
        .unwrap(),
        (&x * 10.0).astype(DType::I64).matmul(&(&x.t() * 7.0).astype(DType::I64)).unwrap(),
        x.astype(DType::F32).dot(&x.astype(DType::F32).t()).unwrap(),
    ];
    for spec in ALL {
        // Sums of several rows of segments are merged on the host.
        all_there(spec, &wanted, u64::MAX);
        let on = executor(spec, DeviceOptions::default());
        let product = wanted[0].clone().persist_on(&on).unwrap();
        assert!(product.devices().iter().all(|d| d != "cpu"), "{product}");
        assert!(wanted[0].explain_on(&on).unwrap().contains("matmul: 1 tile, on"));
        // Small integers have no kernel.
        let small = x.astype(DType::I8);
        let text = small.matmul(&small.t()).unwrap().explain_on(&on).unwrap();
        assert!(text.contains("on the host: not supported") && text.contains("of i8"), "{text}");
    }
}

#[test]
fn functions_of_numbers_too_small_for_all_digits() {
    let tiny = [1e-40_f32, f32::from_bits(1), 1.1e-38, 0.0, -1e-40, 3e-39, 1.2e-38];
    let x = Array::from_slice(&tiny);
    let wanted = [
        x.sqrt().unwrap(),
        x.log().unwrap(),
        x.log2().unwrap(),
        x.log10().unwrap(),
        x.power(Array::from_slice(&[0.25_f32])).unwrap(),
    ];
    for spec in ALL {
        let on = executor(spec, DeviceOptions::default());
        for array in &wanted {
            let there = array.persist_on(&on).unwrap().compute::<f32>().unwrap();
            for (found, wanted) in there.iter().zip(&array.compute::<f32>().unwrap()) {
                let near = (found - wanted).abs() <= 2e-5 * wanted.abs();
                let same = found == wanted || found.is_nan() && wanted.is_nan();
                assert!(near || same, "{array} on {spec}: {found}, {wanted} on the host");
            }
        }
    }
}

#[test]
fn running_results_go_on_from_tile_to_tile() {
    let x = matrix();
    let wanted = [
        x.cumsum(0).unwrap(),
        x.cumsum(1).unwrap(),
        x.astype(DType::F32).cumsum(1).unwrap(),
        (&x / 4.0).cumprod(0).unwrap(),
        x.astype(DType::I16).cumsum(0).unwrap(),
        x.t().cumsum(0).unwrap(),
    ];
    for spec in ALL {
        // What comes before a tile is added up on the host.
        all_there(spec, &wanted, u64::MAX);
        let on = executor(spec, DeviceOptions::default());
        let sums = wanted[0].clone().persist_on(&on).unwrap();
        assert!(sums.devices().iter().all(|d| d != "cpu"), "{sums}");
    }
}

#[test]
fn generated_elements_are_those_of_the_host_bit_by_bit() {
    let uniform = Array::random_uniform([70, 33], (-1.0, 3.0), 7).unwrap();
    let integers = |low: i64, high: i64| Array::random_integers([70, 33], (low, high), 8).unwrap();
    let wanted = [
        uniform.clone(),
        uniform.t().flip(&[0]).unwrap(),
        integers(-5, 1000),
        integers(i64::MIN, i64::MAX),
        Array::arange(3_i64, 3000_i64, 7_i64).unwrap(),
        Array::arange(0.1, 9.0, 0.01).unwrap(),
        Array::linspace(0.0, 1.0, 777),
        Array::eye(40, 50, 3, DType::I32),
        Array::random_normal([200], (0.0, 1.0), 1).unwrap(),
    ];
    for spec in ALL {
        let on = executor(spec, DeviceOptions::default());
        for array in &wanted {
            let array = array.rechunk(vec![17; array.rank()]).unwrap();
            let there = array.persist_on(&on).unwrap();
            assert!(there.devices().iter().all(|d| d != "cpu"), "{there}");
            same(&there, &array, spec);
        }
    }
}

#[test]
fn elements_at_listed_positions_are_picked_on_the_device() {
    for spec in ALL {
        let on = executor(spec, DeviceOptions::default());
        let x = matrix();
        let there = x.persist_on(&on).unwrap();
        let rows: Vec<i64> = (0..90).map(|i| (i * 37 % 60) - 60 * (i % 2)).collect();
        for axis in [0, 1] {
            let list: Vec<i64> = rows.iter().map(|r| if axis == 1 { r % 50 } else { *r }).collect();
            let here = x.take(&list, axis).unwrap();
            let found = there.take(&list, axis).unwrap().persist_on(&on).unwrap();
            assert!(found.devices().iter().all(|d| d != "cpu"), "{found}");
            same(&found, &here, spec);
        }
        assert_eq!(taken_over(&on), TakenOver::default(), "{spec}");
    }
}

#[test]
fn adapters_without_64_bit_floats_sum_32_bit_ones() {
    let options = DeviceOptions { wgpu_baseline: true, ..DeviceOptions::default() };
    let x = matrix().astype(DType::F32);
    let wanted = [
        x.sum(0).unwrap(),
        x.t().mean(0).unwrap(),
        (&x / 4.0_f32).exp().unwrap().sum(..).unwrap(),
        (&x / 3.0_f32).prod(1).unwrap(),
        x.max(1).unwrap(),
        x.argmin(Some(0), false).unwrap(),
        x.matmul(&x.t()).unwrap(),
        (&x * 100.0_f32).astype(DType::I64).sum(1).unwrap(),
        x.std(0, 0.0).unwrap(),
    ];
    let arrays: Vec<&Array> = wanted.iter().collect();
    let host = compute_all_on(&arrays, &**Executor::global()).unwrap();
    let on = executor("wgpu:0", options.clone());
    let found = compute_all_on(&arrays, &on).unwrap();
    for ((found, host), array) in found.iter().zip(&host).zip(&wanted) {
        assert_eq!((found.dtype(), found.shape()), (host.dtype(), host.shape()));
        close(found, host, &array.to_string());
    }
    // All but the deviation, which needs more digits.
    assert!(tasks(&on).0 >= 8, "{:?}", tasks(&on));
    assert_eq!(taken_over(&on), TakenOver::default());
    let told = |array: &Array| array.explain_on(&on).unwrap();
    assert!(told(&wanted[1]).contains("on wgpu:0"), "{}", told(&wanted[1]));
    assert!(told(&wanted[8]).contains("64-bit floats"), "{}", told(&wanted[8]));
}
