//! What docker takes for the sake of old scripts, and does nothing about.

use clap::Args;

/// Options without effect.
#[derive(Args)]
pub struct Legacy {
    /// Override the configured builder instance; there is one
    #[arg(long)]
    builder: Option<String>,
    /// Compress the build context using gzip
    #[arg(long, hide = true)]
    compress: bool,
    /// Enable debug logging
    #[arg(short = 'D', long)]
    debug: bool,
    /// Skip image verification
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Always remove intermediate containers
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Container isolation technology
    #[arg(long, hide = true)]
    isolation: Option<String>,
    /// Remove intermediate containers after a successful build
    #[arg(long, hide = true)]
    rm: bool,
    /// Security options
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
}

impl Legacy {
    /// What to say to those who might expect something.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        let isolation = self.isolation.is_some().then_some("isolation flag is deprecated with BuildKit.");
        let security = (!self.security_opt.is_empty()).then_some(
            "security-opt flag is deprecated. \"RUN --security=insecure\" should be used with BuildKit.",
        );
        isolation.into_iter().chain(security)
    }
}
