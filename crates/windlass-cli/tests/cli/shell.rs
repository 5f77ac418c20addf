//! The shell fed by a pipe, and the completion scripts.

use crate::support::{people, run, run_with};
#[cfg(target_os = "linux")]
use crate::terminal::Terminal;

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
fn words_of_other_shells_are_commands() {
    for leave in ["exit", "quit;", "QUIT"] {
        let ran = run_with(&format!("help\n{leave}\nselect 2;\n"), &["shell"]);
        assert!(ran.out.contains("\\timing") && !ran.out.contains('2'), "{}", ran.out);
        ran.ok();
    }
    // Not inside a statement.
    assert_eq!(run_with("select 1 as\nexit\n;", &["shell", "--format", "csv"]).ok(), "exit\n1\n");
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

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_statement_does_not_hold_up_the_next() {
    let Some(terminal) = Terminal::open() else { return };
    // Gives no row and does not pause for minutes.
    let endless = "select count(*) from range(0, 1000000) a cross join range(0, 1000000) b \
                   where a.value + b.value < 0;\r";
    terminal.press(endless);
    // Progress is told, though every thread of the engine may be busy.
    terminal.wait_for(" rows · cpu");
    terminal.press("\x03");
    terminal.wait_for("interrupted");
    terminal.press("select 40 + 2 as answer;\r");
    terminal.wait_for("│     42 │");
    terminal.press("\\q\r");
}

#[cfg(target_os = "linux")]
#[test]
fn the_terminal_completes_names_and_remembers_lines() {
    let Some(terminal) = Terminal::open() else { return };
    terminal.press("create table flights as select 7 as departure;\r");
    terminal.wait_for("table flights created");
    terminal.press("select depar\t * 6 as x from fli\t;\r");
    terminal.wait_for("│ 42 │");
    terminal.press("\\d flights\r");
    terminal.wait_for("│ departure │");
    // Two lines up is the query; its result comes once more.
    terminal.press("\x1b[A\x1b[A\r");
    terminal.wait_for_times("│ 42 │", 2);
    terminal.press("\\q\r");
}
