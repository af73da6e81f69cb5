//! Go templates, as `--format` takes them, with docker's functions and Go's messages.
//!
//! The engine is a library; this module is the only one that knows it.

mod document;
mod functions;

use gtmpl_ng::{Context, ErrorContext, Limits, Number, ParseError, Value};
use serde_json::Value as Json;

pub use functions::LABELS;
use functions::{ROW_ONLY, functions};

use super::json::without_omitted;

/// A parsed template.
pub struct Template {
    source: String,
    parsed: Box<gtmpl_ng::Template>,
    /// The same for documents whose values have Go's types.
    typed: Option<Box<gtmpl_ng::Template>>,
}

/// What the template is about, which decides what `json` prints and how a missing field is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One line of a listing.
    Row,
    /// A listing's headers: functions give back the header they are applied to.
    Headers,
    /// Any JSON document.
    Document,
}

/// Why a template cannot be used, in the words of Go's library.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("template: :{line}: {message}")]
    Parse { line: usize, message: String },
    #[error("template: {0}")]
    Execute(String),
}

impl Template {
    /// Parses `source`. The two-character sequences `\t` and `\n` are not special here.
    pub fn parse(source: &str, subject: Subject) -> Result<Template, TemplateError> {
        let source = with_label_as_function(source);
        let mut parsed = Box::new(gtmpl_ng::Template::with_limits(Limits::unlimited()));
        parsed.add_funcs(&functions(subject));
        parsed.parse(source.as_str()).map_err(|error| parse_error(&error))?;
        let typed = (subject == Subject::Document).then(|| document::parse(&source)).flatten();
        Ok(Template { source, parsed, typed })
    }

    /// The text for a document, which is looked at with docker's types first, and if that fails without.
    pub fn render_document(&self, json: &Json) -> Result<String, TemplateError> {
        if let Some(typed) = &self.typed
            && let Ok(text) = typed.render(&Context::from(document::typed(json)))
        {
            return Ok(text);
        }
        self.render(document::raw(&without_omitted(json)))
    }

    /// The text for `value`.
    pub fn render(&self, value: Value) -> Result<String, TemplateError> {
        self.parsed
            .render(&Context::from(value))
            .map_err(|error| TemplateError::Execute(self.explain(&error)))
    }

