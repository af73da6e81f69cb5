//! The functions that docker gives to templates, beside those of Go.

use gtmpl_ng::{Func, FuncError, NumberKind, Value};
use serde_json::Value as Json;

use super::Subject;
use crate::output::json::escape_html;

/// What templates about `subject` may call.
pub fn functions(subject: Subject) -> Vec<(&'static str, Func)> {
    let mut functions: Vec<(&'static str, Func)> = vec![("pad", pad), ("index", index)];
    functions.extend(match subject {
        Subject::Headers => ["json", "join", "split", "upper", "lower", "title", "truncate"]
            .map(|name| (name, header as Func)),
        Subject::Row | Subject::Document => [
            ("json", if subject == Subject::Row { json_of_row } else { json } as Func),
            ("join", join),
            ("split", split),
            ("upper", upper),
            ("lower", lower),
            ("title", title),
            ("truncate", truncate),
        ],
    });
    match subject {
        Subject::Row => functions.push((ROW_ONLY, label)),
        Subject::Headers => functions.push((ROW_ONLY, label_header)),
        Subject::Document => {}
    }
    functions
}

/// Known to templates of listings only; tells them apart when something is missing.
pub const ROW_ONLY: &str = "label";

/// The field of a row that holds its labels, for [`label`] alone.
pub const LABELS: &str = "Label";

fn json(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = args else { return Err(wrong_arguments("json")) };
    Ok(to_json(value).to_string().into())
}

/// A row is what Go calls a map, encoded as if for a web page.
fn json_of_row(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Object(fields)] => {
            let mut fields = fields.clone();
            fields.remove(LABELS);
            Ok(escape_html(&to_json(&Value::Object(fields)).to_string()).into())
        }
        _ => json(args),
    }
}

pub fn join(args: &[Value]) -> Result<Value, FuncError> {
    let [Value::Array(items), Value::String(separator)] = args else { return Err(wrong_arguments("join")) };
    Ok(items.iter().map(Value::to_string).collect::<Vec<_>>().join(separator).into())
}

fn split(args: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(text), Value::String(separator)] = args else { return Err(wrong_arguments("split")) };
    Ok(Value::Array(match separator.as_str() {
        "" => text.chars().map(|c| c.to_string().into()).collect(),
        separator => text.split(separator).map(Value::from).collect(),
    }))
}

fn upper(args: &[Value]) -> Result<Value, FuncError> {
    text("upper", args).map(|text| text.to_uppercase().into())
}

fn lower(args: &[Value]) -> Result<Value, FuncError> {
    text("lower", args).map(|text| text.to_lowercase().into())
}

fn title(args: &[Value]) -> Result<Value, FuncError> {
    let mut inside = false;
    let titled = text("title", args)?.chars().flat_map(|c| {
        let starts = !std::mem::replace(&mut inside, c.is_alphanumeric() || c == '_');
        let upper = if starts { c.to_uppercase().collect() } else { vec![c] };
        upper.into_iter()
    });
    Ok(titled.collect::<String>().into())
}

fn pad(args: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(text), before, after] = args else { return Err(wrong_arguments("pad")) };
    if text.is_empty() {
        return Ok("".into());
    }
    let spaces = |count: &Value| number("pad", count).map(|count| " ".repeat(count));
    Ok((spaces(before)? + text + &spaces(after)?).into())
}

fn truncate(args: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(text), length] = args else { return Err(wrong_arguments("truncate")) };
    let length = number("truncate", length)?;
    Ok(text[..text.floor_char_boundary(length)].into())
}

fn header(args: &[Value]) -> Result<Value, FuncError> {
    text("header", args).map(Value::from)
}

fn label(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Object(row), Value::String(key)] => match row.get(LABELS) {
            Some(Value::Map(labels)) => Ok(labels.get(key).cloned().unwrap_or_else(|| "".into())),
            _ => Err(FuncError::Generic("can't evaluate field Label".to_owned())),
        },
        _ => Err(wrong_arguments(ROW_ONLY)),
    }
}

/// The column of a label is headed by the last part of its key.
fn label_header(args: &[Value]) -> Result<Value, FuncError> {
    let [_, Value::String(key)] = args else { return Err(wrong_arguments(ROW_ONLY)) };
    Ok(key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " ").into())
}

/// Go's `index`, where a key that a map does not have gives what Go calls the zero value.
fn index(args: &[Value]) -> Result<Value, FuncError> {
    let [first, keys @ ..] = args else { return Err(wrong_arguments("index")) };
    let failed = |what: String| FuncError::Generic(format!("error calling index: {what}"));
    let mut value = first.clone();
    for key in keys {
        let absent = match &value {
            Value::Map(map) if map.values().all(|v| matches!(v, Value::String(_))) => Some(Value::from("")),
            Value::Map(_) | Value::Object(_) => Some(Value::Nil),
            _ => None,
        };
        let found = match (&value, key) {
            (Value::Map(map) | Value::Object(map), Value::String(key)) => map.get(key).cloned(),
            (Value::Array(items), Value::Number(at)) => {
                at.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)).cloned()
            }
            (Value::Nil | Value::NoValue, _) => return Err(failed("index of untyped nil".to_owned())),
            (Value::Array(_), key) => return Err(failed(format!("cannot index slice/array with {key}"))),
            (other, _) => return Err(failed(format!("can't index item {other}"))),
        };
        value = found.or(absent).ok_or_else(|| failed(format!("index out of range: {key}")))?;
    }
    Ok(value)
}

fn text<'a>(function: &str, args: &'a [Value]) -> Result<&'a str, FuncError> {
    match args {
        [Value::String(text), ..] => Ok(text),
        _ => Err(wrong_arguments(function)),
    }
}

fn number(function: &str, value: &Value) -> Result<usize, FuncError> {
    let Value::Number(number) = value else { return Err(wrong_arguments(function)) };
    number.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| wrong_arguments(function))
}

fn wrong_arguments(function: &str) -> FuncError {
    FuncError::Generic(format!("wrong number or type of arguments for {function}"))
}

/// The JSON of a template's value, its keys sorted, as Go prints what it knows no struct for.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::NoValue | Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::String(value) => Json::String(value.clone()),
        Value::Number(value) => match value.kind() {
            NumberKind::Unsigned(n) => n.into(),
            NumberKind::Signed(n) => n.into(),
            NumberKind::Float(n) => n.into(),
        },
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Object(entries) | Value::Map(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| (key.clone(), to_json(&entries[key]))).collect()
        }
    }
}
