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
