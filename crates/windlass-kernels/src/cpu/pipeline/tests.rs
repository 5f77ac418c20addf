//! Filter and projection on the `cpu` device, on small cases with known answers. Every
//! operation of every type is compared in the conformance package.

use windlass_device::{Device, DeviceOptions, cpu::CpuDevice};

use crate::{
    KernelError, PhysType, Scalar,
    column::{DeviceBatch, DeviceColumn, Storage, Validity},
    ir::{BinaryOp, CastMode, Program, UnaryOp, ValueId},
    pipeline::FilterProject,
};

fn device() -> CpuDevice {
    CpuDevice::new(&DeviceOptions::default())
}

fn buffer(d: &CpuDevice, bytes: &[u8]) -> windlass_device::DeviceBuffer {
    let mut r = d.pool().reserve(bytes.len()).unwrap();
    let b = d.alloc(&mut r, bytes.len()).unwrap();
    d.queue().unwrap().upload(&b, 0, bytes).unwrap();
    b
}

fn bits(d: &CpuDevice, offset: u32, values: &[bool]) -> windlass_device::DeviceBuffer {
    let mut bytes = vec![0u8; (values.len() + offset as usize).div_ceil(8)];
    for (i, v) in values.iter().enumerate() {
        let at = i + offset as usize;
        bytes[at / 8] |= u8::from(*v) << (at % 8);
    }
    buffer(d, &bytes)
}

fn i64s(d: &CpuDevice, values: &[Option<i64>]) -> DeviceColumn {
    let plain: Vec<i64> = values.iter().map(|v| v.unwrap_or(i64::MIN)).collect();
    let valid: Vec<bool> = values.iter().map(Option::is_some).collect();
    let validity = match valid.iter().all(|v| *v) {
        true => Validity::All,
        false => Validity::Bits { bits: bits(d, 3, &valid), bit_offset: 3 },
    };
    let values = buffer(d, bytemuck::cast_slice(&plain));
    DeviceColumn { ty: PhysType::I64, storage: Storage::Packed, values, bit_offset: 0, validity }
}

fn read(c: &DeviceColumn, rows: usize) -> Vec<Option<i64>> {
    assert_eq!((c.ty, c.storage), (PhysType::I64, Storage::Packed));
    let values: &[i64] = bytemuck::cast_slice(c.values.host_bytes().unwrap());
    assert_eq!(values.len(), rows);
    let valid = |i: usize| match &c.validity {
        Validity::All => true,
        Validity::Bits { bits, .. } => bits.host_bytes().unwrap()[i / 8] >> (i % 8) & 1 == 1,
        Validity::Words(_) => unreachable!(),
    };
    values.iter().enumerate().map(|(i, v)| valid(i).then_some(*v)).collect()
}

fn run(
    d: &CpuDevice,
    p: &Program,
    filter: Option<ValueId>,
    outputs: &[ValueId],
    batch: &DeviceBatch,
) -> Result<DeviceBatch, KernelError> {
    let plan = FilterProject { program: p.clone(), filter, outputs: outputs.to_vec() };
    let mut r = d.pool().reserve(0).unwrap();
    plan.run(d, &mut *d.queue().unwrap(), &mut r, batch, &[])
}

#[test]
fn rows_are_filtered_in_order_and_nulls_drop() {
    let d = device();
    let values: Vec<Option<i64>> = (0..5000).map(|i| (i % 7 != 0).then_some(i)).collect();
    let batch = DeviceBatch { rows: values.len(), columns: vec![i64s(&d, &values)] };
    let mut p = Program::new();
    let a = p.input(PhysType::I64, true);
    let three = p.constant(Scalar::Int(PhysType::I64, 3));
    let rest = p.binary(BinaryOp::Rem, a, three, None).unwrap();
    let one = p.constant(Scalar::Int(PhysType::I64, 1));
    let keep = p.binary(BinaryOp::Eq, rest, one, None).unwrap();
    let twice = p.binary(BinaryOp::Add, a, a, None).unwrap();
    let out = run(&d, &p, Some(keep), &[twice, rest, a], &batch).unwrap();
    let want: Vec<i64> = values.iter().flatten().copied().filter(|v| v % 3 == 1).collect();
    assert_eq!(out.rows, want.len());
    let twice: Vec<_> = want.iter().map(|v| Some(v * 2)).collect();
    assert_eq!(read(&out.columns[0], out.rows), twice);
    assert_eq!(read(&out.columns[1], out.rows), vec![Some(1); out.rows]);
    assert_eq!(read(&out.columns[2], out.rows), want.iter().map(|v| Some(*v)).collect::<Vec<_>>());
}

