//! Answers of `--call` as buildx prints them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use builder::{Checked, Finding, Mount, Outline, OutlineArgument, Targets, marked_lines};
use serde_json::{Map, Value, json};

use crate::output::json::escape_html;

/// The findings by line, each with the lines it is about; and how many there are.
pub fn checked(checked: &Checked) -> String {
    let mut text = match (checked.findings.len(), &checked.error) {
        (0, None) => "Check complete, no warnings found.\n".to_owned(),
        (0, Some(_)) => String::new(),
        (1, _) => "Check complete, 1 warning has been found!\n".to_owned(),
        (number, _) => format!("Check complete, {number} warnings have been found!\n"),
    };
    let mut findings: Vec<&Finding> = checked.findings.iter().collect();
    findings.sort_by_key(|finding| finding.lines.0);
    for finding in findings {
        let page = match finding.rule.url {
            "" => String::new(),
            url => format!(" - {url}"),
        };
        text.push_str(&format!("\nWARNING: {}{page}\n{}\n", finding.rule.name, finding.message));
        text.push_str(&marked_lines(&checked.file, &checked.text, finding.lines));
    }
    if checked.error.is_some() && !checked.findings.is_empty() {
        text.push('\n');
    }
    text
}

/// What makes a build impossible, with the lines it is about.
pub fn check_error(checked: &Checked) -> String {
    let Some(error) = &checked.error else { return String::new() };
    let excerpt =
        error.lines().map(|lines| marked_lines(&checked.file, &checked.text, lines)).unwrap_or_default();
    format!("ERROR: {error}\n{excerpt}\n")
}

pub fn checked_json(checked: &Checked) -> String {
    let warnings = checked.findings.iter().map(|finding| {
        object([
            ("ruleName", json!(finding.rule.name)),
            ("description", json!(finding.rule.description)),
            ("url", text(Some(finding.rule.url))),
            ("detail", json!(finding.message)),
            ("location", location(finding.lines)),
        ])
    });
    let source = object([
        ("filename", json!(checked.file)),
        ("data", json!(BASE64_STANDARD.encode(&checked.text))),
        ("language", json!("Dockerfile")),
    ]);
    let error = checked.error.as_ref().map_or(Value::Null, |error| {
        let place = error.lines().map_or_else(|| json!({}), location);
        json!({ "message": error.to_string(), "location": place })
    });
    // Without any finding it is null, where everything else that is missing is left out.
    let warnings = match checked.findings.is_empty() {
        true => Value::Null,
        false => Value::from_iter(warnings),
    };
    let mut document = object([("sources", json!([source])), ("buildError", error)]);
    if let Value::Object(fields) = &mut document {
        fields.shift_insert(0, "warnings".to_owned(), warnings);
    }
    indented(&document)
}

pub fn outline(outline: &Outline, as_json: bool) -> String {
    if as_json {
        return outline_json(outline);
    }
    let mut blocks = Vec::new();
    if outline.name.is_some() || outline.description.is_some() {
        let name = outline.name.as_deref().unwrap_or("(default)");
        let mut rows = vec![vec!["TARGET:", name]];
        rows.extend(outline.description.as_deref().map(|description| vec!["DESCRIPTION:", description]));
        blocks.push(table(&rows, 1));
    }
    if !outline.arguments.is_empty() {
        let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
        rows.extend(outline.arguments.iter().map(|argument| {
            let value = argument.value.as_deref().unwrap_or_default();
            vec![argument.name.as_str(), value, argument.description.as_deref().unwrap_or_default()]
        }));
        blocks.push(table(&rows, 3));
    }
    for (title, mounts) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if !mounts.is_empty() {
            let mut rows = vec![vec![title, "REQUIRED"]];
            rows.extend(
                mounts
                    .iter()
                    .map(|mount| vec![mount.name.as_str(), if mount.is_required { "true" } else { "" }]),
            );
            blocks.push(table(&rows, 3));
        }
    }
    blocks.iter().map(|block| format!("{block}\n")).collect()
}

