//! Runs the blocks of a grid: each thread of a block is a fiber that switches away at
//! barriers and warp operations.
//!
//! A block stays on one OS thread. Its ready fibers run in order, or in an order drawn from
//! a seed. A warp operation completes when every live lane of the warp waits at the same
//! one, the block's barrier when every thread waits at the same one. When nothing is ready
//! and threads still wait, the kernel has diverged; that is an error, not a hang.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ffi::{CStr, c_char, c_void},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::Stack};

use super::{
    abi::{Block, Dim, Thread, op},
    module::Module,
    report,
    shared::Arena,
    stack::{self, FiberStack},
    warp::{self, WARP},
};

/// Atomics of one thread until it lets the others run; with a seed, 1 to 8. A stated guess:
/// rare enough to cost nothing, often enough for a lock to change hands.
const FUEL: u32 = 256;

/// A block that does nothing but atomics for this long, and this many of them, with no thread
/// reaching a barrier or its end, waits for a block that cannot run. Stated guesses: both are
/// orders of magnitude above what a test kernel needs between two barriers; the count keeps
/// a loaded machine from looking like a wait.
const SPIN_PARALLEL: Duration = Duration::from_secs(20);
const SPIN_ALONE: Duration = Duration::from_secs(2);
const SPIN_ATOMICS: u64 = 1 << 26;

/// A buffer of a launch, for the checked mode.
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) writable: bool,
}

/// One launch, shared by the OS threads that run its blocks.
pub(super) struct Launch<'a> {
    pub(super) module: &'a Module,
    pub(super) threads: u32,
    pub(super) groups: u32,
    /// One pointer per parameter of the entry point.
    pub(super) arguments: Vec<*mut c_void>,
    pub(super) ranges: Vec<Range>,
    /// Start and end of the argument list and the parameter words.
    pub(super) constants: [(usize, usize); 2],
    pub(super) seed: Option<u64>,
    /// One block at a time.
    pub(super) alone: bool,
    pub(super) checked: bool,
    /// Set when a block has failed.
    pub(super) stop: AtomicBool,
}

// SAFETY: the pointers lead to device memory and parameter words that outlive the launch;
// kernels share them between OS threads as they do between multiprocessors.
unsafe impl Sync for Launch<'_> {}

/// Where a fiber stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// At a warp operation.
    Warp,
    /// At the block's barrier.
    Barrier,
    Done,
}

/// A thread and what only the emulator knows of it. The kernel sees the first field.
#[repr(C)]
pub(super) struct Fiber {
    pub(super) thread: Thread,
    yielder: *const Yielder<(), ()>,
    stack: (usize, usize),
}

/// A block and what only the emulator knows of it. The kernel sees the first field.
#[repr(C)]
struct Shared<'a> {
    block: Block,
    launch: &'a Launch<'a>,
    arena: RefCell<Arena>,
    error: RefCell<Option<String>>,
    /// Whether `error` holds one.
    failed: Cell<bool>,
    index: Cell<u32>,
}

type Routine = Coroutine<(), (), (), FiberStack>;

/// Runs blocks of one launch on one OS thread.
pub(super) struct Worker<'a> {
    launch: &'a Launch<'a>,
    shared: Box<Shared<'a>>,
    fibers: Vec<Fiber>,
    states: Vec<State>,
    stacks: Vec<FiberStack>,
    random: u64,
}

impl<'a> Worker<'a> {
    /// A worker with stacks for every thread of a block.
    ///
    /// # Errors
    /// Text, when the host has no memory left.
    pub(super) fn new(launch: &'a Launch<'a>) -> Result<Self, String> {
        let n = launch.threads as usize;
        let stacks = stack::take(n, launch.checked).map_err(|e| format!("no stacks: {e}"))?;
        let shared = Box::new(Shared {
            block: Block {
                block_idx: Dim::index(0),
                block_dim: Dim::extent(launch.threads),
                grid_dim: Dim::extent(launch.groups),
                sync,
                shared: place,
                fail,
                check,
            },
            launch,
            arena: RefCell::new(Arena::new().ok_or("no memory for shared arrays")?),
            error: RefCell::new(None),
            failed: Cell::new(false),
            index: Cell::new(0),
        });
        Ok(Self { launch, shared, fibers: Vec::new(), states: Vec::new(), stacks, random: 0 })
    }

