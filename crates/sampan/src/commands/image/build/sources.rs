//! Where a build starts from, and how far it goes: context, Dockerfile, arguments, stages, platforms.

use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf};

use anyhow::Context as _;
use builder::{Build as Request, ContextSource, DockerfileSource, NamedContext, builds};
use clap::Args;
use types::Platform;

use super::call::DockerfilePlace;

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
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray")]
    no_cache_filter: Vec<String>,
    /// Set target platform for build
    #[arg(long)]
    platform: Vec<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// When the sources are from, in seconds since 1970: what is made is dated so (default: SOURCE_DATE_EPOCH, or the
    /// commit's date)
    #[arg(long, value_name = "SECONDS")]
    source_date_epoch: Option<i64>,
    /// Set the target build stage to build
    #[arg(long)]
    target: Option<String>,
    /// Build twice, and fail if any step came to other files than the first time
    #[arg(long)]
    verify: bool,
    context: String,
}

impl Sources {
    /// What the build is recorded with, `words` being its command line.
    pub fn recorded(&self, words: &[OsString]) -> builds::Request {
        super::request::request(words, &self.context, self.file.as_deref())
    }

    /// Where the Dockerfile is, as messages are to name it.
    pub fn dockerfile_place(&self) -> DockerfilePlace {
        DockerfilePlace::new(self.file.as_deref(), &self.context)
    }

    /// A build of these, whose results are kept in `cache`.
    pub fn request(&self, cache: PathBuf) -> anyhow::Result<Request> {
        let arguments = arguments(&self.build_arg)?;
        let contexts = self.build_context.iter().map(|context| NamedContext::parse(context));
        let contexts = contexts.collect::<Result<_, _>>()?;
        let refused = "failed to build";
        if self.context == "-" && self.file.as_deref() == Some("-") {
            anyhow::bail!(
                "{refused}: invalid argument: can't use stdin for both build context and dockerfile"
            );
        }
        let context = ContextSource::named(&self.context).context(refused)?;
        let dockerfile = DockerfileSource::named(self.file.as_deref()).context(refused)?;
        let mut request = Request::new(context, dockerfile, cache);
        request.contexts = contexts;
        request.source_date = match self.source_date_epoch {
            Some(date) => Some(date),
            None => source_date(&arguments)?,
        };
        request.arguments = arguments;
        request.target = self.target.clone();
        if self.no_cache && !self.no_cache_filter.is_empty() {
            anyhow::bail!("{refused}: --no-cache and --no-cache-filter cannot currently be used together");
        }
        request.no_cache = self.no_cache;
        request.verify = self.verify;
        let stages = self.no_cache_filter.iter().flat_map(|list| list.split(','));
        request.redo_stages = stages.filter(|stage| !stage.is_empty()).map(str::to_owned).collect();
        request.pull = self.pull;
        request.platforms = platforms(&self.platform).context(refused)?;
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
fn arguments(list: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut arguments = BTreeMap::new();
    for argument in list {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), env::var(argument).ok()),
        };
        anyhow::ensure!(!name.is_empty(), "invalid key-value pair {argument:?}: empty key");
        arguments.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(arguments)
}

/// The sources' date as the arguments or the caller's environment give it.
fn source_date(arguments: &BTreeMap<String, String>) -> anyhow::Result<Option<i64>> {
    let given = arguments.get(EPOCH).cloned().or_else(|| env::var(EPOCH).ok());
    let given = given.filter(|epoch| !epoch.is_empty());
    given
        .map(|epoch| epoch.parse().map_err(|error| anyhow::anyhow!("invalid {EPOCH}: {epoch}: {error}")))
        .transpose()
}

/// When the sources are from, in seconds since 1970: <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";
