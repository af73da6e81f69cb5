//! A document as Go sees it that was decoded into docker's structs, which is what `inspect -f` is about.
//!
//! docker carries a template out with its structs. There, fields have Go's names, what is null is printed as its type
//! is, and only a map may lack what is named. If that fails, docker starts over with the JSON itself: fields have the
//! names that are printed, nothing has a type, and nothing may be missing.

use std::{borrow::Cow, collections::HashMap};

use gtmpl_ng::{Func, FuncError, Limits, Value};
use serde_json::Value as Json;

use super::{
    Subject, from_json,
    functions::{functions, to_json},
};
use crate::output::json::is_omitted;

/// The template for [`typed`] documents, of one that can be parsed. None where that is beyond what can be adapted.
pub fn parse(source: &str) -> Option<Box<gtmpl_ng::Template>> {
    let mut parsed = Box::new(gtmpl_ng::Template::with_limits(Limits::unlimited()));
    parsed.add_funcs(&functions(Subject::Document));
    let of_types: [(&str, Func); 7] = [
        ("json", json),
        ("join", join),
        ("len", len),
        ("printf", printf),
        ("println", println),
        (PRINTED, printed),
        (RANGED, ranged),
    ];
    parsed.add_funcs(&of_types);
    parsed.parse(adapted(source)).ok()?;
    Some(parsed)
}

/// The document with Go's types, as far as templates can tell: a struct is an object, a map is a map.
pub fn typed(document: &Json) -> Value {
    of_type("", "", document)
}

/// The document without types: no object may lack what a template names.
pub fn raw(document: &Json) -> Value {
    match document {
        Json::Array(items) => Value::Array(items.iter().map(raw).collect()),
        Json::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), raw(value))).collect())
        }
        scalar => from_json(scalar),
    }
}

/// The value of the field `name` of the field `parent`.
fn of_type(parent: &str, name: &str, json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::Array(items.iter().map(|item| of_type(parent, name, item)).collect()),
        Json::Object(entries) if is_map(parent, name) => {
            Value::Map(entries.iter().map(|(key, entry)| (key.clone(), of_type(name, "", entry))).collect())
        }
        Json::Object(fields) => {
            let order = fields.keys().map(|key| Value::from(key.as_str())).collect();
            let fields =
                fields.iter().map(|(key, field)| (go_name(key).into_owned(), of_type(name, key, field)));
            let mut object: HashMap<_, _> = fields.chain([(ORDER.to_owned(), Value::Array(order))]).collect();
            for (unsent, zero) in unsent(parent, name, &object) {
                object.entry(unsent.to_owned()).or_insert(zero);
            }
            Value::Object(object)
        }
        scalar => from_json(scalar),
    }
}

/// Fields that docker's structs have and that the JSON of some lacks, each with what it is then.
fn unsent(parent: &str, name: &str, object: &HashMap<String, Value>) -> Vec<(&'static str, Value)> {
    let nothing: &[&'static str] = match name {
        "Config" if parent == "IPAM" => &["AuxAddress"],
        "Config" => &[
            "Cmd",
            "Entrypoint",
            "Env",
            "ExposedPorts",
            "Healthcheck",
            "Labels",
            "OnBuild",
            "Shell",
            "StopTimeout",
            "Volumes",
        ],
        "HostConfig" => &["Mounts"],
        "" if object.contains_key("RootFS") => &["Descriptor", "Manifests"],
        "" if object.contains_key("Mountpoint") => &["ClusterVolume", "Status", "UsageData"],
        _ => &[],
    };
    let text: &[&'static str] = match name {
        "Config" if parent == "IPAM" => &["Gateway", "IPRange", "Subnet"],
        "Config" => &["StopSignal", "User", "WorkingDir"],
        "Mounts" => &["Driver", "Name"],
        _ => &[],
    };
    let nothing = nothing.iter().map(|name| (*name, Value::Nil));
    nothing.chain(text.iter().map(|name| (*name, Value::from("")))).collect()
}

fn is_map(parent: &str, name: &str) -> bool {
    // What is called so elsewhere is a struct.
    MAPS.contains(&name) || (parent, name) == ("LogConfig", "Config")
}

