//! Commands about images.

pub mod build;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod rm;
pub mod save;
pub mod tag;