    /// Runs one block to its end.
    ///
    /// # Errors
    /// What went wrong in it, as text.
    pub(super) fn run(&mut self, block: u32) -> Result<(), String> {
        let launch = self.launch;
        self.random = launch.seed.unwrap_or(0) ^ (u64::from(block) << 32);
        self.shared.index.set(block);
        self.shared.block.block_idx = Dim::index(block);
        self.shared.arena.get_mut().reset();
        let shared: *mut Shared<'a> = &raw mut *self.shared;
        self.states.clear();
        self.fibers.clear();
        for i in 0..launch.threads {
            let fuel = self.fuel();
            self.states.push(State::Ready);
            self.fibers.push(Fiber {
                thread: Thread {
                    thread_idx: Dim::index(i),
                    op: 0,
                    line: 0,
                    arg: 0,
                    fuel,
                    file: c"".as_ptr(),
                    block: shared.cast(),
                    input: [0; 2],
                    output: [0; 2],
                },
                yielder: std::ptr::null(),
                stack: (0, 0),
            });
        }
        let fibers = self.fibers.as_mut_ptr();
        let arguments = launch.arguments.as_ptr();
        let enter = launch.module.enter();
        let mut routines = Vec::with_capacity(self.stacks.len());
        for (i, stack) in self.stacks.drain(..).enumerate() {
            // SAFETY: `i` is below the number of fibers; the vector does not grow while the
            // block runs, and the routines end before it does.
            let fiber = unsafe { fibers.add(i) };
            // SAFETY: as above.
            unsafe { (*fiber).stack = (stack.limit().get(), stack.base().get()) }
            let body = move |yielder: &Yielder<(), ()>, ()| {
                // SAFETY: as above; `enter` takes the argument list that the module's own
                // signature check has passed.
                unsafe {
                    (*fiber).yielder = yielder;
                    enter(arguments);
                }
            };
            // SAFETY: the fibers and the launch outlive the routine, which is driven to its
            // end or reset below.
            routines.push(unsafe { Routine::with_stack_unchecked(stack, body) });
        }
        let result = self.schedule(&mut routines, fibers);
        for mut routine in routines {
            if !routine.done() {
                // SAFETY: only the kernel's frames and the callbacks' are on the stack, and
                // at a switch they own nothing that must be dropped.
                unsafe { routine.force_reset() }
            }
            self.stacks.push(routine.into_stack());
        }
        result?;
        match self.shared.arena.get_mut().overrun() {
            None => Ok(()),
            Some(len) => {
                Err(format!("block {block} wrote past the end of a shared array of {len} bytes"))
            }
        }
    }

    fn schedule(&mut self, routines: &mut [Routine], fibers: *mut Fiber) -> Result<(), String> {
        let slot = self.launch.module.slot();
        let n = routines.len();
        let mut ready: VecDeque<usize> = (0..n).collect();
        // Live lanes and waiting lanes of each warp.
        let mut warps = vec![(0usize, 0usize); n.div_ceil(WARP)];
        (0..n).for_each(|i| warps[i / WARP].0 += 1);
        let mut at_barrier = 0;
        // Turns given up and atomics done since the last progress.
        let (mut spins, mut atomics) = (0u64, 0u64);
        let mut progress = Instant::now();
        while let Some(i) = self.next(&mut ready) {
            // SAFETY: `slot` is this OS thread's variable in the module; `i < n`.
            unsafe { *slot = fibers.add(i).cast() }
            let state = match routines[i].resume(()) {
                CoroutineResult::Return(()) => State::Done,
                CoroutineResult::Yield(()) => {
                    if self.shared.failed.get() {
                        let text = self.shared.error.borrow_mut().take();
                        return Err(text.unwrap_or_default());
                    }
                    // SAFETY: the fiber is suspended.
                    match unsafe { (*fibers.add(i)).thread.op } {
                        op::PREEMPT => State::Ready,
                        op::BLOCK => State::Barrier,
                        _ => State::Warp,
                    }
                }
            };
            self.states[i] = state;
            let warp = i / WARP;
            match state {
                State::Ready => {
                    let fuel = self.fuel();
                    // SAFETY: the fiber is suspended.
                    unsafe { (*fibers.add(i)).thread.fuel = fuel }
                    ready.push_back(i);
                    spins += 1;
                    atomics += u64::from(fuel);
                    if spins.is_multiple_of(1024) {
                        self.give_up(progress, atomics)?;
                    }
                    continue;
                }
                State::Done => warps[warp].0 -= 1,
                State::Warp => warps[warp].1 += 1,
                State::Barrier => at_barrier += 1,
            }
            if spins > 0 {
                (spins, atomics, progress) = (0, 0, Instant::now());
            }
            if at_barrier == n {
                report::same_place(self.block(), fibers, 0..n)?;
                at_barrier = 0;
                self.states.fill(State::Ready);
                ready.extend(0..n);
            }
            let (live, waiting) = warps[warp];
            if live > 0 && live == waiting {
                let lanes = warp * WARP..((warp + 1) * WARP).min(n);
                let waits = |i: &usize| self.states[*i] == State::Warp;
                report::same_place(self.block(), fibers, lanes.clone().filter(waits))?;
                let mut threads = [None; WARP];
                for i in lanes.rev().filter(waits) {
                    // SAFETY: `i < n`.
                    threads[i % WARP] = Some(unsafe { &raw mut (*fibers.add(i)).thread });
                    // A warp goes on before the next one starts: its stacks are in the cache.
                    ready.push_front(i);
                }
                // SAFETY: every fiber of the warp is suspended.
                unsafe { warp::resolve(&threads) }
                for i in warp * WARP..((warp + 1) * WARP).min(n) {
                    if self.states[i] == State::Warp {
                        self.states[i] = State::Ready;
                    }
                }
                warps[warp].1 = 0;
            }
        }
        if self.states.iter().all(|s| *s == State::Done) {
            return Ok(());
        }
        Err(report::divergence(self.block(), fibers, &self.states))
    }

