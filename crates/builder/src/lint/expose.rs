//! Ports are numbers with a protocol in small letters: ExposeInvalidFormat, ExposeProtoCasing.

use super::{
    Findings, Visit,
    rule::{EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING},
};
use crate::parse::words;

/// BuildKit sorts ports as they are written before it reads them.
pub fn check(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    if visit.statement.name() != "EXPOSE" {
        return;
    }
    let mut written = words::plain(&visit.statement.arguments);
    written.sort_by(|one, other| one.text.cmp(&other.text));
    for port in written.iter().flat_map(|word| visit.expand_words(word)) {
        if port.contains(':') {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            );
            visit.add(&EXPOSE_INVALID_FORMAT, message, findings);
        }
        let protocol = port.split_once('/').map_or("", |(_, protocol)| protocol);
        if protocol != protocol.to_lowercase() {
            let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            visit.add(&EXPOSE_PROTO_CASING, message, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn protocols_are_lower_case_and_ports_are_the_containers() {
        let mapping = |port: &str| {
            format!(
                "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, \
                 found '{port}' (line 3)"
            )
        };
        let casing = |port: &str| {
            format!(
                "ExposeProtoCasing: Defined protocol '{port}' in EXPOSE instruction should be lowercase (line 3)"
            )
        };
        check(
            "FROM scratch\nENV p=1/Tcp\nEXPOSE 80/UDP 127.0.0.1:80:80 90:90 70 $p",
            &[
                casing("1/Tcp").as_str(),
                mapping("127.0.0.1:80:80").as_str(),
                casing("80/UDP").as_str(),
                mapping("90:90").as_str(),
            ],
        );
    }
}