fn outline_json(outline: &Outline) -> String {
    let argument = |argument: &OutlineArgument| {
        object([
            ("name", json!(argument.name)),
            ("description", text(argument.description.as_deref())),
            ("value", text(argument.value.as_deref())),
            ("location", location(argument.lines)),
        ])
    };
    let mount = |mount: &Mount| {
        let required = if mount.is_required { json!(true) } else { Value::Null };
        object([("name", json!(mount.name)), ("required", required), ("location", location(mount.lines))])
    };
    indented(&object([
        ("name", text(outline.name.as_deref())),
        ("description", text(outline.description.as_deref())),
        ("args", list(outline.arguments.iter().map(argument))),
        ("secrets", list(outline.secrets.iter().map(mount))),
        ("ssh", list(outline.ssh.iter().map(mount))),
        ("sources", json!([BASE64_STANDARD.encode(&outline.text)])),
    ]))
}

pub fn targets(targets: &Targets, as_json: bool) -> String {
    if as_json {
        let described = targets.targets.iter().map(|target| {
            object([
                ("name", text(target.name.as_deref())),
                ("default", if target.is_default { json!(true) } else { Value::Null }),
                ("description", text(target.description.as_deref())),
                ("base", text(Some(&target.base))),
                ("platform", text(target.platform.as_deref())),
                ("location", location(target.lines)),
            ])
        });
        let sources = json!([BASE64_STANDARD.encode(&targets.text)]);
        return indented(&object([("targets", list(described)), ("sources", sources)]));
    }
    let names: Vec<String> = targets
        .targets
        .iter()
        .map(|target| match (&target.name, target.is_default) {
            (None, true) => "(default)".to_owned(),
            (Some(name), true) => format!("{name} (default)"),
            (name, false) => name.clone().unwrap_or_default(),
        })
        .collect();
    let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
    rows.extend(
        names
            .iter()
            .zip(&targets.targets)
            .map(|(name, target)| vec![name.as_str(), target.description.as_deref().unwrap_or_default()]),
    );
    table(&rows, 1)
}

/// The questions there are.
pub fn methods(as_json: bool) -> String {
    let methods = [
        ("outline", "List all parameters current build target supports"),
        ("targets", "List all targets current build supports"),
        ("subrequests.describe", "List available subrequest types"),
    ];
    if as_json {
        let described = methods.iter().map(|(name, description)| {
            json!({
                "name": format!("frontend.{name}"),
                "version": "1.0.0",
                "type": "rpc",
                "description": description,
            })
        });
        return indented(&Value::from_iter(described));
    }
    let mut rows = vec![vec!["NAME", "VERSION", "DESCRIPTION"]];
    rows.extend(methods.iter().map(|(name, description)| vec![*name, "1.0.0", *description]));
    table(&rows, 1)
}

/// Rows with columns as wide as they need and `gap` blanks between, also after an empty last one, as Go's tabwriter.
fn table(rows: &[Vec<&str>], gap: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len).saturating_sub(1);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + gap)
        .collect();
    let line = |row: &Vec<&str>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match widths.get(column) {
            Some(width) => format!("{cell:width$}"),
            None => cell.to_string(),
        });
        cells.collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}

fn location((first, last): (usize, usize)) -> Value {
    json!({ "ranges": [{ "start": { "line": first }, "end": { "line": last } }] })
}

/// Text that is there; nothing for an empty one, which Go leaves out.
fn text(text: Option<&str>) -> Value {
    text.filter(|text| !text.is_empty()).map_or(Value::Null, Value::from)
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    let values: Vec<Value> = values.collect();
    if values.is_empty() { Value::Null } else { Value::from(values) }
}

/// An object of those of `fields` that are not null.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(Map::from_iter(present.map(|(name, value)| (name.to_owned(), value))))
}

/// As Go's `MarshalIndent`, with a newline at the end.
fn indented(document: &Value) -> String {
    escape_html(&format!("{document:#}")) + "\n"
}
