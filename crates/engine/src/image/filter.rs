//! Which images are meant: the conditions of `images --filter` and `image prune --filter`.

use jiff::Timestamp;
use types::{Digest, Reference, wildcard};

use super::ImageSummary;
use crate::{Engine, error::EngineError, moment};

/// Conditions on images. Those of one kind are all to be met, but for references, of which one is enough.
#[derive(Debug, Clone, Default)]
pub struct ImageFilters {
    /// Whether the image is to have lost all its names, or to have one.
    pub dangling: Option<bool>,
    labels: Vec<Label>,
    /// Patterns that a name is to match; see [`wildcard`].
    references: Vec<String>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// A condition on labels.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    key: String,
    /// Any, if there is none.
    value: Option<String>,
    /// Whether the image is to have it.
    wanted: bool,
}

impl ImageFilters {
    /// Those that select what is listed.
    pub const OF_LISTINGS: &'static [&'static str] =
        &["dangling", "label", "label!", "before", "since", "reference", "until"];
    /// Those that select what is removed.
    pub const OF_PRUNING: &'static [&'static str] = &["dangling", "label", "label!", "until"];

    /// Understands pairs of a kind, which must be one of `kinds`, and a value. Times that are a while ago are so before
    /// `now`.
    pub fn parse<'a>(
        engine: &Engine,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        kinds: &[&str],
        now: Timestamp,
    ) -> Result<ImageFilters, EngineError> {
        let mut filters = ImageFilters::default();
        for (kind, value) in pairs {
            let created = || engine.image(value).map(|image| crate::timestamp(image.created));
            match kind {
                _ if !kinds.contains(&kind) => return Err(invalid(kind)),
                "dangling" => filters.dangling = Some(boolean(kind, value)?),
                "label" => filters.labels.push(Label::new(value, true)),
                "label!" => filters.labels.push(Label::new(value, false)),
                "reference" => filters.references.push(value.to_owned()),
                "before" => filters.before = Some(created()?),
                "since" => filters.since = Some(created()?),
                "until" => {
                    let until = moment::parse(value, now)?;
                    filters.until = Some(filters.until.map_or(until, |other| other.min(until)));
                }
                _ => return Err(invalid(kind)),
            }
        }
        Ok(filters)
    }

    /// Of an image with these names, the image as far as it is meant: with only those names that are.
    fn select(&self, mut image: ImageSummary) -> Result<Option<ImageSummary>, EngineError> {
        if !self.references.is_empty() {
            image.names = self.matching(image.names)?;
            image.digests = self.matching(image.digests)?;
        }
        let is_nameless = image.names.is_empty() && image.digests.is_empty();
        let is_meant = (self.references.is_empty() || !is_nameless)
            && self.dangling.is_none_or(|wanted| wanted == is_nameless)
            && self.before.is_none_or(|before| image.created < before)
            && self.since.is_none_or(|since| image.created > since)
            && self.until.is_none_or(|until| image.created < until);
        Ok(is_meant.then_some(image))
    }

    fn matching(&self, names: Vec<Reference>) -> Result<Vec<Reference>, EngineError> {
        let mut matching = Vec::new();
        for name in names {
            let mut is_meant = false;
            for pattern in &self.references {
                for text in [name.familiar(), name.familiar_name()] {
                    let matches = wildcard::matches(pattern, &text);
                    is_meant |= matches.map_err(|error| EngineError::Invalid(error.to_string()))?;
                }
            }
            if is_meant {
                matching.push(name);
            }
        }
        Ok(matching)
    }
}

impl Label {
    pub(crate) fn new(text: &str, wanted: bool) -> Label {
        match text.split_once('=') {
            Some((key, value)) => Label { key: key.to_owned(), value: Some(value.to_owned()), wanted },
            None => Label { key: text.to_owned(), value: None, wanted },
        }
    }

    pub(crate) fn is_met<'a>(&self, label: impl Fn(&str) -> Option<&'a String>) -> bool {
        let has =
            label(&self.key).is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value));
        has == self.wanted
    }
}

impl Engine {
    /// The images that are meant, the newest first, each with those of its names that are.
    pub fn select_images(&self, filters: &ImageFilters) -> Result<Vec<ImageSummary>, EngineError> {
        let mut selected = Vec::new();
        for image in self.list_images()? {
            if let Some(image) = filters.select(image)?
                && self.has_labels(&image.manifest, &filters.labels)?
            {
                selected.push(image);
            }
        }
        Ok(selected)
    }