/// What a field of docker's structs is called, whose name in JSON is `name`.
fn go_name(name: &str) -> Cow<'_, str> {
    if let Some((_, go)) = RENAMED.iter().find(|(json, _)| *json == name) {
        return Cow::Borrowed(go);
    }
    match name.chars().next() {
        Some(first) if first.is_ascii_lowercase() => {
            Cow::Owned(first.to_ascii_uppercase().to_string() + &name[1..])
        }
        _ => Cow::Borrowed(name),
    }
}

/// A struct's fields in their order: what JSON calls each, and its value.
fn in_order(fields: &HashMap<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let order = match fields.get(ORDER) {
        Some(Value::Array(order)) => order.as_slice(),
        _ => &[],
    };
    order.iter().filter_map(|name| match name {
        Value::String(name) => Some((name.as_str(), fields.get(&*go_name(name))?)),
        _ => None,
    })
}

/// What Go's `fmt` makes of the value of the field `name`.
fn text(name: &str, value: &Value) -> String {
    let all = |words: Vec<String>| words.join(" ");
    match value {
        Value::Nil if SLICES.contains(&name) => "[]".to_owned(),
        Value::Nil if MAPS.contains(&name) => "map[]".to_owned(),
        Value::Array(items) => format!("[{}]", all(items.iter().map(|item| text("", item)).collect())),
        Value::Map(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort();
            // Of the maps whose entries can be null, all are of slices.
            let words = keys.into_iter().map(|key| format!("{key}:{}", text(ENTRY, &entries[key])));
            format!("map[{}]", all(words.collect()))
        }
        Value::Object(fields) => match ["Name", "Soft", "Hard"].map(|name| fields.get(name)) {
            // The one struct here that knows how it is written.
            [Some(name), Some(soft), Some(hard)] => format!("{name}={soft}:{hard}"),
            _ => format!("{{{}}}", all(in_order(fields).map(|(name, field)| text(name, field)).collect())),
        },
        other => other.to_string(),
    }
}

/// Prints a value that comes last, of the field that the first argument names.
fn printed(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::String(name), value] => Ok(text(name, value).into()),
        _ => Err(FuncError::Generic("nothing to print".to_owned())),
    }
}

/// What can be gone through, which structs cannot.
fn ranged(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Object(_)] => Err(FuncError::Generic("range can't iterate over a struct".to_owned())),
        [value] => Ok(value.clone()),
        _ => Err(FuncError::Generic("nothing to range over".to_owned())),
    }
}

fn json(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [value] => Ok(typed_json(value).to_string().into()),
        _ => Err(FuncError::Generic("wrong number or type of arguments for json".to_owned())),
    }
}

/// JSON with a struct's fields in their order, and a map's keys sorted.
fn typed_json(value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(typed_json).collect(),
        Value::Object(fields) => {
            let fields = in_order(fields).map(|(name, field)| (name.to_owned(), typed_json(field)));
            fields.filter(|(name, field)| !is_omitted(name, field)).collect()
        }
        Value::Map(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| (key.clone(), typed_json(&entries[key]))).collect()
        }
        scalar => to_json(scalar),
    }
}

/// Of nothing is nothing, whether it is a slice or a map.
fn len(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Nil] => Ok(Value::from(0)),
        args => gtmpl_ng::funcs::len(args),
    }
}

fn join(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Nil, Value::String(_)] => Ok("".into()),
        args => super::functions::join(args),
    }
}

fn printf(args: &[Value]) -> Result<Value, FuncError> {
    let as_text = |value: &Value| match value {
        Value::Object(_) | Value::Map(_) | Value::Array(_) | Value::Nil => text("", value).into(),
        plain => plain.clone(),
    };
    gtmpl_ng::funcs::printf(&args.iter().map(as_text).collect::<Vec<_>>())
}

fn println(args: &[Value]) -> Result<Value, FuncError> {
    let words: Vec<String> = args.iter().map(|value| text("", value)).collect();
    Ok((words.join(" ") + "\n").into())
}

/// The template whose actions print by [`printed`] and go through what [`ranged`] lets them.
fn adapted(source: &str) -> String {
    let mut text = String::with_capacity(source.len() * 2);
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let (before, action) = rest.split_at(start + 2);
        let (inside, after) = action.split_at(end_of_action(action));
        text.push_str(before);
        text.push_str(&adapted_action(inside));
        rest = after;
    }
    text + rest
}

