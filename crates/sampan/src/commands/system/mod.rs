//! Commands about the engine as a whole.

pub mod completion;
pub mod df;
pub mod doctor;
pub mod events;
pub mod info;
pub mod inspect;
pub mod prune;
pub mod version;
