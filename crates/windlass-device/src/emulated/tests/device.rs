//! Compiling, faults, the cap, several devices.

use super::*;

fn compile_log(text: &str, buffers: &[Access], params: u32) -> String {
    match device().compile(&source("test/wrong", 32, buffers, params, text)) {
        Err(DeviceError::Compile { kernel, log, .. }) => {
            assert_eq!(kernel, "test/wrong");
            log
        }
        other => panic!("{:?}", other.map(|k| k.name().to_string())),
    }
}

#[test]
fn what_does_not_compile_gives_the_compilers_log() {
    let log = compile_log("extern \"C\" __global__ void k(u32* a) {\n a[0] = nothing; }", &[W], 0);
    assert!(log.contains("test/wrong.cu:3:") && log.contains("nothing"), "{log}");
    let text = "struct P { u32 n, m; }; extern \"C\" __global__ void k(u32* a, P p) {}";
    assert!(compile_log(text, &[W], 1).contains("32-bit words"));
    assert!(compile_log(text, &[W, W], 0).contains("declared buffers"));
    assert!(compile_log(text, &[], 2).contains("declared buffers"));
    device().compile(&source("test/right", 32, &[W], 2, text)).map(|_| ()).unwrap();
    let mut wgsl = source("test/wgsl", 32, &[W], 2, text);
    wgsl.language = Language::Wgsl;
    assert!(device().compile(&wgsl).is_err());
    assert!(device().compile(&source("test/big", 1025, &[W], 2, text)).is_err());
}

#[test]
fn sources_include_their_own_headers_and_are_compiled_once() {
    let folder = std::env::temp_dir().join(format!("windlass-emulator-{}", std::process::id()));
    let options =
        DeviceOptions { kernel_cache: Some(folder.clone()), ..options(EmulatorOptions::default()) };
    let d = open(0, &options).unwrap();
    let text =
        "#include \"hash/mix.cuh\"\nextern \"C\" __global__ void k(u32* a) { a[0] = mix(a[0]); }";
    let mut s = source("test/own", 1, &[W], 0, text);
    s.headers = vec![("hash/mix.cuh".into(), "W_INLINE u32 mix(u32 x) { return x * 3u; }".into())];
    let a = put(&*d, &[5u32]);
    launch(&*d, &s, 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [15]);
    assert!(Arc::ptr_eq(&d.compile(&s).unwrap(), &d.compile(&s).unwrap()));
    let files: Vec<_> = fs::read_dir(folder.join("emulated")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "one library and no leftovers: {files:?}");
    s.headers[0].1 = "W_INLINE u32 mix(u32 x) { return x * 4u; }".into();
    launch(&*d, &s, 1, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d, &a), [60]);
    s.headers[0].0 = "../mix.cuh".into();
    assert!(d.compile(&s).is_err());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn faults_and_the_cap_are_honoured() {
    let with = |plan: &str| {
        let faults = FaultPlan::parse(plan).unwrap();
        open(0, &DeviceOptions { faults, ..options(EmulatorOptions::default()) }).unwrap()
    };
    let alloc = |d: &dyn Device, n: usize| d.alloc(&mut d.pool().reserve(0)?, n);
    let d = with("alloc=2");
    assert!(alloc(&*d, 4).is_ok());
    assert!(matches!(alloc(&*d, 4), Err(DeviceError::OutOfMemory { requested: 4, .. })));
    assert!(alloc(&*d, 4).is_ok());
    let d = with("launch=1,transfer=2");
    let a = put(&*d, &[1u32; 3]);
    assert!(matches!(
        d.queue().unwrap().download(&a, 0, &mut [0; 4]),
        Err(DeviceError::Transfer { .. })
    ));
    let text = "extern \"C\" __global__ void k(u32* a) { a[0] = 9; }";
    let k = source("test/nine", 1, &[W], 0, text);
    assert!(matches!(launch(&*d, &k, 1, &[&a], &[]), Err(DeviceError::Launch { .. })));
    assert_eq!(get::<u32>(&*d, &a), [1; 3]);
    launch(&*d, &k, 1, &[&a], &[]).unwrap();
    let d = with("lost=3");
    let a = put(&*d, &[1u32; 3]);
    for _ in 0..2 {
        assert!(matches!(launch(&*d, &k, 1, &[&a], &[]), Err(DeviceError::Lost { .. })));
        assert!(matches!(d.queue().unwrap().synchronize(), Err(DeviceError::Lost { .. })));
    }
    let emulator = EmulatorOptions { memory_bytes: 1000, ..EmulatorOptions::default() };
    let d = open(0, &options(emulator)).unwrap();
    assert_eq!((d.info().memory_bytes, d.pool().stats().cap), (1000, 1000));
    let a = alloc(&*d, 600).unwrap();
    assert!(matches!(alloc(&*d, 600), Err(DeviceError::OutOfMemory { cap: 1000, .. })));
    drop(a);
    assert!(alloc(&*d, 600).is_ok());
}

#[test]
fn devices_are_apart_and_arguments_are_checked() {
    let o = options(EmulatorOptions::default());
    let (d0, d1) = (open(0, &o).unwrap(), open(1, &o).unwrap());
    let (a, b) = (put(&*d0, &[1u32; 4]), put(&*d1, &[2u32; 4]));
    assert_eq!((d0.pool().stats().in_use, d1.pool().stats().in_use), (16, 16));
    a_kernel_runs(&*d0);
    a_kernel_runs(&*d1);
    let mut q = d0.queue().unwrap();
    assert!(matches!(q.upload(&b, 0, &[0]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.copy(&a, 0, &b, 0, 4), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.copy(&a, 0, &a, 0, 4), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.download(&a, 13, &mut [0; 4]), Err(DeviceError::InvalidArgument(_))));
    let c = put(&*d0, &[7u32; 4]);
    assert!(q.copy(&a, 4, &c, 8, 8).is_ok());
    assert!(q.copy(&a, 2, &c, 8, 4).is_err());
    assert_eq!(get::<u32>(&*d0, &c), [7, 7, 1, 1]);
    let text = "extern \"C\" __global__ void k(u32* a) { a[0] = 9; }";
    let k = d0.compile(&source("test/nine", 1, &[W], 0, text)).unwrap();
    assert!(matches!(q.launch(&k, 1, &[], &[]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.launch(&k, 1, &[&a], &[1]), Err(DeviceError::InvalidArgument(_))));
    assert!(matches!(q.launch(&k, 1, &[&b], &[]), Err(DeviceError::InvalidArgument(_))));
    q.launch(&k, 0, &[&a], &[]).unwrap();
    assert_eq!(get::<u32>(&*d0, &a), [1; 4]);
    let empty = put::<u32>(&*d0, &[]);
    assert_eq!(empty.len(), 0);
    let text =
        "extern \"C\" __global__ void k(u32* a, u32* e) { a[0] = u32((u64)e % 256) + (e == 0); }";
    launch(&*d0, &source("test/align256", 1, &[W, W], 0, text), 1, &[&a, &empty], &[]).unwrap();
    assert_eq!(get::<u32>(&*d0, &a)[0], 0);
}
