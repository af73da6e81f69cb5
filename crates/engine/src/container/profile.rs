//! Seccomp profiles in docker's format, which depend on the capabilities, the kernel and the machine.

use std::collections::HashSet;

use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use serde_json::{Value, json};

use crate::error::EngineError;

/// The profile for a container with these capabilities on this machine.
pub(super) fn resolve(text: &str, capabilities: &Capabilities) -> Result<LinuxSeccomp, EngineError> {
    let granted = capabilities.iter().filter_map(|capability| match serde_json::to_value(capability) {
        Ok(Value::String(name)) => Some(name),
        _ => None,
    });
    let kernel = rustix::system::uname();
    let here = Here {
        capabilities: granted.collect(),
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        native: match std::env::consts::ARCH {
            "x86_64" => "SCMP_ARCH_X86_64",
            "aarch64" => "SCMP_ARCH_AARCH64",
            _ => "SCMP_ARCH_NATIVE",
        },
        kernel: version(&kernel.release().to_string_lossy()),
    };
    let profile = serde_json::from_str(text)
        .map_err(|error| EngineError::Invalid(format!("Decoding seccomp profile failed: {error}")))?;
    let plain = here.plain(profile)?;
    serde_json::from_value(plain)
        .map_err(|error| EngineError::Invalid(format!("Decoding seccomp profile failed: {error}")))
}

/// What the conditions of a profile are about.
struct Here {
    capabilities: HashSet<String>,
    /// As docker calls it, and as libseccomp does.
    architecture: &'static str,
    native: &'static str,
    kernel: (u64, u64),
}

impl Here {
    /// The profile as the runtime specification has it: without conditions.
    fn plain(&self, profile: Value) -> Result<Value, EngineError> {
        let list = |key: &str| profile[key].as_array().filter(|list| !list.is_empty());
        let mut plain = json!({ "defaultAction": profile["defaultAction"] });
        for key in ["defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"] {
            if !profile[key].is_null() {
                plain[key] = profile[key].clone();
            }
        }
        match (list("architectures"), list("archMap")) {
            (Some(_), Some(_)) => {
                return Err(EngineError::Invalid(
                    "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' \
                     or 'archMap'"
                        .to_owned(),
                ));
            }
            (Some(architectures), None) => plain["architectures"] = json!(architectures),
            (None, Some(map)) => {
                if let Some(own) = map.iter().find(|entry| entry["architecture"] == self.native) {
                    let further = own["subArchitectures"].as_array().cloned().unwrap_or_default();
                    let own = [own["architecture"].clone()];
                    plain["architectures"] = own.into_iter().chain(further).collect();
                }
            }
            (None, None) => {}
        }
        let mut calls = Vec::new();
        for rule in list("syscalls").into_iter().flatten() {
            let both = rule["name"].is_string() && rule["names"].is_array();
            if both {
                return Err(EngineError::Invalid(
                    "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
                        .to_owned(),
                ));
            }
            if !self.applies(rule) {
                continue;
            }
            let names = if rule["name"].is_string() { json!([rule["name"]]) } else { rule["names"].clone() };
            let mut call = json!({ "names": names, "action": rule["action"] });
            for key in ["errnoRet", "args"] {
                if !rule[key].is_null() {
                    call[key] = rule[key].clone();
                }
            }
            calls.push(call);
        }
        plain["syscalls"] = Value::Array(calls);
        Ok(plain)
    }

    fn applies(&self, rule: &Value) -> bool {
        let names = |of: &Value| -> Vec<String> {
            let words = of.as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
        let has = |capability: &String| self.capabilities.contains(capability);
        let is_here = |architecture: &String| architecture == self.architecture;
        let is_new_enough =
            |of: &Value| of["minKernel"].as_str().is_none_or(|least| self.kernel >= version(least));
        let architectures = names(&includes["arches"]);
        !(names(&excludes["caps"]).iter().any(has)
            || names(&excludes["arches"]).iter().any(is_here)
            || (excludes["minKernel"].is_string() && is_new_enough(excludes)))
            && names(&includes["caps"]).iter().all(has)
            && (architectures.is_empty() || architectures.iter().any(is_here))
            && is_new_enough(includes)
    }
}

/// The first two numbers of a kernel's version.
fn version(text: &str) -> (u64, u64) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the calls that have rules with CAP_CHOWN on Linux 5.10 of an amd64.
    fn check(rules: &str, expected: &[&str]) {
        let here = Here {
            capabilities: ["CAP_CHOWN".to_owned()].into(),
            architecture: "amd64",
            native: "SCMP_ARCH_X86_64",
            kernel: (5, 10),
        };
        let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {rules}}}"#);
        let plain = here.plain(serde_json::from_str(&profile).unwrap()).unwrap();
        let parsed: LinuxSeccomp = serde_json::from_value(plain).unwrap();
        let names: Vec<_> = parsed.syscalls().iter().flatten().flat_map(|call| call.names()).collect();
        assert_eq!(names, expected, "{rules}");
    }

    #[test]
    fn rules_apply_where_their_conditions_do() {
        let rule =
            |condition: &str| format!(r#"[{{"names": ["a"], "action": "SCMP_ACT_ERRNO"{condition}}}]"#);
        check(&rule(""), &["a"]);
        for (condition, applies) in [
            (r#""includes": {"caps": ["CAP_CHOWN"]}"#, true),
            (r#""includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}"#, false),
            (r#""excludes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}"#, false),
            (r#""excludes": {"caps": ["CAP_SYS_ADMIN"]}"#, true),
            (r#""includes": {"arches": ["amd64", "x32"]}"#, true),
            (r#""includes": {"arches": ["arm64"]}"#, false),
            (r#""excludes": {"arches": ["amd64"]}"#, false),
            (r#""includes": {"minKernel": "4.8"}"#, true),
            (r#""includes": {"minKernel": "5.11"}"#, false),
            (r#""excludes": {"minKernel": "5.10"}"#, false),
            (r#""includes": {}, "excludes": {}, "comment": """#, true),
        ] {
            check(&rule(&format!(", {condition}")), if applies { &["a"] } else { &[] });
        }
    }

    #[test]
    fn a_rule_may_be_for_one_name() {
        check(r#"[{"name": "b", "action": "SCMP_ACT_ERRNO", "args": []}]"#, &["b"]);
    }
}
