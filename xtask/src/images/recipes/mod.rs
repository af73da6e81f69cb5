//! The recipes, a file for each kind of image. A new one is a file here and its line in [`ALL`], or one in [`find`]
//! where only tests have a use for it.

pub mod busybox;
mod debian;
mod machine;
mod python;
mod redis;

use super::recipe::Recipe;

/// The images that programs are built on and run from.
pub const ALL: &[&Recipe] =
    &[&busybox::LATEST, &debian::BOOKWORM_SLIM, &python::PYTHON2_SLIM, &python::PYTHON3_SLIM, &redis::LATEST];

/// The recipe of the image `name`, which has a tag.
pub fn find(name: &str) -> Option<&'static Recipe> {
    ALL.iter().copied().chain([&machine::TRIXIE]).find(|recipe| recipe.name == name)
}

/// Where programs are looked for, in Debian's order.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_recipe_has_a_name_of_its_own_with_a_tag() {
        for (i, recipe) in ALL.iter().enumerate() {
            assert!(recipe.name.contains(':'), "{}", recipe.name);
            assert!(ALL[..i].iter().all(|other| other.stem() != recipe.stem()), "{}", recipe.name);
        }
    }
}
