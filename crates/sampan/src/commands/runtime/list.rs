//! `runtime list`: all containers below the root.

use clap::Args;
use oci::Store;
use serde_json::Value;

/// List containers
#[derive(Args)]
pub struct List {
    /// table or json
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

impl List {
    pub fn run(self, store: &Store) -> anyhow::Result<()> {
        let containers = store.containers()?;
        if self.quiet {
            containers.iter().for_each(|container| println!("{}", container.record().id));
            return Ok(());
        }
        // One that is deleted meanwhile is passed over.
        let described: Vec<Value> = containers.iter().filter_map(|one| one.description().ok()).collect();
        if self.format == "json" {
            println!("{}", Value::from(described));
            return Ok(());
        }
        let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
        let row = |of: &Value| {
            let text = |key: &str| of[key].as_str().map_or_else(|| of[key].to_string(), str::to_owned);
            ["id", "pid", "status", "bundle", "created", "owner"].map(text)
        };
        let rows: Vec<[String; 6]> = [heading].into_iter().chain(described.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len() + 3).max().unwrap_or(0).max(12);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            println!("{}{}", cells.collect::<String>(), row[5]);
        }
        Ok(())
    }
}
