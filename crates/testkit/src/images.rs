//! The base images that tests run, made from distribution packages by the project's own tool.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
};

/// The archive of the base image `name`, such as `busybox:latest`; made if this machine has none. `None`, and
/// why on standard error, if it cannot be.
pub fn base_image(name: &str) -> Option<PathBuf> {
    let archive = cache()?.join(format!("{}.tar", name.replace([':', '/'], "-")));
    // One at a time makes it.
    let _turn = MAKING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if archive.exists() {
        return Some(archive);
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let made = Command::new(cargo)
        .args(["xtask", "images", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output();
    match made {
        Ok(output) if output.status.success() && archive.exists() => Some(archive),
        Ok(output) => skip(name, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => skip(name, &error.to_string()),
    }
}

fn skip(name: &str, why: &str) -> Option<PathBuf> {
    eprintln!("skipped: no image {name}, and `cargo xtask images {name}` cannot make it: {why}");
    None
}

/// Where `cargo xtask images` keeps what it makes.
fn cache() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("SAMPAN_IMAGES")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("sampan/images")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/sampan/images")));
    if cache.is_none() {
        eprintln!("skipped: no place for images: none of SAMPAN_IMAGES, XDG_CACHE_HOME and HOME is set");
    }
    cache
}

static MAKING: Mutex<()> = Mutex::new(());
