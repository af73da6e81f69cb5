//! Where a build starts from, and how far it goes: context, Dockerfile, arguments, stages, platforms.

use std::{collections::BTreeMap, env, path::PathBuf};

use builder::{Build as Request, ContextSource, DockerfileSource, NamedContext};
use clap::Args;
use types::Platform;

/// What is built.
#[derive(Args)]
pub struct Sources {
    /// Set build-time variables
    #[arg(long, value_name = "list")]
    build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray")]
    build_context: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long)]
    file: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Set target platform for build
    #[arg(long)]
    platform: Vec<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Set the target build stage to build
    #[arg(long)]
    target: Option<String>,
    context: String,
}

impl Sources {
    /// A build of these, whose results are kept in `cache`.
    pub fn into_request(self, cache: PathBuf) -> anyhow::Result<Request> {
        if self.context == "-" && self.file.as_deref() == Some("-") {
            anyhow::bail!("invalid argument: can't use stdin for both build context and dockerfile");
        }
        let dockerfile = DockerfileSource::named(self.file.as_deref())?;
        let mut request = Request::new(ContextSource::named(&self.context)?, dockerfile, cache);
        let contexts = self.build_context.iter().map(|context| NamedContext::parse(context));
        request.contexts = contexts.collect::<Result<_, _>>()?;
        request.arguments = arguments(self.build_arg);
        request.target = self.target;
        request.no_cache = self.no_cache;
        request.pull = self.pull;
        request.platforms = platforms(&self.platform)?;
        Ok(request)
    }
}

/// Each value may be several, separated by commas; what is named twice is built once.
fn platforms(list: &[String]) -> anyhow::Result<Vec<Platform>> {
    let mut platforms: Vec<Platform> = Vec::new();
    for name in list.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty()) {
        let platform = name.trim().parse()?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// `K=V`; without a value it is the caller's, if that has one.
fn arguments(list: Vec<String>) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    for argument in list {
        match argument.split_once('=') {
            Some((name, value)) => drop(arguments.insert(name.to_owned(), value.to_owned())),
            None => arguments.extend(env::var(&argument).ok().map(|value| (argument, value))),
        }
    }
    arguments
}
