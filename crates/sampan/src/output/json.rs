//! Documents as `inspect` prints them: an array, one line, or through a template.

use serde::Serialize;
use serde_json::{Value, ser::PrettyFormatter};

use super::template::{Subject, Template, TemplateError};

/// How documents are to be printed.
pub enum View {
    /// One array, indented by four spaces: the default.
    Array,
    /// One array in one line: `--format json`.
    Compact,
    /// Each document through a template, on lines of their own.
    Template(Template),
}

impl View {
    /// What `-f` asks for.
    pub fn parse(format: Option<&str>) -> anyhow::Result<View> {
        match format {
            None | Some("") => Ok(View::Array),
            Some("json") => Ok(View::Compact),
            Some(template) => Template::parse(template, Subject::Document)
                .map(View::Template)
                .map_err(|error| mistake(&error)),
        }
    }

    /// The text for `documents`, its last newline included.
    pub fn show(&self, documents: &[Value]) -> anyhow::Result<String> {
        match self {
            View::Array => Ok(indented(&all_without_omitted(documents)) + "\n"),
            View::Compact => Ok(Value::from(all_without_omitted(documents)).to_string() + "\n"),
            View::Template(template) => {
                let line = |document| match template.render_document(document) {
                    Ok(line) => Ok(line + "\n"),
                    Err(error) => Err(mistake(&error)),
                };
                documents.iter().map(line).collect()
            }
        }
    }
}

/// Whether docker's API leaves a field out because there is nothing in it. Templates can name it all the same.
pub fn is_omitted(field: &str, value: &Value) -> bool {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    is_empty && OMITTED.contains(&field)
}

fn all_without_omitted(documents: &[Value]) -> Vec<Value> {
    documents.iter().map(without_omitted).collect()
}

/// The document as docker's API sends it.
pub fn without_omitted(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|field, value| !is_omitted(field, value));
        for part in ["Config", "HostConfig", "State"] {
            if let Some(fields) = fields.get_mut(part).and_then(Value::as_object_mut) {
                fields.retain(|field, value| !is_omitted(field, value));
            }
        }
    }
    document
}

const OMITTED: [&str; 13] = [
    "Annotations",
    "ExposedPorts",
    "Health",
    "Healthcheck",
    "Init",
    "Shell",
    "SizeRootFs",
    "SizeRw",
    "StopSignal",
    "StopTimeout",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
];

/// Also for what only turns out when the template is used, docker says that it cannot be parsed.
fn mistake(error: &TemplateError) -> anyhow::Error {
    anyhow::anyhow!("template parsing error: {error}")
}

fn indented(documents: &[Value]) -> String {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    documents
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .expect("values have string keys and a Vec takes everything");
    String::from_utf8(text).expect("JSON is text")
}

/// Escapes what Go's encoder escapes unless told otherwise, so that JSON can stand in a web page.
pub fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Option<&str>, documents: &str, expected: &str) {
        let documents: Vec<Value> = serde_json::from_str(documents).unwrap();
        let actual = View::parse(format).and_then(|view| view.show(&documents));
        assert_eq!(actual.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn documents_are_an_indented_array_in_their_own_order() {
        check(None, "[]", "[]\n");
        check(
            None,
            r#"[{"Id":"x","Args":["<a>"],"Empty":{},"None":[]}]"#,
            "[\n    {\n        \"Id\": \"x\",\n        \"Args\": [\n            \"<a>\"\n        ],\n        \
             \"Empty\": {},\n        \"None\": []\n    }\n]\n",
        );
    }

    #[test]
    fn the_word_json_asks_for_one_line() {
        check(Some("json"), r#"[{"b":1,"a":"<&>"},2]"#, "[{\"b\":1,\"a\":\"<&>\"},2]\n");
    }

    #[test]
    fn a_template_gets_a_line_for_each_document() {
        check(Some("{{.Id}}"), r#"[{"Id":"x"},{"Id":"y"}]"#, "x\ny\n");
        check(Some("{{.Id"), "[]", "template parsing error: template: :1: unclosed action");
    }

    #[test]
    fn what_has_a_meaning_in_a_web_page_is_escaped() {
        assert_eq!(
            escape_html("\"4000->80 <&> \u{2028}é\""),
            r#""4000-\u003e80 \u003c\u0026\u003e \u2028é""#
        );
    }
}