/// What stands between the braces of an action.
fn adapted_action(inside: &str) -> Cow<'_, str> {
    let (body, trim) = inside.strip_suffix(" -").map_or((inside, ""), |body| (body, " -"));
    let pipeline = body.strip_prefix("- ").unwrap_or(body).trim();
    let word = pipeline.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let is_set = pipeline.strip_prefix('$').is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
            .trim_start()
            .starts_with([':', '='])
    });
    match word {
        _ if is_set || pipeline.is_empty() || pipeline.starts_with("/*") => Cow::Borrowed(inside),
        "if" | "else" | "end" | "with" | "define" | "template" | "block" | "break" | "continue" => {
            Cow::Borrowed(inside)
        }
        "range" => Cow::Owned(format!("{body} | {RANGED}{trim}")),
        _ => {
            let field = pipeline.rsplit('.').next().unwrap_or_default();
            let field = if field.chars().all(char::is_alphanumeric) { field } else { "" };
            Cow::Owned(format!("{body} | {PRINTED} \"{field}\"{trim}"))
        }
    }
}

/// Where the braces are that close an action, beyond what it quotes.
fn end_of_action(action: &str) -> usize {
    if action.trim_start_matches(['-', ' ']).starts_with("/*") {
        let comment = action.find("*/").unwrap_or(0);
        return action[comment..].find("}}").map_or(action.len(), |end| comment + end);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in action.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if action[at..].starts_with("}}") => return at,
            None => {}
        }
    }
    action.len()
}

/// Where an object keeps the order of its fields. No template can name it.
const ORDER: &str = "";
/// The functions that adapted templates call.
const PRINTED: &str = "printed";
const RANGED: &str = "ranged";
/// Stands for the name of what a map holds.
const ENTRY: &str = "of a map";

/// Fields that are maps.
const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "Data",
    "Details",
    "DriverOpts",
    "ExposedPorts",
    "IndexConfigs",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "Status",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "annotations",
];

/// Fields that are slices and may be null.
const SLICES: &[&str] = &[
    "Aliases",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Capabilities",
    "Cmd",
    "Config",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceIDs",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "LinkLocalIPs",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "Shell",
    "Test",
    "Ulimits",
    "VolumesFrom",
    ENTRY,
];

