//! `runtime ps`: the processes of a container.

use std::{collections::HashSet, process::Command};

use anyhow::Context;
use clap::Args;
use oci::Store;
use serde_json::Value;

/// List the processes of a container
#[derive(Args)]
pub struct Processes {
    /// table or json
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    #[arg(value_name = "container-id")]
    id: String,
    /// Options of ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Processes {
    pub fn run(self, store: &Store) -> anyhow::Result<()> {
        let pids = store.container(&self.id)?.cgroup()?.pids()?;
        let pids: HashSet<i32> = pids.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        if self.format == "json" {
            let mut pids: Vec<i32> = pids.into_iter().collect();
            pids.sort_unstable();
            println!("{}", Value::from(pids));
            return Ok(());
        }
        // The options are those of the machine's own ps, and so is what comes of them.
        let usual = vec!["-ef".to_owned()];
        let options = if self.options.is_empty() { usual } else { self.options };
        let output = Command::new("ps").args(options).output().context("running ps")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let heading = lines.next().unwrap_or_default();
        let column = heading.split_whitespace().position(|word| word == "PID");
        let column = column.context("couldn't find PID field in ps output")?;
        println!("{heading}");
        for line in lines {
            let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
            if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
                println!("{line}");
            }
        }
        Ok(())
    }
}
