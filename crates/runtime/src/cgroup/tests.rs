use super::*;

/// Limits as a runtime specification writes them.
pub(super) fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}