/// The outputs are columns of the batch, whose rows are taken window by window, and a value that
/// is computed chunk by chunk.
#[test]
fn rows_of_many_windows_are_taken_where_they_lie() {
    let d = device();
    let windows = 65_536;
    for rows in [windows - 1, windows, windows + 1, 4 * windows + 777] {
        // All rows of a window, none, few, and about half of them.
        let keep = |i: usize| match i / windows {
            0 => i % 97 == 5,
            1 => true,
            2 => false,
            _ => (i * i) % 11 < 5,
        };
        for keep in [&keep as &dyn Fn(usize) -> bool, &|i| !keep(i)] {
            let value = |i: usize| i as i64 * 2 + i64::from(keep(i));
            let values: Vec<Option<i64>> = (0..rows).map(|i| Some(value(i))).collect();
            let nulls: Vec<Option<i64>> =
                (0..rows).map(|i| (i % 5 != 2).then_some(i as i64)).collect();
            let flag = |i: usize| i % 3 == 1;
            let flags: Vec<bool> = (0..rows).map(flag).collect();
            let flags = DeviceColumn {
                ty: PhysType::Bool,
                storage: Storage::Packed,
                values: bits(&d, 5, &flags),
                bit_offset: 5,
                validity: Validity::All,
            };
            let columns = vec![i64s(&d, &values), i64s(&d, &nulls), flags];
            let batch = DeviceBatch { rows, columns };
            let mut p = Program::new();
            let (a, b) = (p.input(PhysType::I64, false), p.input(PhysType::I64, true));
            let c = p.input(PhysType::Bool, false);
            let [zero, two] = [0, 2].map(|v| p.constant(Scalar::Int(PhysType::I64, v)));
            let odd = p.binary(BinaryOp::Rem, a, two, None).unwrap();
            let odd = p.binary(BinaryOp::Ne, odd, zero, None).unwrap();
            let twice = p.binary(BinaryOp::Add, b, b, None).unwrap();
            let out = run(&d, &p, Some(odd), &[a, b, c, twice], &batch).unwrap();
            let want: Vec<usize> = (0..rows).filter(|i| keep(*i)).collect();
            assert_eq!(out.rows, want.len(), "{rows}");
            let of = |f: &dyn Fn(usize) -> Option<i64>| -> Vec<Option<i64>> {
                want.iter().map(|i| f(*i)).collect()
            };
            assert!(read(&out.columns[0], out.rows) == of(&|i| Some(value(i))), "{rows}");
            assert!(read(&out.columns[1], out.rows) == of(&|i| nulls[i]), "{rows}");
            assert!(read(&out.columns[3], out.rows) == of(&|i| nulls[i].map(|v| 2 * v)), "{rows}");
            let got = out.columns[2].values.host_bytes().unwrap();
            let at = out.columns[2].bit_offset as usize;
            let got = (at..at + want.len()).map(|i| got[i / 8] >> (i % 8) & 1 == 1);
            assert!(got.eq(want.iter().map(|i| flag(*i))), "{rows}");
        }
    }
}