/// Fields whose names in JSON are not those in Go, but for the first letter.
const RENAMED: &[(&str, &str)] = &[
    ("AuxiliaryAddresses", "AuxAddress"),
    ("CpuCount", "CPUCount"),
    ("CpuPercent", "CPUPercent"),
    ("CpuPeriod", "CPUPeriod"),
    ("CpuQuota", "CPUQuota"),
    ("CpuRealtimePeriod", "CPURealtimePeriod"),
    ("CpuRealtimeRuntime", "CPURealtimeRuntime"),
    ("CpuShares", "CPUShares"),
    ("Dns", "DNS"),
    ("DnsOptions", "DNSOptions"),
    ("DnsSearch", "DNSSearch"),
    ("HostIp", "HostIP"),
    ("Id", "ID"),
    ("id", "ID"),
    ("NanoCpus", "NanoCPUs"),
    ("os", "OS"),
    ("os.features", "OSFeatures"),
    ("os.version", "OSVersion"),
    ("urls", "URLs"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::template::Template;

    /// What `docker inspect -f` of docker 28 prints for a container like this one.
    fn check(template: &str, expected: &str) {
        let container = serde_json::json!({
            "Id": "0fdcba",
            "State": { "Running": true, "Pid": 42, "Health": null },
            "HostConfig": {
                "Binds": null,
                "PortBindings": {},
                "CapAdd": ["NET_ADMIN"],
                "Dns": [],
                "CpuShares": 512,
                "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } },
                "PidsLimit": null,
                "Ulimits": [{ "Name": "nofile", "Hard": 20, "Soft": 10 }],
            },
            "Config": {
                "ExposedPorts": { "80/tcp": {} },
                "Labels": { "z": "2", "Big": "1" },
                "Volumes": null,
                "Healthcheck": null,
            },
            "NetworkSettings": {
                "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "4000" }], "81/tcp": null },
            },
            "Descriptor": { "mediaType": "a/b", "digest": "sha256:0", "size": 7 },
        });
        let actual = Template::parse(template, Subject::Document)
            .and_then(|parsed| parsed.render_document(&container))
            .unwrap_or_else(|error| error.to_string());
        assert_eq!(actual, expected, "{template}");
    }

    #[test]
    fn what_is_null_is_printed_as_its_type_is() {
        check("{{.HostConfig.Binds}} {{.Config.Volumes}} {{.HostConfig.PidsLimit}}", "[] map[] <nil>");
        check("{{.State.Health}} {{.Config.Healthcheck}}", "<nil> <nil>");
        check("{{json .HostConfig.Binds}} {{json .HostConfig.Dns}}", "null []");
        check(
            "{{len .HostConfig.Binds}}{{join .HostConfig.Binds \",\"}}{{if .HostConfig.Binds}}x{{end}}",
            "0",
        );
        check("{{range .HostConfig.Binds}}x{{else}}none{{end}}", "none");
        check("{{.Config.Entrypoint}} [{{.Config.User}}] {{.Config.StopTimeout}}", "[] [] <nil>");
    }

    #[test]
    fn structs_are_printed_as_go_prints_them() {
        check("{{.HostConfig.RestartPolicy}}", "{no 0}");
        check("{{ .HostConfig.LogConfig -}} !", "{json-file map[max-size:1m]}!");
        check("{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 4000}] 81/tcp:[]]");
        check("{{.Config.ExposedPorts}} {{.HostConfig.Ulimits}}", "map[80/tcp:{}] [nofile=10:20]");
        check(
            "{{println .HostConfig.RestartPolicy}}{{printf \"%v\" .HostConfig.RestartPolicy}}",
            "{no 0}\n{no 0}",
        );
    }

    #[test]
    fn fields_have_gos_names_and_those_of_the_json() {
        check("{{.ID}} {{.HostConfig.CPUShares}} {{.HostConfig.Binds}}", "0fdcba 512 []");
        // The second time round nothing has a type.
        check("{{.Id}} {{.HostConfig.CpuShares}} {{.HostConfig.Binds}}", "0fdcba 512 <no value>");
        check("{{.Descriptor.MediaType}} {{.Descriptor.Digest}}", "a/b sha256:0");
        check("{{.Descriptor.mediaType}}", "a/b");
        check("{{range $k, $v := .HostConfig.RestartPolicy}}{{$k}} {{end}}", "MaximumRetryCount Name ");
    }

    #[test]
    fn json_keeps_the_order_of_structs_and_sorts_maps() {
        check("{{json .Descriptor}}", r#"{"mediaType":"a/b","digest":"sha256:0","size":7}"#);
        check("{{json .State}}", r#"{"Running":true,"Pid":42}"#);
        check("{{json .Config.Labels}}", r#"{"Big":"1","z":"2"}"#);
        check("{{json .HostConfig.RestartPolicy}}", r#"{"Name":"no","MaximumRetryCount":0}"#);
        check("{{.Id}}{{json .HostConfig.RestartPolicy}}", r#"0fdcba{"MaximumRetryCount":0,"Name":"no"}"#);
    }

    #[test]
    fn only_a_map_may_lack_what_is_named() {
        check("{{.Config.Labels.nope}} {{index .Config.Labels \"nope\"}}", "<no value> ");
        check(
            "{{.Id}}{{.Config.Labels.nope}}",
            "template: :1:16: executing \"\" at <.Config.Labels.nope>: map has no entry for key \"nope\"",
        );
    }

    #[test]
    fn actions_are_adapted_whatever_they_quote() {
        let check = |source: &str, expected: &str| assert_eq!(adapted(source), expected);
        check("a{{.B.C}}d", "a{{.B.C | printed \"C\"}}d");
        check("{{- \"}}\" -}}", "{{- \"}}\" | printed \"\" -}}");
        check("{{/* }} */}}{{$x := .A}}{{$x}}", "{{/* }} */}}{{$x := .A}}{{$x | printed \"\"}}");
        check("{{range .A}}{{.}}{{end}}", "{{range .A | ranged}}{{. | printed \"\"}}{{end}}");
    }
}
