//! `context create`: give an engine a name.

use std::process::ExitCode;

use clap::Args;

use super::{Pairs, endpoint};
use crate::{
    cli::{Globals, Verb},
    contexts::{self, Context, Contexts, DEFAULT, DEFAULTS},
};

/// Create a context
#[derive(Args)]
pub struct Create {
    /// Description of the context
    #[arg(long)]
    description: Option<String>,
    /// set the docker endpoint
    #[arg(long, value_name = "stringToString")]
    docker: Vec<Pairs>,
    /// create context from a named context
    #[arg(long)]
    from: Option<String>,
    context: String,
}

impl Verb for Create {
    const NAMES: &'static [&'static str] = &["context create"];
    const USAGE: &'static str = "[OPTIONS] CONTEXT";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let name = &self.context;
        contexts::check_name(name)?;
        if contexts.has(name) {
            anyhow::bail!("context {name:?} already exists");
        }
        let description = self.description.unwrap_or_default();
        let from = self.from.filter(|from| !from.is_empty());
        let (context, material) = if from.is_none() && !self.docker.is_empty() {
            let (endpoint, material) = endpoint(&contexts, &self.docker)?;
            (Context::new(name, &description, endpoint), material)
        } else {
            if !self.docker.is_empty() {
                anyhow::bail!("cannot use --docker flag when --from is set");
            }
            let from = from.unwrap_or_else(|| contexts::current(globals));
            let mut context = Context { name: name.clone(), ..contexts.get(&from)? };
            context.describe(if from == DEFAULT { DEFAULTS } else { "" });
            context.describe(&description);
            (context, contexts.material(&from)?)
        };
        contexts.put(&context, Some(&material))?;
        println!("{name}");
        eprintln!("Successfully created context {name:?}");
        Ok(ExitCode::SUCCESS)
    }
}
