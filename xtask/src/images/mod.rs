//! Makes stand-ins for the base images that Dockerfiles and tests name, from distribution packages.
//!
//! No registry is asked: the contents are Debian's, and for pip itself the Python package index's.
//! Each image becomes one tar, in a cache outside the checkout, that is an OCI layout and a
//! `docker load` archive at once. The same recipe gives the same bytes as long as Debian's packages
//! stay what they are, which security updates see to that they do not: no test may name a digest.

mod archive;
mod cache;
mod debian;
mod pip;
mod recipe;
mod recipes;
mod tree;
mod trust;

use std::{path::PathBuf, sync::Mutex, thread};

use anyhow::{Context, anyhow};

use cache::Cache;
use recipe::Recipe;

/// Makes the images called `names`, or all there are recipes for, and prints their paths.
pub fn run(names: &[String]) -> anyhow::Result<()> {
    let recipes = match names {
        [] => recipes::ALL.to_vec(),
        names => names.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
    };
    for path in make(&recipes, &Cache::open()?)? {
        println!("{}", path.display());
    }
    Ok(())
}

fn find(name: &str) -> anyhow::Result<&'static Recipe> {
    let tagged = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    recipes::find(&tagged).with_context(|| {
        let known: Vec<&str> = recipes::ALL.iter().map(|recipe| recipe.name).collect();
        format!("no recipe for {name}; there is {}", known.join(", "))
    })
}

/// Makes as many images at a time as there are processors.
fn make(recipes: &[&Recipe], cache: &Cache) -> anyhow::Result<Vec<PathBuf>> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(recipes.len());
    let queue = Mutex::new(recipes.iter());
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    let work = || std::iter::from_fn(next).map(|recipe| cache.image(recipe)).collect::<Vec<_>>();
    let made = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Result<Vec<_>, _>>()
    });
    let mut paths = made
        .map_err(|_| anyhow!("making an image panicked"))?
        .into_iter()
        .flatten()
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