    /// The text for `value` up to where it cannot be rendered, if so.
    pub fn render_what_is_possible(&self, value: Value) -> String {
        let mut text = Vec::new();
        match self.parsed.execute(&mut text, &Context::from(value)) {
            // The caller asks for just what came before the failure.
            Ok(()) | Err(_) => String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Whether the template may look at `field`, so that what is dear to compute can be left out.
    pub fn mentions(&self, field: &str) -> bool {
        self.source.contains(&format!(".{field}"))
    }

    fn explain(&self, error: &gtmpl_ng::ExecError) -> String {
        let Some(error) = error.as_structured() else { return error.to_string() };
        let (column, node) = self.node_at(&error.context);
        let field = |name: &str| format!("can't evaluate field {name}");
        let message = match error.message.as_str() {
            m if m.starts_with("no field `") => {
                let name = m.split('`').nth(1).unwrap_or_default();
                let listing = self.parsed.funcs.contains_key(ROW_ONLY);
                if listing { field(name) } else { format!("map has no entry for key {name:?}") }
            }
            "only maps and objects have fields" => {
                field(node.rsplit('.').next().unwrap_or(node)) + " in type interface {}"
            }
            m => quoting_names(m),
        };
        format!(":{}:{column}: executing \"\" at <{node}>: {message}", error.context.line)
    }

    /// The text of the node an error is about, and the column Go gives for it: of the second field in a
    /// chain of several, counted from 0.
    fn node_at(&self, context: &ErrorContext) -> (usize, &str) {
        let line = self.source.split('\n').nth(context.line - 1).unwrap_or_default();
        let start = context.col - 1;
        let node = line.get(start..start + context.len).or(line.get(start..)).unwrap_or_default();
        if let Some(inner) = node.strip_prefix('(').and_then(|n| n.strip_suffix(')')) {
            return (start + 1, inner);
        }
        let is_chain = node.starts_with('.') && !node.contains(' ');
        let second = node.get(1..).and_then(|rest| rest.find('.')).filter(|_| is_chain);
        (start + second.map_or(0, |at| at + 1), node)
    }
}

/// Turns the method `.Label "key"`, which the engine cannot call, into the function `label . "key"`.
fn with_label_as_function(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for (index, part) in source.split("{{").enumerate() {
        if index == 0 {
            text.push_str(part);
            continue;
        }
        let (action, rest) = part.split_once("}}").unwrap_or((part, ""));
        text.push_str("{{");
        text.push_str(&action.replace(".Label ", "label . "));
        text.push_str(&part[action.len()..part.len() - rest.len()]);
        text.push_str(rest);
    }
    text
}

fn parse_error(error: &ParseError) -> TemplateError {
    match error {
        ParseError::WithContext(context, message) => {
            TemplateError::Parse { line: context.line, message: quoting_names(message) }
        }
        other => TemplateError::Parse { line: 1, message: other.to_string() },
    }
}

/// Go quotes the names in its messages, and says of text that never ends only that.
fn quoting_names(message: &str) -> String {
    if let Some(token) = message.strip_prefix("unexpected ").and_then(|m| m.strip_suffix(" in command"))
        && (token == "unclosed action" || token.starts_with("unterminated"))
    {
        return token.to_owned();
    }
    match message.split(' ').collect::<Vec<_>>().as_slice() {
        [kind @ ("function" | "template"), name, "not", "defined"] => format!("{kind} {name:?} not defined"),
        ["undefined", "variable", name] => format!("undefined variable {name:?}"),
        _ => message.to_owned(),
    }
}

/// A JSON value as templates see it.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(value) => Value::String(value.clone()),
        Json::Number(value) => Value::Number(match (value.as_u64(), value.as_i64()) {
            (Some(n), _) => Number::unsigned(n),
            (None, Some(n)) => Number::signed(n),
            (None, None) => Number::float(value.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (key.clone(), from_json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docker inspect -f` of docker 28 prints for a container like this one.
    fn check(template: &str, expected: &str) {
        let container = serde_json::json!({
            "Name": "/web",
            "State": { "Running": true, "Pid": 42 },
            "Config": {
                "Env": ["A=<1>&2", "B=2"],
                "Cmd": ["python", "app.py"],
                "Labels": { "com.example.a": "1", "z": "2" },
            },
            "NetworkSettings": {
                "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "4000" }] },
                "Networks": { "bridge": { "IPAddress": "172.17.0.2" } },
            },
            "Mounts": [],
        });
        let actual = Template::parse(template, Subject::Document)
            .and_then(|parsed| parsed.render_document(&container))
            .unwrap_or_else(|error| error.to_string());
        assert_eq!(actual, expected, "{template}");
    }

    #[test]
    fn fields_maps_and_functions_work_as_in_go() {
        check("{{.State.Running}} {{.State.Pid}}", "true 42");
        check("{{.Config.Env}}", "[A=<1>&2 B=2]");
        check("{{json .Config.Env}}", r#"["A=<1>&2","B=2"]"#);
        check("{{json .State}}", r#"{"Running":true,"Pid":42}"#);
        check("{{.NetworkSettings.Networks.bridge.IPAddress}}", "172.17.0.2");
        check(r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#, "4000");
        check(
            "{{range $p, $c := .NetworkSettings.Ports}}{{$p}} {{(index $c 0).HostPort}}{{end}}",
            "80/tcp 4000",
        );
        check("{{range .Config.Env}}{{println .}}{{end}}", "A=<1>&2\nB=2\n");
        check("{{len .Config.Labels}} {{.Config.Labels}}", "2 map[com.example.a:1 z:2]");
        check(r#"{{join .Config.Cmd "+"}} {{index (split .Name "e") 1}}"#, "python+app.py b");
        check("{{upper .Name}} {{.Name | lower}} {{title \"ab cd-ef_g it's\"}}", "/WEB /web Ab Cd-Ef_g It'S");
        check("[{{pad .Name 2 1}}] [{{pad \"\" 2 1}}] {{truncate .Name 3}}", "[  /web ] [] /we");
        check("{{truncate \"ü\" 1}}{{truncate .Name 9}}", "/web");
    }

    #[test]
    fn what_a_map_lacks_is_no_error() {
        check("{{.Config.Labels.nope}}", "<no value>");
        check(r#"{{index .Config.Labels "nope"}}"#, "");
        check(r#"{{index .Config.Labels "com.example.a"}}"#, "1");
        check("{{.NetworkSettings.Networks.foo.IPAddress}}", "<no value>");
    }

    #[test]
    fn what_a_document_lacks_is_named_with_its_place() {
        let at = "template: :1:";
        check("{{.Nope}}", &format!(r#"{at}2: executing "" at <.Nope>: map has no entry for key "Nope""#));
        check(
            "{{.State.Nope}}",
            &format!(r#"{at}8: executing "" at <.State.Nope>: map has no entry for key "Nope""#),
        );
        check(
            "{{json .State.Nope}}",
            &format!(r#"{at}13: executing "" at <.State.Nope>: map has no entry for key "Nope""#),
        );
        check(
            "{{if .Nope}}a{{else}}b{{end}}",
            &format!(r#"{at}5: executing "" at <.Nope>: map has no entry for key "Nope""#),
        );
        check(
            "{{.Config.Cmd.Nope}}",
            &format!(
                r#"{at}9: executing "" at <.Config.Cmd.Nope>: can't evaluate field Nope in type interface {{}}"#
            ),
        );
        check(
            r#"{{(index (index .NetworkSettings.Ports "81/tcp") 0).HostPort}}"#,
            &format!(
                r#"{at}3: executing "" at <index (index .NetworkSettings.Ports "81/tcp") 0>: error calling index: index of untyped nil"#
            ),
        );
        check(
            "{{index .Config.Env 5}}",
            &format!(
                r#"{at}2: executing "" at <index .Config.Env 5>: error calling index: index out of range: 5"#
            ),
        );
    }

    #[test]
    fn mistakes_in_a_template_are_told_as_go_does() {
        for (template, message) in [
            ("{{.State.Running", "unclosed action"),
            ("{{nofunc .}}", r#"function "nofunc" not defined"#),
            ("{{end}}", "unexpected {{end}}"),
            ("{{", "unclosed action"),
            ("{{if}}", "missing value for if"),
            ("{{if .Name}}", "unexpected EOF"),
            ("{{\"abc}}", "unterminated quoted string"),
            ("{{.a b}}", r#"function "b" not defined"#),
            ("{{$x}}", r#"undefined variable "$x""#),
        ] {
            check(template, &format!("template: :1: {message}"));
        }
    }
}
