//! What a log tells of its container: a tag that a template makes, and the labels and variables that were chosen.

use std::collections::{BTreeMap, HashMap};

use gtmpl_ng::{Context, ExecError, ParseError, Template, Value};
use regex::Regex;

use super::status::Container;

/// What `template` makes of the container, or why docker could not use it.
pub(super) fn tag(container: &Container, template: &str) -> Result<String, String> {
    let mut parsed = Template::with_name(NAME);
    parsed.parse(template).map_err(|error| parse_error(&error))?;
    parsed.render(&Context::from(subject(container))).map_err(|error| explain(template, &error))
}

/// The container as docker's templates for tags see it.
fn subject(container: &Container) -> Value {
    let config = &container.config;
    let (id, image) = (container.id.to_string(), config.image_id.to_string());
    let arguments = config.arguments();
    let text = |text: &str| Value::from(text);
    let list = |list: &[String]| Value::Array(list.iter().map(Value::from).collect());
    let labels = config.labels.iter().map(|(key, value)| (key.clone(), text(value)));
    let options = config.log.options.iter().map(|(key, value)| (key.clone(), text(value)));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fields = [
        ("ID", container.id.short().into()),
        ("FullID", text(&id)),
        ("ContainerID", text(&id)),
        ("Name", container.name.to_string().into()),
        ("ContainerName", format!("/{}", container.name).into()),
        // With the algorithm's name, which takes most of the place: docker's way to shorten it.
        ("ImageID", image.chars().take(12).collect::<String>().into()),
        ("ImageFullID", text(&image)),
        ("ContainerImageID", text(&image)),
        ("ImageName", text(&config.image)),
        ("ContainerImageName", text(&config.image)),
        ("Command", arguments.join(" ").into()),
        ("ContainerEntrypoint", text(arguments.first().map_or("", String::as_str))),
        ("ContainerArgs", list(arguments.get(1..).unwrap_or_default())),
        ("ContainerEnv", list(&config.env)),
        ("ContainerLabels", Value::Map(labels.collect())),
        ("Config", Value::Map(options.collect())),
        ("Hostname", host.into()),
        ("DaemonName", text("docker")),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>())
}

fn parse_error(error: &ParseError) -> String {
    let (line, message) = match error {
        ParseError::WithContext(context, message) => (context.line, message.clone()),
        other => (1, other.to_string()),
    };
    let words: Vec<_> = message.split(' ').collect();
    let message = match words.as_slice() {
        ["function", name, "not", "defined"] => format!("function {name:?} not defined"),
        ["unexpected", "unclosed", "action", ..] => "unclosed action".to_owned(),
        _ => message,
    };
    format!("template: {NAME}:{line}: {message}")
}

fn explain(template: &str, error: &ExecError) -> String {
    let Some(error) = error.as_structured() else { return error.to_string() };
    let (context, message) = (&error.context, error.message.as_str());
    let line = template.split('\n').nth(context.line - 1).unwrap_or_default();
    let node = line.get(context.col - 1..context.col - 1 + context.len).unwrap_or_default();
    let message = match message.strip_prefix("no field `").and_then(|rest| rest.split('`').next()) {
        Some(field) => format!("can't evaluate field {field} in type *logger.Info"),
        None => message.to_owned(),
    };
    format!(
        "template: {NAME}:{}:{}: executing \"{NAME}\" at <{node}>: {message}",
        context.line,
        context.col - 1
    )
}

/// The labels and variables that the container's log options choose, or why docker could not tell.
pub(super) fn chosen(container: &Container) -> Result<BTreeMap<String, String>, String> {
    let config = &container.config;
    let options = &config.log.options;
    let labels = config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let variables = config.env.iter().filter_map(|entry| entry.split_once('='));
    let mut chosen = BTreeMap::new();
    for (name, values) in [("labels", labels.collect::<Vec<_>>()), ("env", variables.collect())] {
        let listed = options.get(name).map_or("", String::as_str);
        let pattern = options.get(&format!("{name}-regex")).filter(|pattern| !pattern.is_empty());
        let pattern = pattern.map(|pattern| expression(pattern)).transpose()?;
        for (key, value) in values {
            let is_listed = listed.split(',').any(|wanted| wanted == key);
            if is_listed || pattern.as_ref().is_some_and(|pattern| pattern.is_match(key)) {
                chosen.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    Ok(chosen)
}

/// Parses a regular expression, and says what is wrong with it as Go's library does.
fn expression(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        // The library marks the place below the pattern, and says what it is after that.
        let at = text.lines().find_map(|line| line.find('^')).map_or(0, |at| at.saturating_sub(4));
        let rest = pattern.get(at..).unwrap_or_default();
        let (what, place) = match text.lines().last().unwrap_or_default() {
            "error: unclosed group" => ("missing closing )", pattern),
            "error: unopened group" => ("unexpected )", pattern),
            "error: unclosed character class" => ("missing closing ]", rest),
            "error: repetition operator missing expression" => {
                ("missing argument to repetition operator", rest.get(..1).unwrap_or(rest))
            }
            _ => ("invalid or unsupported Perl syntax", pattern),
        };
        format!("error parsing regexp: {what}: `{place}`")
    })
}

/// What docker calls the template.
const NAME: &str = "log-tag";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_expression_is_told_as_go_does() {
        for (pattern, expected) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("a[b", "missing closing ]: `[b`"),
            ("*a", "missing argument to repetition operator: `*`"),
        ] {
            assert_eq!(expression(pattern).map(drop), Err(format!("error parsing regexp: {expected}")));
        }
        assert!(expression("^(a|b)").is_ok_and(|pattern| pattern.is_match("bc")));
    }

    #[test]
    fn mistakes_in_a_template_are_told_as_go_does() {
        for (template, expected) in [
            ("{{.Name", "template: log-tag:1: unclosed action"),
            ("{{nofunc .}}", "template: log-tag:1: function \"nofunc\" not defined"),
        ] {
            let mut parsed = Template::with_name(NAME);
            let error = parsed.parse(template).expect_err("no template");
            assert_eq!(parse_error(&error), expected);
        }
    }
}
