//! Where made images lie, and when they have to be made again.
//!
//! ```text
//! <cache>/python-2.7-slim.tar        the image
//!         python-2.7-slim.key        what it was made from
//!         python-2.7-slim.layers/    its layers but the machine's certificates, and their key
//!         python-2.7-slim.lock       held while one of these is made
//!         python-2.7-slim.part/      work in progress, of no worth without the lock
//! ```
//!
//! Every name but the last appears by renaming what is complete, the key last, so a run killed at any
//! point only makes the next one work. Layers are kept because the certificates of a machine may
//! change with each boot: then only the tar is put together anew.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail};
use types::Digest;

use super::{archive, recipe::Recipe, trust};

/// A directory of made images.
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// `$SAMPAN_IMAGES`, or `sampan/images` in the user's cache directory.
    pub fn open() -> anyhow::Result<Cache> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = variable("SAMPAN_IMAGES")
            .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("sampan/images")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/sampan/images")))
            .context("no place for images: none of SAMPAN_IMAGES, XDG_CACHE_HOME and HOME is set")?;
        Cache::at(dir)
    }

    fn at(dir: PathBuf) -> anyhow::Result<Cache> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Cache { dir })
    }

    /// The path of the image's tar, which is made first if need be. Waits while another process makes it.
    pub fn image(&self, recipe: &Recipe) -> anyhow::Result<PathBuf> {
        let [tar, key, layers, part, lock] = ["tar", "key", "layers", "part", "lock"]
            .map(|kind| self.dir.join(format!("{}.{kind}", recipe.stem())));
        let lock = File::create(&lock).with_context(|| format!("cannot make {}", lock.display()))?;
        lock.lock()?;

        let trust = if recipe.trusts_host { trust::layer()? } else { None };
        let layers_key = key_of(recipe);
        let image_key = match &trust {
            Some(tree) => format!("{layers_key}+{}", tree.digest()?.hex()),
            None => layers_key.clone(),
        };
        if tar.exists() && is_key(&key, &image_key) {
            return Ok(tar);
        }

        let began = Instant::now();
        eprintln!("images: making {}", recipe.name);
        remove(&key)?;
        remove(&part)?;
        fs::create_dir(&part)?;
        if !is_key(&layers.join("key"), &layers_key) {
            make_layers(recipe, &part).with_context(|| format!("cannot make {}", recipe.name))?;
            fs::write(part.join("layers/key"), &layers_key)?;
            remove(&layers)?;
            fs::rename(part.join("layers"), &layers)?;
        }
        let mut parts: Vec<(PathBuf, String)> = recipe
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| (layers.join(layer_name(i)), layer.created_by()))
            .collect();
        if let Some(tree) = trust {
            let path = part.join("trust.tar");
            tree.write(&path)?;
            parts.push((path, "the certificates this machine trusts".to_owned()));
        }
        archive::write(recipe, &parts, &part.join("image.tar"))?;
        fs::rename(part.join("image.tar"), &tar)?;
        fs::write(&key, image_key)?;
        remove(&part)?;
        eprintln!(
            "images: made {} in {:.0?}, {:.1} MB",
            recipe.name,
            began.elapsed(),
            fs::metadata(&tar)?.len() as f64 / 1e6
        );
        Ok(tar)
    }
}

fn make_layers(recipe: &Recipe, part: &Path) -> anyhow::Result<()> {
    fs::create_dir(part.join("layers"))?;
    for (i, layer) in recipe.layers.iter().enumerate() {
        let scratch = part.join(format!("scratch-{i}"));
        fs::create_dir(&scratch)?;
        layer.make(&part.join("layers").join(layer_name(i)), &scratch)?;
        remove(&scratch)?;
    }
    Ok(())
}

fn layer_name(i: usize) -> String {
    format!("{i}.tar")
}

/// Changes when the recipe does, or the code that follows it.
fn key_of(recipe: &Recipe) -> String {
    const CODE: [&str; 8] = [
        include_str!("archive.rs"),
        include_str!("debian.rs"),
        include_str!("tidy.sh"),
        include_str!("pip.rs"),
        include_str!("pip-launcher.py"),
        include_str!("recipe.rs"),
        include_str!("recipes/busybox.rs"),
        include_str!("tree.rs"),
    ];
    Digest::of(format!("{recipe:?}{}", CODE.concat()).as_bytes()).hex()
}

fn is_key(path: &Path, key: &str) -> bool {
    fs::read(path).is_ok_and(|content| content == key.as_bytes())
}

/// Removes a file or a whole directory, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(err) if err.kind() != io::ErrorKind::NotFound => bail!("cannot remove {}: {err}", path.display()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::images::recipe::{Config, Layer};

    const SMALL: Recipe = Recipe {
        name: "small:latest",
        layers: &[Layer::Files(&[("etc/motd", 0o644, "hello\n")])],
        config: Config::EMPTY,
        trusts_host: false,
    };
    const CHANGED: Recipe = Recipe { layers: &[Layer::Files(&[("etc/motd", 0o644, "bye\n")])], ..SMALL };

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("images")).unwrap();
        (dir, cache)
    }

    fn content(path: &Path) -> Vec<u8> {
        fs::read(path).unwrap()
    }

    #[test]
    fn an_image_is_made_once_and_again_only_when_its_recipe_changes() {
        let (_dir, cache) = cache();
        let tar = cache.image(&SMALL).unwrap();
        let first = fs::metadata(&tar).unwrap().modified().unwrap();
        assert_eq!(fs::metadata(cache.image(&SMALL).unwrap()).unwrap().modified().unwrap(), first);

        let before = content(&tar);
        assert_ne!(content(&cache.image(&CHANGED).unwrap()), before);
        assert_eq!(content(&cache.image(&SMALL).unwrap()), before, "the same recipe gives the same bytes");
    }

    #[test]
    fn what_a_killed_run_left_is_made_again() {
        let (_dir, cache) = cache();
        let tar = cache.image(&SMALL).unwrap();
        let complete = content(&tar);
        fs::write(&tar, "half").unwrap();
        fs::remove_file(tar.with_extension("key")).unwrap();
        fs::create_dir_all(tar.with_extension("part").join("scratch-0")).unwrap();
        assert_eq!(content(&cache.image(&SMALL).unwrap()), complete);
        assert!(!tar.with_extension("part").exists());
    }

    #[test]
    fn callers_at_the_same_time_get_the_same_image() {
        let (_dir, cache) = cache();
        let made: Vec<Vec<u8>> = thread::scope(|scope| {
            let callers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| content(&cache.image(&SMALL).unwrap()))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
