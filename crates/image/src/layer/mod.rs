//! Layers on disk, in the form that overlayfs stacks: what archives call `.wh.NAME` is a device node here,
//! and an opaque directory is marked by an attribute.
//!
//! Knows that form, and the way between it and tar. Knows nothing of stores, manifests or registries.

mod pack;
mod parents;
mod space;
mod unpack;
mod whiteout;

pub use pack::{PackError, Packed, Packer, Packing, pack};
pub use parents::adopt;
pub use space::SpaceError;
pub use unpack::{Form, UnpackError, Unpacked, unpack};
pub use whiteout::{is_opaque, is_whiteout, set_opaque};

#[cfg(test)]
pub(crate) mod tests;
