//! The engine of this machine as a build's host.

use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use engine::{
    Engine, EngineError, FailureKind,
    container::{Attached, NetworkMode, Step, Talk},
    transfer::{self, Client, Unwatched},
};
use image::{
    Image, Lease, Store,
    manifest::{Descriptor, Manifest},
};
use types::{Digest, Platform, Reference};

use crate::{
    cache::{self, Budget},
    host::{Host, HostError, Network, Pushed, RunStep, Stream},
    stop::Stop,
};

/// Builds with what an engine has, and into it.
pub struct Local<'a> {
    store: Store,
    /// Those that nobody uses just now. One has one connection to the records, so each thread needs its own.
    idle: Mutex<Vec<Engine>>,
    root: PathBuf,
    run: PathBuf,
    client: &'a Connect<'a>,
}

/// Makes a client of registries, with the user's credentials.
pub type Connect<'a> = dyn Fn() -> Result<Client, EngineError> + Sync + 'a;

impl<'a> Local<'a> {
    pub fn new(engine: Engine, client: &'a Connect<'a>) -> Local<'a> {
        let (root, run) = (engine.root().to_owned(), engine.run_directory().to_owned());
        Local { store: engine.images().clone(), idle: Mutex::new(vec![engine]), root, run, client }
    }

    /// Does `work` with an engine that nobody else uses meanwhile.
    fn with<T>(&self, work: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let engine = match taken {
            Some(engine) => engine,
            None => Engine::open(&self.root, &self.run)?,
        };
        let done = work(&engine);
        idle().push(engine);
        done
    }
}

impl Host for Local<'_> {
    fn store(&self) -> &Store {
        &self.store
    }

    fn resolve(&self, name: &Reference, platform: &Platform, pull: bool) -> Result<Image, HostError> {
        if !pull && let Some(image) = self.at_hand(name, platform)? {
            return Ok(image);
        }
        let pull = |engine: &Engine| engine.pull(&(self.client)()?, name, platform, &Unwatched);
        self.with(pull).map_err(other)?;
        self.at_hand(name, platform)?.ok_or_else(|| HostError::NotFound(name.clone()))
    }

    fn record(&self, lease: &Lease, image: &Image, names: &[Reference]) -> Result<(), HostError> {
        self.with(|engine| engine.record_built_image(lease, image, names)).map_err(other)
    }

    fn bound_cache(&self) -> Result<(), HostError> {
        let budget = Budget::from_environment().map_err(other)?;
        self.with(|engine| cache::bound(engine, &budget)).map(drop).map_err(other)
    }

    fn push(
        &self,
        lease: &Lease,
        images: &[Image],
        index: Option<&Descriptor>,
        name: &Reference,
    ) -> Result<Pushed, HostError> {
        let push = |engine: &Engine| engine.push_images(&(self.client)()?, lease, images, index, name);
        let transfer::Pushed { digest, size } = self.with(push).map_err(other)?;
        Ok(Pushed { digest, size })
    }

    fn fetch_manifest(&self, name: &Reference) -> Result<(Manifest, Vec<u8>), HostError> {
        let client = (self.client)().map_err(other)?;
        transfer::fetch_manifest(&client, name, &Platform::host()).map_err(other)
    }

    fn fetch_layer(
        &self,
        lease: &Lease,
        name: &Reference,
        blob: &Descriptor,
        diff_ids: &[Digest],
    ) -> Result<(), HostError> {
        let client = (self.client)().map_err(other)?;
        transfer::fetch_layer(&client, lease, name, blob, diff_ids).map_err(other)
    }

    fn run(
        &self,
        step: &RunStep,
        stop: &Stop,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, HostError> {
        let step = step_of(step);
        let pass_on = |stream, bytes: &[u8]| {
            let stream = match stream {
                engine::container::Stream::Stdout => Stream::Out,
                engine::container::Stream::Stderr => Stream::Err,
            };
            output(stream, bytes);
        };
        match self.with(|engine| engine.run_step(step, stop.as_fd(), pass_on)) {
            Ok(code) => Ok(i32::from(code)),
            // The command is to blame, not the engine. BuildKit does not tell its reasons apart by codes.
            Err(EngineError::Start(failure))
                if matches!(failure.kind, FailureKind::NotFound | FailureKind::NotExecutable) =>
            {
                output(Stream::Err, format!("{failure}\n").as_bytes());
                Ok(1)
            }
            Err(error) => Err(other(error)),
        }
    }
}

impl Local<'_> {
    /// Runs a process in a step's place that talks to the user: `take_part` is what the user's side does until it has
    /// ended. Its exit code.
    pub fn talk(
        &self,
        step: &RunStep,
        talk: Talk<'_>,
        take_part: impl FnOnce(&mut Attached) -> io::Result<()>,
    ) -> Result<i32, HostError> {
        let step = step_of(step);
        match self.with(|engine| engine.talk_in_step(step, talk, take_part)) {
            Ok(code) => Ok(i32::from(code)),
            Err(error) => Err(other(error)),
        }
    }

    /// The image of this name, if it is here and for this platform.
    fn at_hand(&self, name: &Reference, platform: &Platform) -> Result<Option<Image>, HostError> {
        let (_, image) = match self.with(|engine| engine.stored_image(&name.familiar())) {
            Err(EngineError::NoImage(_)) => return Ok(None),
            found => found.map_err(other)?,
        };
        Ok(image.config.platform().will_do_for(platform).then_some(image))
    }
}

/// A step as the engine has it.
fn step_of(step: &RunStep) -> Step {
    let step = step.clone();
    Step {
        layers: step.layers,
        upper: step.upper,
        work: step.work,
        arguments: step.arguments,
        env: step.environment,
        working_directory: step.directory,
        user: step.user,
        hostname: step.hostname,
        network: match step.network {
            Network::Default => NetworkMode::Bridge,
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
        },
        mounts: step.mounts,
        secrets: step.secrets,
        hosts: step.hosts,
        limits: step.limits,
        ulimits: step.ulimits,
        cgroup_parent: step.cgroup_parent,
        privileged: step.privileged,
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> HostError {
    HostError::Other(Box::new(error))
}
