//! The words for what went wrong in a block.

use std::{ffi::CStr, ops::Range as Span};

use super::{
    abi::op,
    block::{Fiber, Range, State},
};

/// What a suspended fiber waits at: operation, file and line.
///
/// # Safety
/// `fiber` is valid and suspended.
unsafe fn site(fiber: *const Fiber) -> (u32, &'static CStr, u32) {
    // SAFETY: this function's contract; file names are literals of modules, which stay
    // loaded.
    unsafe {
        let t = &raw const (*fiber).thread;
        ((*t).op, CStr::from_ptr((*t).file), (*t).line)
    }
}

/// A file's name as the kernel has it; some compilers put the search folder before it.
pub(super) fn file_name(file: &CStr) -> String {
    file.to_string_lossy().trim_start_matches("./").to_string()
}

fn words((kind, file, line): (u32, &CStr, u32)) -> String {
    format!("at {} ({}:{line})", op::name(kind), file_name(file))
}

/// Checks that all given fibers wait at the same operation of the same line.
///
/// # Errors
/// Names two threads that do not.
pub(super) fn same_place(
    block: u32,
    fibers: *const Fiber,
    threads: impl IntoIterator<Item = usize>,
) -> Result<(), String> {
    let mut first = None;
    for i in threads {
        // SAFETY: the caller passes indices of suspended fibers.
        let here = unsafe { &(*fibers.add(i)).thread };
        match first {
            None => first = Some((i, here)),
            // The usual case costs no look at the file's name.
            Some((_, there))
                if (there.op, there.line, there.file) == (here.op, here.line, here.file) => {}
            Some((j, _)) => {
                // SAFETY: as above.
                let (here, there) = unsafe { (site(fibers.add(i)), site(fibers.add(j))) };
                if here == there {
                    continue;
                }
                let (here, there) = (words(here), words(there));
                return Err(format!(
                    "divergence in block {block}: thread {j} waits {there}, thread {i} {here}"
                ));
            }
        }
    }
    Ok(())
}

/// Says where every thread of a stuck block stands.
pub(super) fn divergence(block: u32, fibers: *const Fiber, states: &[State]) -> String {
    let mut spans: Vec<(Span<usize>, String)> = Vec::new();
    for (i, state) in states.iter().enumerate() {
        let text = match state {
            State::Done => String::new(),
            // SAFETY: every fiber that is not done is suspended.
            _ => words(unsafe { site(fibers.add(i)) }),
        };
        match spans.last_mut() {
            Some((span, last)) if *last == text => span.end = i + 1,
            _ => spans.push((i..i + 1, text)),
        }
    }
    // More than a few spans repeat a pattern.
    let more = if spans.len() > 8 { ", …" } else { "" };
    let parts: Vec<String> = spans
        .iter()
        .take(8)
        .map(|(s, place)| match (s.len(), place.is_empty()) {
            (1, true) => format!("thread {} has left the kernel", s.start),
            (1, false) => format!("thread {} waits {place}", s.start),
            (_, true) => format!("threads {}-{} have left the kernel", s.start, s.end - 1),
            (_, false) => format!("threads {}-{} wait {place}", s.start, s.end - 1),
        })
        .collect();
    format!("divergence in block {block}: {}{more}", parts.join(", "))
}

/// Where a refused access lies.
pub(super) fn place(ranges: &[Range], start: usize, len: usize) -> String {
    for (i, r) in ranges.iter().enumerate() {
        let end = r.start + r.len;
        if start >= r.start && start + len <= end {
            return format!("at byte {} of buffer {i}, which it only reads", start - r.start);
        }
    }
    let near = ranges.iter().enumerate().min_by_key(|(_, r)| {
        let end = r.start + r.len;
        if start < r.start { r.start - start } else { start.saturating_sub(end) }
    });
    match near {
        Some((i, r)) if start < r.start => {
            format!("{} bytes before buffer {i} ({} bytes)", r.start - start, r.len)
        }
        Some((i, r)) => {
            format!("at byte {} of buffer {i} ({} bytes)", start - r.start, r.len)
        }
        None => "outside its memory".to_string(),
    }
}
