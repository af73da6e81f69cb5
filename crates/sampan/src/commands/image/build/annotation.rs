//! `--annotation`, as buildx reads it: `index,manifest[linux/amd64]:key=value`.

use builder::{Annotation, Annotations, Place};
use types::Platform;

pub fn annotations(texts: &[String]) -> anyhow::Result<Annotations> {
    let mut all = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let Some((key, value)) = text.split_once('=') else {
            anyhow::bail!("invalid annotation {text:?}, expected key=value");
        };
        let (places, key) = match key.split_once(':') {
            Some((places, key)) => (places.split(',').map(place).collect::<anyhow::Result<_>>()?, key),
            None => (vec![(Place::default(), None)], key),
        };
        all.extend(places.into_iter().map(|(place, platform)| Annotation {
            place,
            platform,
            key: key.to_owned(),
            value: value.to_owned(),
        }));
    }
    Ok(Annotations(all))
}

/// `manifest` or `manifest[linux/amd64]`.
fn place(text: &str) -> anyhow::Result<(Place, Option<Platform>)> {
    let (name, platform) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(']') {
            Some(platform) => (name, Some(platform)),
            None => anyhow::bail!(
                "invalid annotation type {text:?}, expected type and optional platform in square brackets"
            ),
        },
    };
    let place = match name {
        "manifest" => Place::Manifest,
        "manifest-descriptor" => Place::ManifestDescriptor,
        "index" => Place::Index,
        "index-descriptor" => Place::IndexDescriptor,
        other => anyhow::bail!("unknown annotation type {other:?}"),
    };
    let platform = platform.map(|platform| {
        platform.parse().map_err(|error| anyhow::anyhow!("invalid platform {platform:?}: {error}"))
    });
    Ok((place, platform.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> String {
        match annotations(&[text.to_owned()]) {
            Err(error) => error.to_string(),
            Ok(Annotations(all)) => all
                .iter()
                .map(|Annotation { place, platform, key, value }| {
                    let platform = platform.as_ref().map_or("all".into(), Platform::to_string);
                    format!("{place:?} {platform} {key}={value}")
                })
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn an_annotation_says_which_documents_it_is_for() {
        for (text, expected) in [
            ("a=b=c", "Manifest all a=b=c"),
            ("index,manifest[linux/arm64]:a=b", "Index all a=b; Manifest linux/arm64 a=b"),
            ("a", r#"invalid annotation "a", expected key=value"#),
            ("foo:a=b", r#"unknown annotation type "foo""#),
        ] {
            assert_eq!(outcome(text), expected);
        }
    }
}