#[test]
fn dropped_and_unguarded_rows_do_not_fail() {
    let d = device();
    let values: Vec<Option<i64>> = (0..40).map(|i| Some(i % 4)).collect();
    let batch = DeviceBatch { rows: 40, columns: vec![i64s(&d, &values)] };
    let mut p = Program::new();
    let a = p.input(PhysType::I64, false);
    let zero = p.constant(Scalar::Int(PhysType::I64, 0));
    let ok = p.binary(BinaryOp::Ne, a, zero, None).unwrap();
    let hundred = p.constant(Scalar::Int(PhysType::I64, 100));
    let bare = p.binary(BinaryOp::Div, hundred, a, None).unwrap();
    let guarded = p.binary(BinaryOp::Div, hundred, a, Some(ok)).unwrap();
    let case = p.select(ok, guarded, zero).unwrap();
    let e = run(&d, &p, None, &[bare], &batch).unwrap_err();
    assert!(matches!(e, KernelError::DivideByZero));
    assert_eq!(run(&d, &p, Some(ok), &[bare], &batch).unwrap().rows, 30);
    let out = run(&d, &p, None, &[case], &batch).unwrap();
    assert_eq!(read(&out.columns[0], 40)[..4], [Some(0), Some(100), Some(50), Some(33)]);
    let plan = FilterProject { program: p.clone(), filter: Some(ok), outputs: vec![bare] };
    let mut r = d.pool().reserve(0).unwrap();
    let e = plan.evaluate(&d, &mut *d.queue().unwrap(), &mut r, &batch, &[]).unwrap();
    let words: &[u32] = bytemuck::cast_slice(e.selected.as_ref().unwrap().host_bytes().unwrap());
    assert_eq!(words[..5], [0, 1, 1, 1, 0]);
    assert_eq!(read(&e.columns.columns[0], 40)[3], Some(33));
}

#[test]
fn a_failing_cast_raises_or_gives_null() {
    let d = device();
    let batch = DeviceBatch { rows: 2, columns: vec![i64s(&d, &[Some(1), Some(1 << 40)])] };
    let mut p = Program::new();
    let a = p.input(PhysType::I64, false);
    let hard = p.cast(a, PhysType::I32, CastMode::Error, None).unwrap();
    let soft = p.cast(a, PhysType::I32, CastMode::Null, None).unwrap();
    let back = p.cast(soft, PhysType::I64, CastMode::Wrap, None).unwrap();
    assert!(matches!(run(&d, &p, None, &[hard], &batch), Err(KernelError::Overflow(_))));
    let out = run(&d, &p, None, &[back], &batch).unwrap();
    assert_eq!(read(&out.columns[0], 2), [Some(1), None]);
}

#[test]
fn narrow_decimals_are_read_from_wide_ones() {
    let d = device();
    let wide = [5i128, -7, i128::from(i64::MIN)];
    let column = DeviceColumn {
        ty: PhysType::I128,
        storage: Storage::Packed,
        values: buffer(&d, bytemuck::cast_slice(&wide)),
        bit_offset: 0,
        validity: Validity::All,
    };
    let batch = DeviceBatch { rows: 3, columns: vec![column] };
    let mut p = Program::new();
    let a = p.input(PhysType::I64, false);
    let out = run(&d, &p, None, &[a], &batch).unwrap();
    assert_eq!(read(&out.columns[0], 3), [Some(5), Some(-7), Some(i64::MIN)]);
}

#[test]
fn outputs_are_accounted_and_inputs_pass_through() {
    let d = device();
    let batch = DeviceBatch { rows: 3, columns: vec![i64s(&d, &[Some(1), None, Some(3)])] };
    let before = d.pool().stats().in_use;
    let mut p = Program::new();
    let a = p.input(PhysType::I64, true);
    let n = p.unary(UnaryOp::Neg, a, None).unwrap();
    let out = run(&d, &p, None, &[a, n], &batch).unwrap();
    assert!(matches!(out.columns[0].validity, Validity::Bits { bit_offset: 3, .. }));
    assert_eq!(read(&out.columns[1], 3), [Some(-1), None, Some(-3)]);
    assert_eq!(d.pool().stats().in_use - before, 3 * 8 + 1);
    drop(out);
    assert_eq!(d.pool().stats().in_use, before);
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let d = device();
    let batch = DeviceBatch { rows: 4, columns: vec![i64s(&d, &[Some(1)])] };
    let mut p = Program::new();
    let a = p.input(PhysType::I64, true);
    let e = run(&d, &p, None, &[a], &batch).unwrap_err().to_string();
    assert!(e.contains("column 0 of 4 rows") && e.contains("1 rows"), "{e}");
    let mut p = Program::new();
    let f = p.input(PhysType::F64, true);
    assert!(run(&d, &p, None, &[f], &batch).is_err());
}
