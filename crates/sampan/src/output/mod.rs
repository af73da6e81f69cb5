//! How results look: tables, templates, JSON, sizes and times in people's units, and the progress of builds
//! and transfers.
//!
//! Knows docker's layouts byte for byte and plain values. Knows nothing of containers, images or where
//! the text goes.

pub mod format;
pub mod human;
pub mod json;
pub mod natural;
pub mod progress;
pub mod table;
pub mod template;
pub mod transfer;
