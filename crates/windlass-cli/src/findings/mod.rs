//! What a report says of a run in plain words, each with figures and with what to do about it.
//!
//! | module | holds |
//! |---|---|
//! | [`queries`] | of statements and their operators |
//! | [`runs`] | of a whole run of statements |
//! | [`tasks`] | of task graphs |
//!
//! Every finding is a function of the figures alone. It is made only where it is true and
//! matters: the limits are the constants of the modules, each a judgement of what somebody who
//! waits for the run would want to know.

pub(crate) mod queries;
mod runs;
pub(crate) mod tasks;

/// A finding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// How much of the run it concerns, from 0 to 1: what comes first.
    pub(crate) weight: f64,
    /// What was found, with its figures.
    pub(crate) what: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Finding {
    fn new(weight: f64, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { weight: weight.clamp(0.0, 1.0), what: what.into(), advice: advice.into() }
    }
}

/// The heaviest first; those that weigh the same stay in their order.
fn by_weight(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found
}

/// A share as people read it: `61%`, `0.4%`.
fn percent(share: f64) -> String {
    let p = share * 100.0;
    if p >= 9.95 || p == 0.0 { format!("{p:.0}%") } else { format!("{p:.1}%") }
}

/// A count with its word: `1 row`, `2 rows`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", crate::size::format_count(n), if n == 1 { one } else { many })
}

/// Events that came faster than they could be kept.
fn dropped(events: u64) -> Option<Finding> {
    (events > 0).then(|| {
        Finding::new(
            0.2,
            format!(
                "{} of what happened is not in the timeline and the trace: more came than could \
                 be kept.",
                counted(events, "event", "events")
            ),
            "The sums and counts of operators and tasks are whole. A shorter run, or fewer and \
             longer tasks, is recorded whole.",
        )
    })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn figures_read_well() {
        let texts: Vec<String> = [0.0, 0.004, 0.0994, 0.61, 1.0].map(percent).into();
        assert_eq!(texts, ["0%", "0.4%", "9.9%", "61%", "100%"]);
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(2000, "row", "rows"), "2,000 rows");
    }

    #[test]
    fn the_heaviest_comes_first_and_lost_events_are_told() {
        let all = by_weight(vec![
            Finding::new(0.1, "a", ""),
            Finding::new(7.0, "b", ""),
            Finding::new(0.1, "c", ""),
        ]);
        let order: Vec<&str> = all.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(order, ["b", "a", "c"]);
        assert_eq!(all[0].weight, 1.0);
        assert_eq!(dropped(0), None);
        assert!(dropped(12).unwrap().what.starts_with("12 events of what happened"));
    }
}
