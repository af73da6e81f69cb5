//! What came out of a build, as text.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;
use tar::Archive;

use super::tree::Tree;

/// An image as far as builders should agree on it, which they need not on dates, or the error that there was instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(String);

impl Record {
    /// The image of an archive that `save` wrote, without what it has from the image in the archive `base`.
    pub fn of_archive(archive: &Path, base: &Path) -> io::Result<Record> {
        let (image, base) = (Saved::open(archive)?, Saved::open(base)?);
        let mut text = String::new();
        for (name, value) in [("Author", &image.config["author"]), ("Variant", &image.config["variant"])] {
            line(&mut text, name, value);
        }
        for name in ["os", "architecture"] {
            if image.config[name] != base.config[name] {
                line(&mut text, name, &image.config[name]);
            }
        }
        for (name, value) in sorted(&image.config["config"]) {
            match value {
                Value::Array(items) if name == "Env" => {
                    items.iter().for_each(|item| line(&mut text, name, item))
                }
                value => line(&mut text, name, value),
            }
        }
        text.push('\n');
        let (history, of_base) = (entries(&image.config), entries(&base.config));
        let stands_on_base = history.starts_with(of_base) && !of_base.is_empty();
        let mut layers = if stands_on_base { base.layers } else { 0 };
        for entry in &history[if stands_on_base { of_base.len() } else { 0 }..] {
            let is_empty = entry["empty_layer"] == true;
            layers += usize::from(!is_empty);
            let kind = if is_empty { "empty" } else { "layer" };
            let _ =
                writeln!(text, "{kind} {}", entry["created_by"].as_str().unwrap_or_default().escape_debug());
        }
        if layers != image.layers {
            let _ = writeln!(text, "but there are {} layers", image.layers);
        }
        text.push('\n');
        let nothing = Tree::default();
        text += &image.tree.lines_beyond(if stands_on_base { &base.tree } else { &nothing });
        Ok(Record(text))
    }

    /// The last error of what a builder said.
    pub fn of_failure(said: &str) -> Option<Record> {
        let error = said.lines().rev().find(|line| FAILURES.iter().any(|start| line.starts_with(start)))?;
        let mut before = "";
        let words = error.split(' ').map(|word| match std::mem::replace(&mut before, word) {
            // What builders call their own things is no matter.
            "ref" => "REF:",
            // Nor where on the disk an image is put together.
            _ => word.split_once("/merged").map_or(word, |(_, path)| path),
        });
        Some(Record(words.collect::<Vec<_>>().join(" ") + "\n"))
    }

    /// Whether there was no image.
    pub fn is_error(&self) -> bool {
        FAILURES.iter().any(|start| self.0.starts_with(start))
    }

    /// What builders agree on that write histories of their own, and have words of their own for errors.
    pub fn essence(&self) -> Record {
        if self.is_error() {
            return Record("an error\n".to_owned());
        }
        let own = ["empty ", "layer ", "Image ", "ArgsEscaped "];
        let is_own = |line: &str| own.iter().any(|start| line.starts_with(start));
        let lines =
            self.0.lines().filter(|line| !is_own(line)).map(|line| match line.strip_prefix("Labels ") {
                Some(labels) => {
                    let mut labels: Value = serde_json::from_str(labels).unwrap_or_default();
                    labels.as_object_mut().map(|labels| labels.remove("io.buildah.version"));
                    let mut text = String::new();
                    self::line(&mut text, "Labels", &labels);
                    text
                }
                None => format!("{line}\n"),
            });
        Record(lines.collect())
    }

    /// One that was written down.
    pub fn read(path: &Path) -> io::Result<Record> {
        std::fs::read_to_string(path).map(Record)
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.0)
    }

    /// The lines that only one of the two has: `-` for those of `expected`, `+` for our own.
    pub fn difference(&self, expected: &Record) -> String {
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.0.lines().collect(), expected.0.lines().collect());
        let mut text = String::new();
        for (sign, lines, others) in [('-', &theirs, &ours), ('+', &ours, &theirs)] {
            for line in lines.iter().filter(|line| !others.contains(line)) {
                let _ = writeln!(text, "{sign} {line}");
            }
        }
        if text.is_empty() && ours != theirs {
            text = format!("the order differs:\n{self}");
        }
        text
    }
}

/// What errors begin with: BuildKit's, buildah's, and those of docker's classic builder.
const FAILURES: [&str; 3] = ["ERROR: ", "Error: ", "Error response from daemon: "];

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An archive as docker's `save` writes it.
struct Saved {
    config: Value,
    layers: usize,
    tree: Tree,
}

impl Saved {
    fn open(path: &Path) -> io::Result<Saved> {
        let mut files = BTreeMap::new();
        for entry in Archive::new(File::open(path)?).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            // Some archives have layers as links to others.
            if let Some(target) = entry.link_name()? {
                let target = target.to_string_lossy().trim_start_matches("../").to_owned();
                bytes = files.get(&target).cloned().unwrap_or_default();
            }
            files.insert(name, bytes);
        }
        let file = |name: &str| {
            files.get(name).ok_or_else(|| io::Error::other(format!("{} has no {name}", path.display())))
        };
        let manifest: Value = serde_json::from_slice(file("manifest.json")?)?;
        let config = file(manifest[0]["Config"].as_str().unwrap_or_default())?;
        let mut tree = Tree::default();
        let layers = manifest[0]["Layers"].as_array().map_or(&[][..], Vec::as_slice);
        for layer in layers {
            tree.apply(file(layer.as_str().unwrap_or_default())?.as_slice())?;
        }
        Ok(Saved { config: serde_json::from_slice(config)?, layers: layers.len(), tree })
    }
}

fn entries(config: &Value) -> &[Value] {
    config["history"].as_array().map_or(&[], Vec::as_slice)
}

fn sorted(value: &Value) -> BTreeMap<&str, &Value> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

/// A line for a value that says something.
fn line(text: &mut String, name: &str, value: &Value) {
    let says = match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::String(value) => !value.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::Number(_) => true,
    };
    if says {
        let value = match value {
            Value::String(value) => format!("{value:?}"),
            Value::Object(_) => serde_json::json!(sorted(value)).to_string(),
            value => value.to_string(),
        };
        let _ = writeln!(text, "{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_essence_has_no_history_and_no_words_of_errors() {
        let record = |text: &str| Record(text.to_owned());
        let ours =
            record("Labels {\"a\":\"b\"}\n\nlayer RUN x # buildkit\nempty LABEL a=b\n\n/x 644 0:0 \"\"\n");
        let theirs = record(
            "Image \"sha256:1\"\nLabels {\"a\":\"b\",\"io.buildah.version\":\"1\"}\n\nlayer /bin/sh -c x\n\n/x 644 0:0 \"\"\n",
        );
        assert_eq!(theirs.essence(), ours.essence());
        assert_ne!(theirs.essence(), record("\n\n/x 644 0:0 \"\"\n").essence());
        let failure = |said: &str| Record::of_failure(said).expect("an error");
        let (one, other) =
            (failure("x\nERROR: failed to build: no"), failure("Error: building at STEP \"x\": no"));
        assert_ne!(one, other);
        assert_eq!(one.essence(), other.essence());
    }
}
