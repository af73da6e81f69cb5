//! Questions about a build that are answered without carrying it out: `--call`.

mod check;
mod outline;
mod targets;

pub use check::{Checked, check};
pub use outline::{Mount, Outline, OutlineArgument, outline};
pub use targets::{ListedTarget, Targets, targets};

pub(crate) use check::{of_build, options, readable};

use std::collections::BTreeMap;

use crate::{
    Build, BuildError,
    build::load_layouts,
    cache::Cache,
    event::Observer,
    host::Host,
    input::{Courier, Input, NamedContext},
    plan::Settings,
    progress::Progress,
    remote::Remotes,
};

/// Reads what a build would start from, and lets `answer` look at it.
fn read<T>(
    build: Build,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
    answer: impl FnOnce(&Input, &Settings, &Progress<'_>) -> T,
) -> Result<T, BuildError> {
    let cache = Cache::new(build.cache);
    let progress = Progress::new(observer);
    let need_ssh = build.context.is_ssh() || build.contexts.values().any(NamedContext::is_ssh);
    let remotes = Remotes::new(need_ssh);
    let courier = Courier { cache: &cache, remotes: &remotes, progress: &progress, keep_git_dir: false };
    let input = Input::read(build.context, build.dockerfile, &courier)?;
    let mut settings = Settings {
        arguments: build.arguments,
        labels: build.labels,
        contexts: build.contexts,
        layouts: BTreeMap::new(),
        target: build.target,
        platform: build.platforms.into_iter().next(),
        network: build.network,
        run: build.run,
        pull: build.pull,
    };
    let lease = host.store().lease()?;
    settings.layouts = load_layouts(&settings, &lease, &cache)?;
    Ok(answer(&input, &settings, &progress))
}
