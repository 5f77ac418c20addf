//! A device that runs WGSL kernels in another order than lavapipe's own.
//!
//! Lavapipe runs the threads of a group in order up to each barrier, and the groups mostly in
//! order, in one dimension. Here the texts are changed before they are compiled, so that
//!
//! * the threads of a group come from the last to the first, which shows where a barrier lacks;
//! * the groups too, which shows where one writes what another owns; those that are not asked
//!   for come after them;
//! * the groups lie in two dimensions, as they do past 65,535;
//! * each third weak exchange of a thread fails without cause, as WGSL lets it.

use std::sync::Arc;

use windlass_device::{
    Device, DeviceBuffer, DeviceError, DeviceInfo, Kernel, KernelSource, MemoryPool, Queue,
    Reservation,
};

/// Groups that a kernel finds in one row of a dispatch. A number that does not divide those of
/// most tests.
const ROW: u32 = 3;

/// Groups launched past those that a kernel asks for: [`ROW`] - 1 of them may be left out, so
/// that all rows are whole, and two more remain.
pub(crate) const MORE: u32 = ROW + 1;

/// The device.
#[derive(Debug)]
pub(crate) struct Reversed(pub(crate) Arc<dyn Device>);

impl Device for Reversed {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn pool(&self) -> &Arc<MemoryPool> {
        self.0.pool()
    }

    fn alloc(&self, r: &mut Reservation, bytes: usize) -> Result<DeviceBuffer, DeviceError> {
        self.0.alloc(r, bytes)
    }

    fn queue(&self) -> Result<Box<dyn Queue>, DeviceError> {
        self.0.queue()
    }

    fn compile(&self, source: &KernelSource) -> Result<Arc<dyn Kernel>, DeviceError> {
        let text = failing_exchanges(&reordered(&source.text, source.block)).into();
        self.0.compile(&KernelSource { text, ..source.clone() })
    }
}

/// The text with its entries' threads and groups in the opposite order.
fn reordered(text: &str, block: u32) -> String {
    let mut entries = text.split("@compute");
    let mut out = entries.next().unwrap_or_default().to_string();
    for entry in entries {
        out.push_str("@compute");
        out.push_str(&reordered_entry(entry, block));
    }
    out
}

/// What follows `@compute` with one entry first.
fn reordered_entry(entry: &str, block: u32) -> String {
    let mut text = entry.to_string();
    let [wid, nwg, lid] = ["workgroup_id", "num_workgroups", "local_invocation_index"].map(|b| {
        let mark = format!("@builtin({b}) ");
        let at = text.find(&mark).unwrap_or_else(|| panic!("a kernel takes its {b}")) + mark.len();
        let end = at + text[at..].find(':').expect("a type");
        let name = text[at..end].to_string();
        text.insert_str(end, "_place");
        name
    });
    let last = text.find("@builtin(local_invocation_index) ").expect("found above");
    let body = last + text[last..].find('{').expect("a body") + 1;
    let last_thread = block - 1;
    let prelude = format!(
        "
        let {lid} = {last_thread}u - {lid}_place;
        let {nwg} = vec3<u32>({ROW}u, {nwg}_place.x * {nwg}_place.y / {ROW}u, 1u);
        let {wid}_all = {wid}_place.x + {wid}_place.y * {nwg}_place.x;
        let {wid}_asked = {nwg}_place.x * {nwg}_place.y - {MORE}u;
        let {wid}_turned =
            select({wid}_all, {wid}_asked - 1u - {wid}_all, {wid}_all < {wid}_asked);
        if ({wid}_turned >= {nwg}.x * {nwg}.y) {{ return; }}
        let {wid} = vec3<u32>({wid}_turned % {ROW}u, {wid}_turned / {ROW}u, 0u);
        "
    );
    text.insert_str(body, &prelude);
    text
}

/// The text with weak exchanges of which a thread's first and each third after it fail, and say
/// that the place held what was expected.
fn failing_exchanges(text: &str) -> String {
    const CALL: &str = " = atomicCompareExchangeWeak(";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(CALL) {
        let start = rest[..at].rfind("let ").expect("a result with a name");
        let name = &rest[start + 4..at];
        let (arguments, after) = arguments(&rest[at + CALL.len()..]);
        let [place, old, new] = arguments[..] else { panic!("three arguments: {arguments:?}") };
        out.push_str(&rest[..start]);
        out.push_str(&format!(
            "var {name}: WeakResult;
            weak_tries += 1u;
            if (weak_tries % 3u == 1u) {{
                {name} = WeakResult({old}, false);
            }} else {{
                let weak = atomicCompareExchangeWeak({place}, {old}, {new});
                {name} = WeakResult(weak.old_value, weak.exchanged);
            }}"
        ));
        rest = after;
    }
    out.push_str(rest);
    if out.len() > text.len() {
        let word = if text.contains("atomic<u64>") { "u64" } else { "u32" };
        out.push_str(&format!(
            "
            struct WeakResult {{ old_value: {word}, exchanged: bool }}
            var<private> weak_tries: u32;
            "
        ));
    }
    out
}

/// The arguments of a call from behind its parenthesis on, and what follows its semicolon.
fn arguments(text: &str) -> (Vec<&str>, &str) {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            ')' if depth == 0 => {
                found.push(text[start..i].trim());
                let after = text[i + 1..].strip_prefix(';').expect("a statement");
                return (found, after);
            }
            ',' if depth == 0 => {
                found.push(text[start..i].trim());
                start = i + 1;
            }
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
    }
    panic!("a call that ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_of_rows_of_groups() {
        let text = "fn f() {}\n@compute @workgroup_size(256, 1, 1)\nfn main(\
            @builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, \
            @builtin(local_invocation_index) lid: u32) {\n    body(lid);\n}";
        let got = reordered(text, 256);
        assert!(got.starts_with("fn f() {}\n@compute"));
        assert!(got.contains("@builtin(workgroup_id) wid_place: vec3<u32>"));
        assert!(got.contains("let lid = 255u - lid_place;"));
        assert!(got.find("let wid = vec3").unwrap() < got.find("body(lid)").unwrap());
    }

    #[test]
    fn exchanges_fail() {
        let text = "let x = atomicCompareExchangeWeak((&slots[min(i, 3u)]), 0u, (a | b));\nrest";
        let got = failing_exchanges(text);
        assert!(got.contains("x = WeakResult(0u, false);"), "{got}");
        assert!(got.contains("atomicCompareExchangeWeak((&slots[min(i, 3u)]), 0u, (a | b))"));
        assert!(got.contains("\nrest") && got.contains("old_value: u32"));
        assert_eq!(failing_exchanges("nothing"), "nothing");
    }
}
