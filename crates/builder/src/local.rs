//! The engine of this machine as a build's host.

use engine::{
    Engine, EngineError,
    container::{NetworkMode, Step},
};
use image::{Image, Lease, Store};
use types::{Platform, Reference};

use crate::host::{Host, HostError, Network, RunStep, Stream};

/// Builds with what `engine` has, and into it.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a>(pub &'a Engine);

impl Host for Local<'_> {
    fn store(&self) -> &Store {
        self.0.images()
    }

    /// Knows the images at hand only: there is no registry to pull from yet, whatever `pull` says.
    fn resolve(&self, name: &Reference, platform: &Platform, _pull: bool) -> Result<Image, HostError> {
        let row = match self.0.image(&name.familiar()) {
            Err(EngineError::NoImage(_)) => return Err(HostError::NotFound(name.clone())),
            row => row.map_err(other)?,
        };
        let image = self.store().image(&row.manifest).map_err(other)?;
        let has = image.config.platform();
        if has.os != platform.os || has.architecture != platform.architecture {
            return Err(HostError::NotFound(name.clone()));
        }
        Ok(image)
    }

    fn record(&self, lease: &Lease, image: &Image, names: &[Reference]) -> Result<(), HostError> {
        self.0.record_image(lease, image, names).map_err(other)
    }

    fn run(&self, step: &RunStep, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, HostError> {
        let RunStep { layers, upper, work, arguments, environment, directory, user, hostname, network } =
            step.clone();
        let network = match network {
            Network::Default => NetworkMode::Bridge,
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
        };
        let step = Step {
            layers,
            upper,
            work,
            arguments,
            env: environment,
            working_directory: directory,
            user,
            hostname,
            network,
        };
        let pass_on = |stream, bytes: &[u8]| {
            let stream = match stream {
                engine::container::Stream::Stdout => Stream::Out,
                engine::container::Stream::Stderr => Stream::Err,
            };
            output(stream, bytes);
        };
        match self.0.run_step(step, pass_on) {
            Ok(code) => Ok(i32::from(code)),
            // The command is to blame, not the engine.
            Err(EngineError::Start(failure)) if failure.kind != engine::FailureKind::Setup => {
                output(Stream::Err, format!("{failure}\n").as_bytes());
                Ok(i32::from(failure.kind.exit_code()))
            }
            Err(error) => Err(other(error)),
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> HostError {
    HostError::Other(Box::new(error))
}
