//! What to run: a runtime specification on disk, with the few words of ours that it has no field for.

use std::{fs, io, path::Path};

use oci_spec::runtime::Spec;

/// The specification's file inside a bundle.
pub const CONFIG: &str = "config.json";

/// What the names of our own annotations begin with.
pub const OURS: &str = "org.sampan.";

/// Annotation: PID 1 is a small reaper that forwards signals and runs the process as its child.
pub const INIT: &str = "org.sampan.init";

/// Annotation: the process runs without a seccomp filter. Without it, and without a `linux.seccomp` section,
/// the engine's own profile applies.
pub const SECCOMP_UNCONFINED: &str = "org.sampan.seccomp.unconfined";

/// Annotation: groups the process is in besides its own, by name or number, with commas between.
pub const GROUPS: &str = "org.sampan.groups";

/// Annotation: the specification is another engine's and means what it says, no more. Where it has no seccomp section
/// there is no filter, users and groups are numbers, and a process gets the five sets of capabilities as they are
/// listed.
pub const TO_THE_LETTER: &str = "org.sampan.to-the-letter";

/// Type of a mount: the /dev/shm of the mount namespace that the source names, shared.
pub const SHARED_MEMORY: &str = "x-sampan.shared-memory";

/// Option of a bind mount: the source, if empty, is first filled with what the image has at the destination.
pub const COPY_UP: &str = "x-sampan.copy-up";

/// Option of a bind mount or an overlay that is not the root: what of it is mounted, a path below it. Links stay inside.
pub const BELOW: &str = "x-sampan.below=";

/// Option of a bind mount: the owner of its source and the user that the process runs as change places in it.
pub const MAP_OWNER: &str = "x-sampan.map-owner";

/// Type of a mount: a file of [`Confidential`](crate::Confidential), in memory. Its source is the file's index; `uid`,
/// `gid` and `mode` are options.
pub const SECRET: &str = "x-sampan.secret";

/// Reads the specification of the bundle in `directory`.
pub fn load(directory: &Path) -> io::Result<Spec> {
    Ok(serde_json::from_slice(&fs::read(directory.join(CONFIG))?)?)
}

/// Writes the specification of the bundle in `directory`, or replaces it for those who read it meanwhile. It lasts as long as
/// the container: no need to sync.
pub fn store(spec: &Spec, directory: &Path) -> io::Result<()> {
    let temporary = directory.join(".config.json");
    fs::write(&temporary, serde_json::to_vec(spec)?)?;
    fs::rename(temporary, directory.join(CONFIG))
}

/// Whether the specification means what it says and no more.
pub(crate) fn is_to_the_letter(spec: &Spec) -> bool {
    has(spec, TO_THE_LETTER)
}

/// What the specification says under this annotation.
pub(crate) fn said<'a>(spec: &'a Spec, annotation: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(annotation).map(String::as_str)
}

/// Whether the specification carries this annotation.
pub(crate) fn has(spec: &Spec, annotation: &str) -> bool {
    spec.annotations().as_ref().is_some_and(|all| all.contains_key(annotation))
}
