use anyhow::{Context, Result};
use evenkeel_sim::recording::{Input, replay};
use std::path::Path;

/// Prints what each line of a recording told the router, and what the router wants done about it.
pub(crate) fn run(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    for step in replay(&text).with_context(|| path.display().to_string())? {
        let input = match &step.entry.input {
            Input::Event(event) => format!("{event:?}"),
            Input::Config(config) => format!("reload with {} instances", config.instances.len()),
        };
        println!("{:>14.6} {input}", step.entry.at);
        for action in step.actions {
            println!("{:>14}     {action:?}", "");
        }
    }
    Ok(())
}
