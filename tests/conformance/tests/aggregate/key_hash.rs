//! What no group-by shows. The hash of packed keys: a bad one only makes group-bys and joins
//! slow; a kernel that writes it is put behind the text of `aggregate/insert`. And a table
//! without a free slot, which the host does not make.

use std::borrow::Cow;

use conformance::{Bench, Target, data::Random};
use windlass_device::{DeviceBuffer, KernelSource, Language};

const CUDA: &str = r#"
extern "C" __global__ void key_hashes(const u32* keys, const u32*, const u32*, u32*,
                                      u32* row_group, u32*, Params p) {
  const u32 row = blockIdx.x * 256u + threadIdx.x;
  if (row < p.rows) row_group[row] = hash_key(keys + row * p.key_words, p.key_words);
}
"#;

/// `SEED`, `mix` and `finish` stand for the names that the composition gives them.
const WGSL: &str = r#"
@compute @workgroup_size(256)
fn key_hashes(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wid.x * 256u + lid;
    if row < p.rows {
        var hash = SEED;
        for (var k = 0u; k < p.key_words; k++) {
            hash = mix(hash, keys[row * p.key_words + k]);
        }
        row_group[row] = finish(hash, p.key_words);
    }
}
"#;

/// MurmurHash3_x86_32 of whole words.
fn murmur3(words: &[u32]) -> u32 {
    let mut h = 0x9747_b28cu32;
    for word in words {
        let k = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        h = (h ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    h ^= words.len() as u32 * 4;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

/// The name after `before` in a composed text that begins with this one.
fn composed<'a>(text: &'a str, before: &str, name: &str) -> &'a str {
    let found = text.split(before).skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    });
    found.into_iter().find(|n| n.starts_with(name)).unwrap_or_else(|| panic!("no {before}{name}"))
}

fn insert(language: Language) -> KernelSource {
    let all = windlass_kernels::sources::sources(language).unwrap();
    all.into_iter().find(|s| s.name == "aggregate/insert").unwrap()
}

fn source(language: Language) -> KernelSource {
    let insert = insert(language);
    let appended = match language {
        Language::Cuda => CUDA.to_string(),
        Language::Wgsl => {
            let text = &insert.text;
            WGSL.replace("SEED", composed(text, "const ", "SEED"))
                .replace("mix(", &format!("{}(", composed(text, "fn ", "mix")))
                .replace("finish(", &format!("{}(", composed(text, "fn ", "finish")))
        }
    };
    KernelSource {
        text: Cow::Owned(format!("{}{appended}", insert.text)),
        entry: Cow::Borrowed("key_hashes"),
        ..insert
    }
}

/// Keys of one to five words on one backend of each language and adapter.
pub(crate) fn key_hashes(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let language = if target.is_wgsl() { Language::Wgsl } else { Language::Cuda };
    let kernel = device.compile(&source(language)).unwrap_or_else(|e| panic!("{e}"));
    let rows = 1000;
    for key_words in 1..=5usize {
        let mut random = Random(key_words as u64);
        let keys: Vec<u32> = (0..rows * key_words).map(|_| random.bits() as u32).collect();
        let mut buffer = |words: &[u32]| -> DeviceBuffer {
            let mut r = device.pool().reserve(words.len() * 4).unwrap();
            let b = device.alloc(&mut r, words.len() * 4).unwrap();
            bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
            b
        };
        let out = buffer(&vec![0; rows]);
        let [a, b, c, d] = [(); 4].map(|()| buffer(&[0; 4]));
        let buffers = [&buffer(&keys), &a, &b, &c, &out, &d];
        let params = [rows as u32, 0, key_words as u32, 0, 0];
        bench.queue().launch(&kernel, rows.div_ceil(256) as u32, &buffers, &params).unwrap();
        let mut got = vec![0u32; rows];
        bench.queue().download(&out, 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
        for (row, key) in keys.chunks_exact(key_words).enumerate() {
            assert_eq!(got[row], murmur3(key), "row {row}, {key_words} words");
        }
    }
}

/// In a full table each key is found, from wherever its search begins, and a key that is not
/// there ends its search and says that the table is full.
pub(crate) fn full_tables(target: Target) {
    let mut bench = Bench::new(target);
    let device = bench.device_arc();
    let language = if target.is_wgsl() { Language::Wgsl } else { Language::Cuda };
    let kernel = device.compile(&insert(language)).unwrap_or_else(|e| panic!("{e}"));
    let group_keys = [10u32, 11, 12, 13];
    for turn in 0..4 {
        for (keys, full) in [(&group_keys[..], 0), (&[10, 99, 13, 98], 1)] {
            let mut buffer = |words: &[u32]| -> DeviceBuffer {
                let mut r = device.pool().reserve(words.len() * 4).unwrap();
                let b = device.alloc(&mut r, words.len() * 4).unwrap();
                bench.queue().upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
                b
            };
            let slots: Vec<u32> = (0..4).map(|i| (i + turn) % 4 + 1).collect();
            let (rows, counters) = (buffer(&[77; 4]), buffer(&[4, 0, 0]));
            let of_groups = buffer(&group_keys);
            let buffers =
                [&buffer(keys), &buffer(&[1; 4]), &of_groups, &buffer(&slots), &rows, &counters];
            bench.queue().launch(&kernel, 1, &buffers, &[4, 0, 1, 3, 0]).unwrap();
            let mut read = |b: &DeviceBuffer, n: usize| {
                let mut words = vec![0u32; n];
                bench.queue().download(b, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
                words
            };
            let group = |key: &u32| group_keys.iter().position(|k| k == key);
            let want: Vec<u32> =
                keys.iter().map(|k| group(k).map_or(u32::MAX, |g| g as u32)).collect();
            assert_eq!(read(&rows, 4), want, "turned by {turn}");
            assert_eq!(read(&counters, 3), [4, 0, full], "turned by {turn}");
        }
    }
}
