//! `windlass explain`: plans, where operators run and why, and what they did.

use std::io::IsTerminal;

use serde_json::{Value, json};
use windlass::{Decision, OperatorStats};

use crate::{
    args::{ExplainArgs, ExplainFormat, Format},
    engine::{Engine, Mode, Source},
    error::{Error, Result},
    output::{Printer, TableStyle, Target, print, render_rows},
    record::OperatorLine,
    size::{format_bytes, format_count, format_seconds},
};

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<()> {
    let mut engine = Engine::open(&args.session, args.query.clone(), true, Mode::Batch)?;
    engine.register(&args.tables.tables)?;
    let source = Source { path: None, text: &args.query };
    let statements = engine.statements(&source)?;
    let [statement] = statements.as_slice() else {
        return Err(Error::usage(
            format!("explain takes one query, not {}", statements.len()),
            "explain them one by one",
        ));
    };
    let explained = engine.wait(engine.session().explain(statement), Some(&source))?;
    let ran = if args.analyze {
        let mut nothing = Printer::new(Format::Table, Target::Nowhere);
        engine.run(statement, &source, "analyze", &mut nothing)?;
        engine.record().statements.last()
    } else {
        None
    };
    if args.format == ExplainFormat::Json {
        let mut object = json!({
            "logical_plan": explained.logical,
            "physical_plan": explained.physical,
        });
        if args.placement {
            object["placement"] = json!(explained.decisions);
        }
        if let Some(ran) = ran {
            object["seconds"] = json!(ran.seconds);
            object["operators"] =
                Value::Array(ran.stats.operators.iter().map(operator_json).collect());
        }
        return print(&format!("{object:#}\n"));
    }
    let style = if std::io::stdout().is_terminal() {
        TableStyle::terminal(usize::MAX)
    } else {
        TableStyle::plain()
    };
    let mut text = String::new();
    if args.placement && explained.decisions.is_empty() {
        text += "no operator of this plan could run anywhere but on the CPU\n";
    } else if args.placement {
        text += &placement(&explained.decisions, style);
    }
    match ran {
        Some(ran) => {
            text += &operators(&ran.stats.operators, style);
            if let Some(reason) = &ran.stats.fallback {
                text += &format!("{reason}\n");
            }
            text += &format!(
                "{} row{} in {}, {} read\n",
                format_count(ran.stats.rows),
                if ran.stats.rows == 1 { "" } else { "s" },
                format_seconds(ran.seconds),
                format_bytes(ran.stats.bytes_read)
            );
        }
        None if !args.placement => text += &explained.physical,
        None => {}
    }
    print(&text)
}

fn operator_json(o: &OperatorStats) -> Value {
    let mut value = json!(OperatorLine::from(o));
    value["depth"] = json!(o.depth);
    value["spilled_bytes"] = json!(o.spilled_bytes);
    value
}

/// The decisions as a tree, with a column of estimated cost for each device considered.
pub(crate) fn placement(decisions: &[Decision], style: TableStyle) -> String {
    let mut devices: Vec<&str> = Vec::new();
    for e in decisions.iter().flat_map(|d| &d.estimates) {
        if !devices.contains(&e.device.as_str()) {
            devices.push(&e.device);
        }
    }
    let mut header: Vec<String> = ["operator", "device", "rows in"].map(str::to_string).to_vec();
    header.extend(devices.iter().map(|d| format!("on {d}")));
    header.push("reason".to_string());
    let mut right = vec![false, false, true];
    right.extend(devices.iter().map(|_| true));
    right.push(false);
    let cells: Vec<Vec<Option<String>>> = decisions
        .iter()
        .map(|d| {
            let rows = d.rows.map_or("?".to_string(), format_count);
            let operator = tree(d.depth, &shortened(&d.operator));
            let mut row = vec![Some(operator), Some(d.device.clone()), Some(rows)];
            row.extend(devices.iter().map(|device| {
                let estimate = d.estimates.iter().find(|e| e.device == *device);
                Some(estimate.map_or("-".to_string(), |e| format_seconds(e.total_ms / 1e3)))
            }));
            row.push(Some(d.reason.clone()));
            row
        })
        .collect();
    render_rows(&header, &cells, &right, style)
}

/// The operators as a tree with what they did.
fn operators(operators: &[OperatorStats], style: TableStyle) -> String {
    let header = ["operator", "device", "rows", "bytes", "time", "reason"].map(str::to_string);
    let cells: Vec<Vec<Option<String>>> = operators
        .iter()
        .map(|o| {
            vec![
                Some(tree(o.depth, &o.name)),
                Some(o.device.clone()),
                Some(format_count(o.rows)),
                Some(format_bytes(o.bytes)),
                Some(format_seconds(o.ms / 1e3)),
                Some(o.reason.clone()),
            ]
        })
        .collect();
    render_rows(&header, &cells, &[false, false, true, true, true, false], style)
}

/// An operator's text cut to what tells it from others; JSON has all of it.
fn shortened(operator: &str) -> String {
    // A guess: the kind and the first arguments, and the table stays readable in a pipe.
    const SHOWN: usize = 72;
    if operator.chars().count() <= SHOWN {
        return operator.to_string();
    }
    operator.chars().take(SHOWN - 1).chain(['…']).collect()
}

fn tree(depth: usize, name: &str) -> String {
    format!("{}{name}", "  ".repeat(depth))
}

#[cfg(test)]
mod tests {
    use windlass::Estimate;

    use super::*;

    #[test]
    fn every_device_that_was_considered_has_a_column() {
        let estimate = |device: &str, total_ms| Estimate {
            device: device.into(),
            total_ms,
            transfer_ms: 0.0,
            compute_ms: total_ms,
            launch_ms: 0.0,
        };
        let decision = |depth, operator: &str, estimates| Decision {
            id: depth,
            depth,
            operator: operator.into(),
            device: "cpu".into(),
            placed: false,
            rows: Some(1_000_000),
            estimates,
            reason: "a reason".into(),
        };
        let all = [
            decision(0, "AggregateExec", vec![estimate("cpu", 12.0), estimate("wgpu:0", 3.0)]),
            decision(1, "DataSourceExec", vec![]),
        ];
        let mut all = all;
        all[1].operator = format!("DataSourceExec: file_groups={}", "x".repeat(200));
        let text = placement(&all, TableStyle::plain());
        assert!(text.lines().all(|l| l.chars().count() < 160), "{text}");
        for part in ["on cpu", "on wgpu:0", "3.0 ms", "  DataSourceExec", "1,000,000", "a reason"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