    fn has_labels(&self, manifest: &Digest, labels: &[Label]) -> Result<bool, EngineError> {
        if labels.is_empty() {
            return Ok(true);
        }
        let image = self.unless_removed(manifest, || Ok(self.images.image(manifest)?))?;
        let has_all = |image: image::Image| {
            let labels_of = &image.config.config.labels;
            labels.iter().all(|label| label.is_met(|key| labels_of.get(key)))
        };
        Ok(image.is_some_and(has_all))
    }
}

/// What docker takes for a boolean in a filter.
pub(crate) fn boolean(kind: &str, value: &str) -> Result<bool, EngineError> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(invalid(&format!("{kind}=[{value}]"))),
    }
}

pub(crate) fn invalid(what: &str) -> EngineError {
    EngineError::Invalid(format!("invalid filter '{what}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(created: i64, names: &[&str]) -> ImageSummary {
        let digest = Digest::of(b"");
        ImageSummary {
            id: digest,
            manifest: digest,
            created: Timestamp::from_second(created).unwrap(),
            size: 0,
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            digests: Vec::new(),
        }
    }

    fn selected(filters: &ImageFilters, names: &[&str]) -> Option<Vec<String>> {
        let image = filters.select(image(100, names)).unwrap();
        image.map(|image| image.names.iter().map(Reference::familiar).collect())
    }

    #[test]
    fn a_pattern_selects_names_with_or_without_their_tag() {
        let names = ["busybox:1", "busybox:2", "localhost:5000/me/app:v1"];
        for (pattern, expected) in [
            ("busybox", Some(&["busybox:1", "busybox:2"][..])),
            ("busy*:2", Some(&["busybox:2"])),
            ("*", Some(&["busybox:1", "busybox:2"])),
            ("*/*", None),
            ("localhost:5000/*/*:v?", Some(&["localhost:5000/me/app:v1"])),
            ("nosuch", None),
        ] {
            let filters = ImageFilters { references: vec![pattern.to_owned()], ..ImageFilters::default() };
            let expected = expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(selected(&filters, &names), expected, "{pattern}");
            assert_eq!(selected(&filters, &[]), None);
        }
        let malformed = ImageFilters { references: vec!["b[".to_owned()], ..ImageFilters::default() };
        let error = malformed.select(image(100, &["b"])).unwrap_err();
        assert_eq!(error.to_string(), "syntax error in pattern");
    }

    #[test]
    fn an_image_dangles_if_it_has_no_name() {
        let dangling = |wanted| ImageFilters { dangling: Some(wanted), ..ImageFilters::default() };
        assert_eq!(selected(&dangling(true), &[]), Some(vec![]));
        assert_eq!(selected(&dangling(true), &["a"]), None);
        assert_eq!(selected(&dangling(false), &[]), None);
        assert_eq!(selected(&dangling(false), &["a:1"]), Some(vec!["a:1".to_owned()]));
    }

    #[test]
    fn ages_are_compared_with_a_time() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let is_selected = |filters: ImageFilters| filters.select(image(100, &["a"])).unwrap().is_some();
        for (second, is_later) in [(99, false), (100, false), (101, true)] {
            assert_eq!(is_selected(ImageFilters { before: at(second), ..Default::default() }), is_later);
            assert_eq!(is_selected(ImageFilters { until: at(second), ..Default::default() }), is_later);
        }
        assert!(is_selected(ImageFilters { since: at(99), ..Default::default() }));
        assert!(!is_selected(ImageFilters { since: at(100), ..Default::default() }));
    }

    #[test]
    fn a_label_is_wanted_or_not_with_any_value_or_one() {
        let (one, two) = ("1".to_owned(), "2".to_owned());
        let labels = |key: &str| match key {
            "a" => Some(&one),
            "b" => Some(&two),
            _ => None,
        };
        for (text, wanted, expected) in [
            ("a", true, true),
            ("a=1", true, true),
            ("a=2", true, false),
            ("c", true, false),
            ("a", false, false),
            ("a=2", false, true),
            ("c", false, true),
        ] {
            assert_eq!(Label::new(text, wanted).is_met(labels), expected, "{text} {wanted}");
        }
    }
}
