//! `context update`: change what is known of an engine.

use std::process::ExitCode;

use clap::Args;

use super::{Pairs, endpoint};
use crate::{
    cli::{Globals, Verb},
    contexts::{self, Contexts, DOCKER},
};

/// Update a context
#[derive(Args)]
pub struct Update {
    /// Description of the context
    #[arg(long)]
    description: Option<String>,
    /// set the docker endpoint
    #[arg(long, value_name = "stringToString")]
    docker: Vec<Pairs>,
    context: String,
}

impl Verb for Update {
    const NAMES: &'static [&'static str] = &["context update"];
    const USAGE: &'static str = "[OPTIONS] CONTEXT";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let name = &self.context;
        contexts::check_name(name)?;
        let mut context = contexts.get(name)?;
        context.describe(&self.description.unwrap_or_default());
        let material = match self.docker.is_empty() {
            true => None,
            false => {
                let (endpoint, material) = endpoint(&contexts, &self.docker)?;
                context.endpoints.insert(DOCKER.to_owned(), endpoint);
                Some(material)
            }
        };
        contexts.put(&context, material.as_ref())?;
        println!("{name}");
        eprintln!("Successfully updated context {name:?}");
        Ok(ExitCode::SUCCESS)
    }
}
