//! The shell fed by a pipe, and the completion scripts.

use crate::support::{people, run, run_with};

#[test]
fn statements_from_a_pipe_run_one_by_one() {
    let input = "select 1\n  as a; select ';' as b;\n-- a comment\n\nselect 3 as c";
    let out = run_with(input, &["shell", "--format", "csv"]).ok();
    assert_eq!(out, "a\n1\nb\n;\nc\n3\n");
}

#[test]
fn the_first_error_ends_the_shell_with_its_line() {
    let ran =
        run_with("select 1 as a;\n\nselect\n nope;\nselect 2;\n", &["shell", "--format", "csv"]);
    assert_eq!(ran.out, "a\n1\n");
    ran.fails(1, &["nope", "line 4, column 2"]);
}

#[test]
fn backslash_commands_inspect_and_set() {
    let dir = people();
    let table = format!("p={}", dir.path().join("people.csv").display());
    let input = "\\d\n\\d p\n\\format json\nselect 1 as a;\n\\device\n\\?\n\\q\nselect 2;\n";
    let ran = run_with(input, &["shell", "--table", &table, "--device", "cpu"]);
    for part in ["│ p     │       3 │", "│ age    │ Int64", "{\"a\":1}", "\\timing"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.err.contains("device is cpu"), "{}", ran.err);
    assert!(!ran.out.contains('2'), "nothing runs after \\q: {}", ran.out);
    assert_eq!(ran.code, Some(0));
    run_with("\\nope\n", &["shell"]).fails(1, &["\\nope", "\\?"]);
    run_with("\\d nope\n", &["shell"]).fails(1, &["nope"]);
}

#[test]
fn other_devices_keep_the_definitions() {
    let input = "create view v as select 42 as x;\n\\device cpu\nselect x from v;\n";
    let ran = run_with(input, &["shell", "--format", "csv"]);
    assert_eq!(ran.ok(), "x\n42\n");
    run_with("\\device gpu\n", &["shell"]).fails(1, &["unknown device"]);
}

#[test]
fn a_job_comes_from_standard_input_too() {
    assert_eq!(run_with("select 7 as a;", &["run", "-", "--format", "csv"]).ok(), "a\n7\n");
    assert_eq!(run_with("select 7 as a", &["sql", "-", "--format", "csv"]).ok(), "a\n7\n");
}

#[test]
fn completion_scripts_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("explain") && script.contains("placement"), "{shell}");
    }
}

/// The shell at a terminal that `script` makes.
#[cfg(target_os = "linux")]
struct Terminal {
    child: std::process::Child,
    keys: std::sync::Arc<std::sync::Mutex<std::process::ChildStdin>>,
    seen: std::sync::Arc<std::sync::Mutex<String>>,
}

#[cfg(target_os = "linux")]
impl Terminal {
    /// Opens the shell; `None` where there is no `script`.
    fn open() -> Option<Self> {
        use std::{
            io::{Read, Write},
            process::{Command, Stdio},
        };
        let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("terminal");
        let shell = format!("{} shell --device cpu", env!("CARGO_BIN_EXE_windlass"));
        let mut child = Command::new("script")
            .args(["-qfec", &shell, "/dev/null"])
            .env("TERM", "xterm")
            .env("XDG_DATA_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let keys = std::sync::Arc::new(std::sync::Mutex::new(child.stdin.take()?));
        let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (answers, text) = (keys.clone(), seen.clone());
        let mut screen = child.stdout.take()?;
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                let part = String::from_utf8_lossy(&buffer[..n]).into_owned();
                // Where is the cursor? A terminal answers.
                if part.contains("\x1b[6n") {
                    let _ = answers.lock().unwrap().write_all(b"\x1b[1;1R");
                }
                text.lock().unwrap().push_str(&part);
            }
        });
        Some(Self { child, keys, seen })
    }

    fn press(&self, keys: &str) {
        use std::io::Write;
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(40);
        while !self.seen.lock().unwrap().contains(text) {
            let seen = || self.seen.lock().unwrap().clone();
            assert!(std::time::Instant::now() < until, "{text:?} did not come: {}", seen());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_statement_does_not_hold_up_the_next() {
    let Some(terminal) = Terminal::open() else {
        eprintln!("there is no command script here to make a terminal");
        return;
    };
    terminal.wait_for("windlass> ");
    // Gives no row and does not pause for minutes.
    let endless = "select count(*) from range(0, 1000000) a cross join range(0, 1000000) b \
                   where a.value + b.value < 0;\r";
    terminal.press(endless);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    terminal.press("\x03");
    terminal.wait_for("interrupted");
    terminal.press("select 40 + 2 as answer;\r");
    terminal.wait_for("│     42 │");
    terminal.press("\\q\r");
}

#[cfg(target_os = "linux")]
#[test]
fn the_terminal_completes_names_and_remembers_lines() {
    let Some(terminal) = Terminal::open() else {
        eprintln!("there is no command script here to make a terminal");
        return;
    };
    terminal.wait_for("windlass> ");
    terminal.press("create table flights as select 7 as departure;\r");
    terminal.wait_for("table flights created");
    terminal.press("select depar\t * 6 as x from fli\t;\r");
    terminal.wait_for("│ 42 │");
    terminal.press("\\d flights\r");
    terminal.wait_for("│ departure │");
    terminal.press("\\q\r");
}
