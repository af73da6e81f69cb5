//! `create`: a container that is ready to be started.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use super::{options::Options, supply::Supply};
use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Create a new container
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    supply: Supply,
    #[arg(value_names = ["IMAGE", "COMMAND"], required = true, trailing_var_arg = true)]
    image_and_command: Vec<String>,
}

impl Verb for Create {
    const NAMES: &'static [&'static str] = &["container create", "create"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mut words = self.image_and_command.into_iter();
        let image = words.next().unwrap_or_default();
        let request = self.options.into_request(image, words.collect());
        let created =
            request.and_then(|request| self.supply.create(&session::open(globals)?, globals, request));
        Ok(match created {
            Ok((container, _lock)) => {
                println!("{}", container.id);
                ExitCode::SUCCESS
            }
            Err(error) if error.is::<EngineError>() => report::failure(&error),
            Err(error) => report::unusable_options(&error, "create"),
        })
    }
}