    fn block(&self) -> u32 {
        self.shared.index.get()
    }

    fn next(&mut self, ready: &mut VecDeque<usize>) -> Option<usize> {
        if self.launch.seed.is_some() && ready.len() > 1 {
            let at = self.draw() as usize % ready.len();
            ready.swap_remove_back(at)
        } else {
            ready.pop_front()
        }
    }

    /// The next number of a splitmix64 sequence.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fuel(&mut self) -> u32 {
        if self.launch.seed.is_some() { 1 + (self.draw() % 8) as u32 } else { FUEL }
    }

    /// Stops a block that waits for what cannot happen.
    fn give_up(&self, progress: Instant, atomics: u64) -> Result<(), String> {
        if self.launch.stop.load(Ordering::Relaxed) {
            return Err("another block failed".to_string());
        }
        let limit = if self.launch.alone { SPIN_ALONE } else { SPIN_PARALLEL };
        if atomics < SPIN_ATOMICS || progress.elapsed() < limit {
            return Ok(());
        }
        let block = self.block();
        Err(format!(
            "block {block} has done nothing but atomics for {limit:?}: it needs another block to run \
             at the same time, which no device promises"
        ))
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        stack::give_back(std::mem::take(&mut self.stacks), self.launch.checked);
    }
}

/// Switches from a fiber to the scheduler.
unsafe extern "C" fn sync(thread: *mut Thread) {
    // SAFETY: a kernel passes the running fiber's thread, the first field of a `Fiber` whose
    // yielder was set when the fiber began.
    unsafe { (*(*thread.cast::<Fiber>()).yielder).suspend(()) }
}

/// The block's own state.
///
/// # Safety
/// `thread` is the running fiber's.
unsafe fn shared_of<'t>(thread: *mut Thread) -> &'t Shared<'t> {
    // SAFETY: the block is the first field of a `Shared` that outlives the launch.
    unsafe { &*(*thread).block.cast::<Shared<'t>>() }
}

/// Records an error and never returns to the kernel: the block ends with this switch.
///
/// # Safety
/// `thread` is the running fiber's.
unsafe fn stop(thread: *mut Thread, text: String) {
    // SAFETY: as this function's contract.
    unsafe {
        let shared = shared_of(thread);
        shared.error.borrow_mut().get_or_insert(text);
        shared.failed.set(true);
        sync(thread);
    }
}

unsafe extern "C" fn place(
    thread: *mut Thread,
    key: *const c_void,
    bytes: u64,
    align: u64,
) -> *mut c_void {
    // SAFETY: called by the running fiber.
    let shared = unsafe { shared_of(thread) };
    let placed = shared.arena.borrow_mut().place(key, bytes, align);
    match placed {
        Ok(place) => place,
        Err(e) => {
            // SAFETY: as above.
            unsafe { stop(thread, e) };
            unreachable!("a stopped block is not resumed")
        }
    }
}

unsafe extern "C" fn fail(
    thread: *mut Thread,
    what: *const c_char,
    file: *const c_char,
    line: u32,
) {
    // SAFETY: called by the running fiber with literals of its module.
    unsafe {
        let (what, file) = (CStr::from_ptr(what), CStr::from_ptr(file));
        let (t, b) = ((*thread).thread_idx.x, shared_of(thread).index.get());
        let (what, file) = (what.to_string_lossy(), report::file_name(file));
        stop(thread, format!("thread {t} of block {b}: {what} at {file}:{line}"));
    }
}

unsafe extern "C" fn check(thread: *mut Thread, address: *const c_void, bytes: u64, write: u32) {
    let (start, len) = (address as usize, bytes as usize);
    // SAFETY: called by the running fiber.
    let (shared, stack) = unsafe { (shared_of(thread), (*thread.cast::<Fiber>()).stack) };
    let inside = |from: usize, to: usize| start >= from && start.saturating_add(len) <= to;
    let ranges = &shared.launch.ranges;
    let fits = |r: &Range| inside(r.start, r.start + r.len) && (r.writable || write == 0);
    if ranges.iter().any(fits)
        || inside(stack.0, stack.1)
        || (write == 0 && shared.launch.constants.iter().any(|c| inside(c.0, c.1)))
        || shared.arena.borrow().contains(start, len)
    {
        return;
    }
    let verb = if write == 0 { "reads" } else { "writes" };
    let place = report::place(ranges, start, len);
    let b = shared.index.get();
    // SAFETY: as above.
    unsafe {
        let t = (*thread).thread_idx.x;
        stop(thread, format!("thread {t} of block {b} {verb} {len} bytes {place}"));
    }
}
