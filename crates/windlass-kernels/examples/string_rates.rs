//! Rows a second of the CPU twins of the operations on texts beside arrow's kernels, which run on
//! one thread. `mrows_s_one_thread` is the twin's rate on one thread too, `mrows_s` on all;
//! `mrows_s_arrow_all_cores` is arrow's rate times the cores: what it would reach if it ran on all
//! of them without loss. Prints one JSON object a line, each figure the best of [`RUNS`] runs.
//!
//! `cargo run --example string_rates -p windlass-device -p windlass-kernels -p conformance -p
//! nvrtc-gate -- [ROWS]`
//!
//! `gb_s` is of the bytes of text that an operation reads. The texts are one to six words of a
//! small list, about 17 bytes.

use std::{error::Error, hint::black_box, time::Instant};

use arrow::{
    array::{Array, Datum, Scalar, StringArray, StringViewArray, UInt32Array},
    compute::{
        self,
        kernels::{cmp, comparison, length, substring},
    },
};
use windlass_device::{Device, DeviceBuffer, DeviceOptions, cpu::CpuDevice};
use windlass_kernels::{
    KernelError,
    string::{self, Comparison, Pattern, StringColumn},
};

/// Timed runs of each benchmark.
const RUNS: usize = 3;

/// What texts are made of.
const WORDS: [&str; 8] = ["fox", "quick", "brown", "dog", "over", "lazy", "jumps", "müde"];

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(4_000_000), |a| a.parse())?;
    let mut x = 1u64;
    let mut next = || {
        // Knuth's MMIX generator; its high bits are even enough here.
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    };
    let texts: Vec<String> = (0..rows)
        .map(|_| {
            let words = (0..1 + next() % 6).map(|_| WORDS[(next() % 8) as usize]);
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let indices: Vec<u32> = (0..rows).map(|_| (next() % rows as u64) as u32).collect();
    let mut bench = Bench::new(rows, texts.iter().map(String::len).sum())?;
    let offsets = StringArray::from_iter_values(&texts);
    bench.all("offsets", &offsets, &indices)?;
    drop(offsets);
    bench.all("views", &StringViewArray::from_iter_values(&texts), &indices)
}

struct Bench {
    device: CpuDevice,
    single: rayon::ThreadPool,
    rows: usize,
    bytes: usize,
}

/// An operation of ours, of which only the end of the work counts.
type Ours<'a> = &'a mut (dyn FnMut(&mut Run<'_>) -> Result<(), KernelError> + Send);

/// The arguments that every operation takes.
struct Run<'a> {
    device: &'a CpuDevice,
    queue: &'a mut dyn windlass_device::Queue,
    reservation: &'a mut windlass_device::Reservation,
}

impl Bench {
    fn new(rows: usize, bytes: usize) -> Result<Self, Failure> {
        let device = CpuDevice::new(&DeviceOptions::default());
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        Ok(Self { device, single, rows, bytes })
    }

    fn all<A: Array + Datum + 'static>(
        &mut self,
        form: &str,
        array: &A,
        indices: &[u32],
    ) -> Result<(), Failure> {
        let constant: &dyn Datum = &Scalar::new(StringArray::from(vec!["jumps over"]));
        let view: &dyn Datum = &Scalar::new(StringViewArray::from(vec!["jumps over"]));
        let needle = if form == "views" { view } else { constant };
        let pattern = |p: &str| -> Result<Box<dyn Datum>, Failure> {
            Ok(match form {
                "views" => Box::new(Scalar::new(StringViewArray::from(vec![p]))),
                _ => Box::new(Scalar::new(StringArray::from(vec![p]))),
            })
        };
        let mut queue = self.device.queue()?;
        let mut r = self.device.pool().reserve(0)?;
        let d = &self.device;
        let c = StringColumn::from_arrow(d, &mut *queue, &mut r, array)?;
        let one = StringColumn::constant(d, &mut *queue, &mut r, "jumps over")?;
        let taken = UInt32Array::from(indices.to_vec());
        let indices: DeviceBuffer = d.alloc(&mut r, indices.len() * 4)?;
        queue.upload(&indices, 0, bytemuck::cast_slice(taken.values()))?;
        drop(queue);
        let rows = self.rows;
        self.one(
            (form, "equal to a constant"),
            &mut |r| {
                let equal = Comparison::Equal;
                string::compare(r.device, r.queue, r.reservation, &c, equal, &one).map(drop)
            },
            || Ok(cmp::eq(array, needle)?.len()),
        )?;
        self.one(
            (form, "less than a constant"),
            &mut |r| {
                let less = Comparison::Less;
                string::compare(r.device, r.queue, r.reservation, &c, less, &one).map(drop)
            },
            || Ok(cmp::lt(array, needle)?.len()),
        )?;
        self.one(
            (form, "contains"),
            &mut |r| string::contains(r.device, r.queue, r.reservation, &c, "jumps over").map(drop),
            || Ok(comparison::contains(array, needle)?.len()),
        )?;
        self.one(
            (form, "starts with"),
            &mut |r| {
                string::starts_with(r.device, r.queue, r.reservation, &c, "jumps over").map(drop)
            },
            || Ok(comparison::starts_with(array, needle)?.len()),
        )?;
        for text in ["%fox%dog%", "%f_x%d_g"] {
            let like = Pattern::new(text, Some('\\'))?;
            let theirs = pattern(text)?;
            self.one(
                (form, &format!("like {text}")),
                &mut |r| string::like(r.device, r.queue, r.reservation, &c, &like, false).map(drop),
                || Ok(comparison::like(array, &*theirs)?.len()),
            )?;
        }
        self.one(
            (form, "length in bytes"),
            &mut |r| string::byte_length(r.device, r.queue, r.reservation, &c).map(drop),
            || Ok(length::length(array)?.len()),
        )?;
        self.one(
            (form, "substring of characters 3 to 8"),
            &mut |r| string::substring(r.device, r.queue, r.reservation, &c, 3, Some(6)).map(drop),
            || match array.as_any().downcast_ref::<StringArray>() {
                Some(a) => Ok(substring::substring_by_char(a, 2, Some(6))?.len()),
                // arrow has none for views.
                None => Ok(0),
            },
        )?;
        self.one(
            (form, "gather in random order"),
            &mut |r| {
                string::gather(r.device, r.queue, r.reservation, &c, &indices, rows, false)
                    .map(drop)
            },
            || Ok(compute::take(array, &taken, None)?.len()),
        )?;
        self.one(
            (form, "hash"),
            &mut |r| string::hash_texts(r.device, r.queue, r.reservation, &c, None).map(drop),
            // arrow has none.
            || Ok(0),
        )?;
        self.one(
            (form, "sort"),
            &mut |r| {
                string::sort_indices(r.device, r.queue, r.reservation, &c, false, false).map(drop)
            },
            || Ok(compute::sort_to_indices(array, None, None)?.len()),
        )?;
        Ok(())
    }

    fn one(
        &self,
        (form, what): (&str, &str),
        ours: Ours<'_>,
        theirs: impl Fn() -> Result<usize, Failure>,
    ) -> Result<(), Failure> {
        let mut queue = self.device.queue()?;
        let mut run = || {
            let mut reservation = self.device.pool().reserve(0)?;
            let device = &self.device;
            ours(&mut Run { device, queue: &mut *queue, reservation: &mut reservation })?;
            Ok::<_, Failure>(1)
        };
        let all = best(&mut run)?.0;
        let single = best(|| self.single.install(&mut run))?.0;
        let (arrow, done) = best(theirs)?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let rate = |seconds: f64| self.rows as f64 / seconds / 1e6;
        let arrow = if done == 0 { 0.0 } else { rate(arrow) };
        println!(
            "{{\"bench\":\"string\",\"form\":{form:?},\"what\":{what:?},\"rows\":{},\
             \"device\":\"cpu\",\"class\":\"host\",\"cores\":{cores},\"mrows_s\":{:.1},\
             \"gb_s\":{:.2},\"mrows_s_one_thread\":{:.1},\"mrows_s_arrow\":{arrow:.1},\
             \"mrows_s_arrow_all_cores\":{:.1}}}",
            self.rows,
            rate(all),
            self.bytes as f64 / all / 1e9,
            rate(single),
            arrow * cores as f64,
        );
        Ok(())
    }
}

/// Seconds of the fastest run after one that is not counted, and what it returned.
fn best(mut run: impl FnMut() -> Result<usize, Failure>) -> Result<(f64, usize), Failure> {
    let done = black_box(run()?);
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((best, done))
}
