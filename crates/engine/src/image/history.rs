//! How an image came about, step by step.

use image::config::History;
use jiff::Timestamp;

use crate::{Engine, error::EngineError, state::ImageRow};

/// A step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Unknown of some images.
    pub created: Option<Timestamp>,
    pub created_by: String,
    pub comment: String,
    /// Whether it added a layer, and the sizes of all files in it.
    pub adds_layer: bool,
    pub size: u64,
}

impl Engine {
    /// How the image of `row` was made, the last step first. Layers that its author says nothing of are the first steps.
    pub fn history(&self, row: &ImageRow) -> Result<Vec<HistoryEntry>, EngineError> {
        let found = self.unless_removed(&row.manifest, || {
            let image = self.images.image(&row.manifest)?;
            Ok(entries(&image.config.history, &self.images.layer_sizes(&image)?))
        });
        let mut entries = found?.ok_or_else(|| EngineError::NoImage(row.id.to_string()))?;
        entries.reverse();
        Ok(entries)
    }
}

/// The steps and the sizes of the layers that they added, both from the first.
pub(super) fn entries(steps: &[History], sizes: &[u64]) -> Vec<HistoryEntry> {
    let described = steps.iter().filter(|step| !step.empty_layer).count();
    let (silent, sizes) = sizes.split_at(sizes.len().saturating_sub(described));
    let mut sizes = sizes.iter();
    let unknown = |size: &u64| HistoryEntry {
        created: None,
        created_by: String::new(),
        comment: String::new(),
        adds_layer: true,
        size: *size,
    };
    let described = steps.iter().map(|step| HistoryEntry {
        created: step.created.as_deref().and_then(|time| time.parse().ok()),
        created_by: step.created_by.clone(),
        comment: step.comment.clone(),
        adds_layer: !step.empty_layer,
        size: if step.empty_layer { 0 } else { sizes.next().copied().unwrap_or(0) },
    });
    silent.iter().map(unknown).chain(described).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_to_the_steps_that_added_a_layer() {
        let step = |text: &str, empty_layer| History {
            created_by: text.to_owned(),
            empty_layer,
            ..History::default()
        };
        let check = |steps: &[History], sizes: &[u64], expected: &[(&str, u64)]| {
            let entries = entries(steps, sizes);
            let shown: Vec<_> = entries.iter().map(|entry| (entry.created_by.as_str(), entry.size)).collect();
            assert_eq!(shown, expected);
        };
        let steps = [step("ADD", false), step("ENV", true), step("RUN", false)];
        check(&steps, &[10, 20], &[("ADD", 10), ("ENV", 0), ("RUN", 20)]);
        check(&steps, &[5, 10, 20], &[("", 5), ("ADD", 10), ("ENV", 0), ("RUN", 20)]);
        check(&steps, &[10], &[("ADD", 10), ("ENV", 0), ("RUN", 0)]);
        check(&[], &[1, 2], &[("", 1), ("", 2)]);
    }
}
