//! ptxas, the figures it prints, and the table they are held against.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};
use windlass_device::cuda::nvrtc;

/// Registers that a kernel may take beyond its entry. ptxas's choice varies by a few between
/// its versions; a regression that matters takes more.
const REGISTER_SLACK: u32 = 16;

/// Limits of a kernel without an entry: with 128 registers two blocks of 256 threads share a
/// multiprocessor's 65,536; 48 KiB is the static shared memory of a block.
const DEFAULT: Usage = Usage { registers: 128 - REGISTER_SLACK, shared: 48 << 10, spills: 0 };

/// What a kernel takes: registers of a thread, bytes of shared memory of a block, and bytes
/// of a thread stored and loaded because registers ran out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers.
    pub registers: u32,
    /// Bytes of shared memory.
    pub shared: u32,
    /// Bytes spilled, stores and loads together.
    pub spills: u32,
}

impl Usage {
    /// The larger of each figure.
    pub fn max(self, other: Self) -> Self {
        Self {
            registers: self.registers.max(other.registers),
            shared: self.shared.max(other.shared),
            spills: self.spills.max(other.spills),
        }
    }
}

/// The ptxas of the toolkit that the environment names.
///
/// # Errors
/// Why the gate cannot run, and what to do.
pub fn ptxas() -> Result<PathBuf, String> {
    let install = "run scripts/install-cuda-tools.sh";
    let variable = nvrtc::TOOLS_VARIABLE;
    let Some(tools) = std::env::var_os(variable).map(PathBuf::from) else {
        return Err(format!("{variable} is not set: {install} and set it to .tools/cuda"));
    };
    let program = tools.join("bin/ptxas");
    if !program.exists() {
        return Err(format!("{} does not exist: {install}", program.display()));
    }
    nvrtc::version().map(|_| program)
}

/// Translates a PTX text and returns what its kernel takes.
///
/// # Errors
/// ptxas's words.
pub fn measure(ptxas: &Path, ptx: &[u8], architecture: u32, file: &Path) -> Result<Usage, String> {
    let text = |e: std::io::Error| format!("{}: {e}", file.display());
    fs::write(file, ptx).map_err(text)?;
    let out = Command::new(ptxas)
        .args(["-v", &format!("-arch=sm_{architecture}"), "-o", "/dev/null"])
        .arg(file)
        .output()
        .map_err(|e| format!("{}: {e}", ptxas.display()))?;
    fs::remove_file(file).map_err(text)?;
    let log = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        return Err(log.into_owned());
    }
    parse(&log).ok_or_else(|| format!("ptxas printed no figures:\n{log}"))
}

/// The figures of a `ptxas -v` log: the kernel's registers and shared memory, and the spills
/// of all its functions.
fn parse(log: &str) -> Option<Usage> {
    let before = |line: &str, unit: &str| -> Option<u32> {
        line[..line.find(unit)?].split_whitespace().last()?.parse().ok()
    };
    let mut out = Usage::default();
    for line in log.lines() {
        for unit in [" bytes spill stores", " bytes spill loads"] {
            out.spills += before(line, unit).unwrap_or(0);
        }
        if line.contains(" registers") {
            out.registers = out.registers.max(before(line, " registers")?);
            out.shared = out.shared.max(before(line, " bytes smem").unwrap_or(0));
        }
    }
    (out.registers > 0).then_some(out)
}

/// The committed figures, the largest over the architectures, by kernel.
pub struct Table(BTreeMap<String, Usage>);

impl Table {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("limits.json")
    }

    /// Reads the table.
    ///
    /// # Errors
    /// Text that names the entry which is wrong.
    pub fn read() -> Result<Self, String> {
        let path = Self::path();
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let all: Map<String, Value> =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let figure = |name: &str, entry: &Value, key: &str| {
            let n = entry.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            n.ok_or_else(|| format!("{}: {name} has no number {key}", path.display()))
        };
        let entry = |(name, e): (&String, &Value)| {
            let usage = Usage {
                registers: figure(name, e, "registers")?,
                shared: figure(name, e, "shared")?,
                spills: figure(name, e, "spills")?,
            };
            Ok((name.clone(), usage))
        };
        all.iter().map(entry).collect::<Result<_, String>>().map(Self)
    }

    /// Writes a table of these figures.
    ///
    /// # Errors
    /// The system's, as text.
    pub fn write(figures: &BTreeMap<String, Usage>) -> Result<(), String> {
        let mut lines = Vec::new();
        for (name, u) in figures {
            let (registers, shared, spills) = (u.registers, u.shared, u.spills);
            let entry = json!({"registers": registers, "shared": shared, "spills": spills});
            lines.push(format!("  {}: {entry}", json!(name)));
        }
        let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
        fs::write(Self::path(), text).map_err(|e| format!("{}: {e}", Self::path().display()))
    }

    /// What is wrong with a kernel's figures; `None` when they keep to the table.
    pub fn regression(&self, name: &str, u: Usage) -> Option<String> {
        let limit = self.0.get(name).copied().unwrap_or(DEFAULT);
        let mut over = Vec::new();
        for (what, got, most) in [
            ("registers", u.registers, limit.registers + REGISTER_SLACK),
            ("bytes of shared memory", u.shared, limit.shared),
            ("bytes spilled", u.spills, limit.spills),
        ] {
            if got > most {
                over.push(format!("{got} {what}, at most {most} are allowed"));
            }
        }
        (!over.is_empty()).then(|| over.join("; "))
    }

    /// Entries of kernels that are not there any more.
    pub fn stale<'t>(&'t self, figures: &'t BTreeMap<String, Usage>) -> Vec<&'t str> {
        self.0.keys().filter(|k| !figures.contains_key(*k)).map(|k| &**k).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
ptxas info    : 306 bytes gmem
ptxas info    : Compiling entry function 'k' for 'sm_90'
ptxas info    : Function properties for k
    72 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 72 bytes cumulative stack size, 452 bytes smem
ptxas info    : Function properties for __internal_accurate_pow
    0 bytes stack frame, 4 bytes spill stores, 0 bytes spill loads
";

    #[test]
    fn figures_are_read_from_the_log() {
        assert_eq!(parse(LOG), Some(Usage { registers: 40, shared: 452, spills: 24 }));
        assert_eq!(parse("ptxas info    : 0 bytes gmem"), None);
    }

    #[test]
    fn regressions_are_named() {
        let table =
            Table([("a".to_string(), Usage { registers: 40, shared: 8, spills: 4 })].into());
        assert_eq!(table.regression("a", Usage { registers: 56, shared: 8, spills: 4 }), None);
        let over = table.regression("a", Usage { registers: 57, shared: 9, spills: 5 }).unwrap();
        assert_eq!(over.matches("at most").count(), 3, "{over}");
        let new = table.regression("b", Usage { registers: 128, shared: 8, spills: 1 }).unwrap();
        assert_eq!(new, "1 bytes spilled, at most 0 are allowed");
        let now = [("b".to_string(), Usage::default())].into();
        assert_eq!(table.stale(&now), ["a"]);
    }
}
