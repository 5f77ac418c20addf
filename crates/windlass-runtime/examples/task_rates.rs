//! What the scheduler takes for tasks that do nothing, by form of the graph:
//! `cargo run --release -p windlass-runtime --example task_rates [TASKS] [THREADS]`.

use windlass_runtime::{
    bench::{Shape, measure},
    execute::{Executor, ExecutorOptions},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let n = arguments.next().transpose()?.unwrap_or(1_000_000);
    let mut options = ExecutorOptions::default();
    if let Some(threads) = arguments.next().transpose()? {
        options = options.threads(threads);
    }
    let executor = Executor::new(options)?;
    for shape in Shape::ALL {
        for executor in [Some(&executor), None] {
            let r = measure(shape, n, executor)?;
            println!(
                "{:12} {:12} build {:6.0} ns, run {:6.0} ns a task; {:4.0} bytes a task",
                shape.name(),
                r.scheduler,
                r.build_seconds * 1e9 / n as f64,
                r.run_seconds * 1e9 / n as f64,
                r.bytes_per_task.unwrap_or(f64::NAN),
            );
        }
    }
    Ok(())
}
