//! What is written down of a finished build: the image's id, and `--metadata-file`.

use builder::Built;
use serde_json::{Map, Value, json};
use types::Reference;

/// What docker calls the result: an image's id, the index of several platforms' images, or nothing if only files came of
/// it.
pub fn id(built: &Built) -> String {
    match &built.exported.descriptor {
        None => String::new(),
        Some(_) if built.others.is_empty() => built.image.id.to_string(),
        Some(index) => index.digest.to_string(),
    }
}

/// The JSON of `--metadata-file`, with buildx's keys.
pub fn json(built: &Built) -> String {
    let mut all = Map::new();
    if let Some(descriptor) = &built.exported.descriptor {
        if built.others.is_empty() {
            all.insert("containerimage.config.digest".to_owned(), json!(built.image.id));
        }
        let described = serde_json::to_value(descriptor).expect("strings and numbers serialise");
        all.insert("containerimage.descriptor".to_owned(), described);
        all.insert("containerimage.digest".to_owned(), json!(descriptor.digest));
    }
    if !built.exported.names.is_empty() {
        let names: Vec<String> = built.exported.names.iter().map(Reference::to_string).collect();
        all.insert("image.name".to_owned(), names.join(",").into());
    }
    format!("{:#}", Value::Object(all))
}
