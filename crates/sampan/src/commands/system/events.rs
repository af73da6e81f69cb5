//! `events`: what happens, as it happens.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use engine::{
    Engine,
    events::{Event, EventFilters},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        human,
        template::{Subject, Template},
    },
    session,
};

/// Get real time events from the server
#[derive(Args)]
pub struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Show all events created since this timestamp
    #[arg(long)]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long)]
    until: Option<String>,
}

impl Verb for Events {
    const NAMES: &'static [&'static str] = &["system events", "events"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let template = match self.format.as_deref() {
            None | Some("") => None,
            // In the order of docker's fields, which a template does not keep.
            Some("json" | "{{json .}}") => None,
            Some(template) => Some(Template::parse(template, Subject::Document)?),
        };
        let is_json = matches!(self.format.as_deref(), Some("json" | "{{json .}}"));
        let filters = EventFilters::parse(pairs(&self.filter));
        let since = self.since.as_deref().map(Engine::moment).transpose()?;
        let until = self.until.as_deref().map(Engine::moment).transpose()?;
        let engine = session::open(globals)?;
        let mut failure = None;
        engine.events(since, until, &filters, |event| {
            let line = match &template {
                None if is_json => Ok(message(event).to_string()),
                None => Ok(line(event)),
                Some(template) => template.render_document(&message(event)),
            };
            let printed = line.map_err(anyhow::Error::from).and_then(|line| Ok(print(&line)?));
            failure = printed.err();
            failure.is_none()
        })?;
        match failure {
            // Nobody reads on.
            Some(error) if error.downcast_ref::<io::Error>().is_none() => Err(error),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// A line at once, for whoever waits for it.
fn print(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// `TIME KIND ACTION ID (key=value, …)`.
fn line(event: &Event) -> String {
    let Event { kind, action, id, attributes, .. } = event;
    let time = event.time.to_zoned_datetime(TimeZone::system());
    let zone = match time.offset().is_zero() {
        true => "Z".to_owned(),
        false => time.strftime("%:z").to_string(),
    };
    let time = time.strftime("%Y-%m-%dT%H:%M:%S.%9f");
    let attributes: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let attributes =
        if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    human::visible(&format!("{time}{zone} {kind} {action} {id}{attributes}"))
}

/// The event as docker's API has it.
fn message(event: &Event) -> Value {
    let Event { kind, action, id, attributes, .. } = event;
    let mut message = json!({});
    if matches!(kind.as_str(), "container" | "image") {
        message["status"] = json!(action);
        if !id.is_empty() {
            message["id"] = json!(id);
        }
        if let (Some(image), "container") = (attributes.get("image"), kind.as_str()) {
            message["from"] = json!(image);
        }
    }
    message["Type"] = json!(kind);
    message["Action"] = json!(action);
    message["Actor"] = json!({ "ID": id, "Attributes": attributes });
    message["scope"] = json!("local");
    message["time"] = json!(event.time.as_second());
    message["timeNano"] = json!(event.time.as_nanosecond() as i64);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let attributes = [("name", "web"), ("image", "nginx")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Event {
            time: "2026-01-02T03:04:05.06Z".parse().unwrap(),
            kind: "container".to_owned(),
            id: "abc".to_owned(),
            action: "start".to_owned(),
            attributes: attributes.into(),
        }
    }

    #[test]
    fn a_line_has_the_attributes_in_order() {
        assert!(line(&event()).ends_with(" container start abc (image=nginx, name=web)"));
        assert!(line(&event()).contains(":05.060000000"));
    }

    #[test]
    fn an_event_is_written_as_dockers_api_writes_it() {
        let expected = r#"{"status":"start","id":"abc","from":"nginx","Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"image":"nginx","name":"web"}},"scope":"local","time":1767323045,"timeNano":1767323045060000000}"#;
        assert_eq!(message(&event()).to_string(), expected);
    }
}
