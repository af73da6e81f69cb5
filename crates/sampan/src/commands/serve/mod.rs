//! What sampan serves to others for as long as somebody wants it.

pub mod registry;
