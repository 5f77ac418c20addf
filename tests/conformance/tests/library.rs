//! The static kernels against their twins.

use conformance::{Bench, Target, data::Random};
use windlass_device::DeviceBuffer;
use windlass_kernels::{
    compact::{Tiles, close_gaps},
    cpu as twins,
    scan::exclusive_scan,
};

conformance::everywhere!(scans, gaps);
conformance::everywhere!(emulated_checked: gaps);

fn buffer(bench: &mut Bench, words: &[u32]) -> DeviceBuffer {
    let device = bench.device_arc();
    let mut r = device.pool().reserve(words.len() * 4).unwrap();
    let b = device.alloc(&mut r, words.len() * 4).unwrap();
    bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
    b
}

fn read(bench: &mut Bench, b: &DeviceBuffer) -> Vec<u32> {
    let mut out = vec![0u32; b.len() / 4];
    bench.queue().download(b, 0, bytemuck::cast_slice_mut(&mut out)).unwrap();
    out
}

/// Lengths around a warp, a tile, a tile of tiles (2048 * 2048: three levels).
fn scans(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let lengths = [0, 1, 31, 32, 33, 65, 255, 257, 2047, 2048, 2049, 4096, 10_000, 2048 * 2048 + 5];
    for n in lengths {
        let mut random = Random(n as u64);
        for (first, total) in [(0, None), (2, Some(1))] {
            let words: Vec<u32> =
                (0..n + first as usize + 3).map(|_| random.bits() as u32).collect();
            let b = buffer(&mut bench, &words);
            let mut r = device.pool().reserve(0).unwrap();
            exclusive_scan(&*device, bench.queue(), &mut r, &b, first, n as u32, total).unwrap();
            let mut want = words;
            let sum = twins::scan::exclusive_scan(&mut want[first as usize..first as usize + n]);
            if let Some(t) = total {
                want[t as usize] = sum;
            }
            assert!(read(&mut bench, &b) == want, "{n} from {first}");
        }
    }
    let b = buffer(&mut bench, &[1, 2, 3]);
    let mut r = device.pool().reserve(0).unwrap();
    assert!(exclusive_scan(&*device, bench.queue(), &mut r, &b, 1, 3, None).is_err());
}

/// Values of every width; more tiles than a dispatch has groups in one dimension.
fn gaps(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    // Only WGSL has a limit of groups in one dimension (65,535).
    let many = if target.is_wgsl() { 70_000 } else { 700 };
    for (tiles, tile) in [(1, 1024), (7, 300), (many, 2)] {
        for words in [1, 2, 4usize] {
            let mut random = Random(tiles as u64 * 10 + words as u64);
            let from: Vec<u32> = (0..tiles * tile * words).map(|_| random.bits() as u32).collect();
            let mut offsets: Vec<u32> = (0..tiles).map(|_| random.below(tile + 1) as u32).collect();
            let total = twins::scan::exclusive_scan(&mut offsets);
            // What lies behind the offsets and the tiles belongs to no tile.
            let on_device = buffer(&mut bench, &[&[9, 9][..], &offsets, &[0; 3]].concat());
            let source = buffer(&mut bench, &[&from[..], &vec![0xE5; tile * words]].concat());
            let to = buffer(&mut bench, &vec![0xA5A5_A5A5; total as usize * words]);
            let t = Tiles {
                tiles: tiles as u32,
                tile: tile as u32,
                offsets: &on_device,
                first: 2,
                total,
            };
            close_gaps(&*device, bench.queue(), &source, t, words as u32, &to).unwrap();
            offsets.push(total);
            let want = twins::compact::close_gaps(&from, &offsets, tile * words, words).unwrap();
            assert!(read(&mut bench, &to) == want, "{tiles} tiles of {tile}, {words} words");
            if total > 0 {
                let short = buffer(&mut bench, &[0]);
                let t = Tiles { total: 2, ..t };
                assert!(close_gaps(&*device, bench.queue(), &source, t, 1, &short).is_err());
            }
        }
    }
}
