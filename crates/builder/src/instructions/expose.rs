//! EXPOSE: ports the image's processes listen on.

use std::net::IpAddr;

use types::Port;

use super::{Instruction, some_arguments};
use crate::{
    diagnostic::Problem,
    history,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct Expose(Vec<Word>);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    let mut ports = words::plain(some_arguments(statement)?);
    // The history of an image shows that BuildKit sorts them as they are written.
    ports.sort_by(|one, other| one.text.cmp(&other.text));
    Ok(Box::new(Expose(ports)))
}

impl Instruction for Expose {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut ports = Vec::new();
        for word in &self.0 {
            for text in planner.expand_words(word)? {
                let exposed = exposed(&text).map_err(|message| Problem::new(message, word.span.clone()))?;
                ports.extend(exposed.iter().map(Port::to_string));
            }
        }
        let created_by = format!("EXPOSE {}", history::plain_list(&ports));
        planner.config(&at.span)?.exposed_ports.0.extend(ports);
        Ok(planner.configured(at, created_by)?)
    }
}

/// The container's ports in `[[ip:]hostPort:]containerPort[-end][/protocol]`; what is the host's means nothing here,
/// and is still to be right. Errors are in BuildKit's words.
fn exposed(text: &str) -> Result<Vec<Port>, String> {
    let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (numbers, protocol) = container.split_once('/').unwrap_or((container, ""));
    let protocol = protocol.to_lowercase();
    if numbers.is_empty() {
        return Err(format!("invalid port: {text:?}: no port specified"));
    }
    if !matches!(protocol.as_str(), "" | "tcp" | "udp" | "sctp") {
        return Err(format!("invalid port: {text:?}: invalid proto: {protocol}"));
    }
    let address = address.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    let ports = Port::parse_range(&format!("{numbers}/{protocol}")).map_err(|error| error.to_string())?;
    if !host.is_empty() {
        let host_ports = Port::parse_range(host).map_err(|_| format!("invalid hostPort: {host}"))?;
        if ports.len() > 1 && ports.len() != host_ports.len() {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {numbers} and {host}"
            ));
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn ports_have_a_protocol_and_may_be_ranges() {
        check_history("EXPOSE 80", "EXPOSE [80/tcp]");
        check_history("ENV P=53/udp\nEXPOSE 8080 $P", "EXPOSE [53/udp 8080/tcp]");
        check_history("EXPOSE 7000-7001", "EXPOSE [7000/tcp 7001/tcp]");
    }

    #[test]
    fn what_is_the_hosts_is_left_out() {
        check_history(
            "EXPOSE 127.0.0.1:8080:80 [::1]:1:2 90:91/UDP 5/",
            "EXPOSE [80/tcp 5/tcp 91/udp 2/tcp]",
        );
    }

    #[test]
    fn what_is_no_port_is_refused() {
        check_problem("EXPOSE web", "invalid containerPort: web");
        check_problem("EXPOSE 80/icmp", "invalid port: \"80/icmp\": invalid proto: icmp");
        check_problem("EXPOSE /tcp", "invalid port: \"/tcp\": no port specified");
        check_problem("EXPOSE 99999", "invalid containerPort: 99999");
        check_problem("EXPOSE 9-8", "invalid containerPort: 9-8");
        check_problem("EXPOSE a:1", "invalid hostPort: a");
        check_problem("EXPOSE 1.2.3:80:80", "invalid IP address: 1.2.3");
        check_problem("EXPOSE 1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3");
        check_problem("EXPOSE", "EXPOSE requires at least one argument");
    }
}
