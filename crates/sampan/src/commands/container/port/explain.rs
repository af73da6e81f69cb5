//! `port --explain`: who reaches published ports, and which rule says so.

use std::process::ExitCode;

use engine::{
    container::{Container, ExplainedPort, Surroundings},
    filter::{Decision, Explanation, Filters, HostInterface, Obstacle, Published, Reach, Verdict, Way},
};
use serde_json::{Value, json};

use super::{Wanted, addresses};
use crate::{
    output::{human, json::View},
    report,
};

/// Prints what is to be said of the ports of `containers`, or of the one `port` of theirs.
pub fn run(
    containers: &[Container],
    port: Option<&Wanted<'_>>,
    format: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let view = format.map(|format| View::parse(Some(format))).transpose()?;
    let surroundings = Surroundings::read()?;
    let mut documents = Vec::new();
    for container in containers {
        for explained in container.explain_ports(&surroundings)? {
            if port.is_some_and(|port| !port.is(explained.publish.container)) {
                continue;
            }
            match view {
                Some(_) => {
                    documents.push(document(&container.name.to_string(), &explained, &surroundings.filters))
                }
                None => print!("{}", text(&container.name.to_string(), &explained, &surroundings.filters)),
            }
        }
    }
    if surroundings.has_legacy {
        eprintln!("warning: iptables-legacy has rules as well: they are obeyed, and not known here");
        report::advise("`iptables-legacy -S` and `ip6tables-legacy -S` show them");
    }
    if let Some(view) = view {
        print!("{}", view.show(&documents)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for the port, and one for each thing to be said of it.
fn text(container: &str, port: &ExplainedPort, filters: &Filters) -> String {
    let bound = addresses(&port.publish).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("{container}  {} -> {bound}\n", port.publish.container);
    let Some((published, explanation)) = &port.explained else {
        return text + "  the network does not say\n";
    };
    let mut lines = vec![("this host".to_owned(), "open: it asks nobody".to_owned())];
    if explanation.reach.is_empty() {
        lines.push(("others".to_owned(), "closed: no address that others reach".to_owned()));
    }
    for reach in &explanation.reach {
        for verdict in &reach.verdicts {
            lines.push((place(reach), sentence(verdict)));
            lines.extend(to_open(filters, published, verdict).map(|open| (String::new(), open)));
        }
    }
    for obstacle in &explanation.obstacles {
        lines.push((format!("in the way by {}", obstacle.interface.name), hindrance(obstacle)));
        let clear = filters.to_clear(published, obstacle).map(|clear| format!("to mend it: {clear}"));
        lines.extend(clear.map(|clear| (String::new(), clear)));
    }
    let width = lines.iter().map(|(place, _)| place.len()).max().unwrap_or(0);
    for (at, (place, said)) in lines.iter().enumerate() {
        let before = lines[..at].iter().rev().map(|(place, _)| place).find(|place| !place.is_empty());
        let place = if before == Some(place) { "" } else { place };
        text += &format!("  {place:<width$}  {}\n", human::visible(said));
    }
    text
}

/// By which way somebody comes.
fn place(reach: &Reach) -> String {
    let HostInterface { name, is_bridge, .. } = &reach.interface;
    let addresses: Vec<String> = reach.addresses.iter().map(ToString::to_string).collect();
    let who = if *is_bridge { "containers on " } else { "" };
    format!("{who}{name} ({})", addresses.join(", "))
}

fn sentence(Verdict { sources, decision, reason }: &Verdict) -> String {
    let word = match decision {
        Decision::Accepted => "open to",
        Decision::Dropped => "closed to",
        Decision::Rejected => "refused to",
        Decision::Unknown => "cannot be told for",
    };
    format!("{word} {sources}: {reason}")
}

fn to_open(filters: &Filters, published: &Published, verdict: &Verdict) -> Option<String> {
    let is_closed = matches!(verdict.decision, Decision::Dropped | Decision::Rejected);
    let open = filters.to_open(published, &verdict.reason).filter(|_| is_closed)?;
    Some(format!("to open it: {open}"))
}

fn hindrance(Obstacle { way, verdict, .. }: &Obstacle) -> String {
    let what = match way {
        Way::First => "the first packet to the container",
        Way::In => "packets to the container",
        Way::Out => "answers",
    };
    let verb = match verdict.decision {
        Decision::Unknown => "may be dropped",
        _ => "dropped",
    };
    format!("{what} {verb}: {}", verdict.reason)
}

fn document(container: &str, port: &ExplainedPort, filters: &Filters) -> Value {
    let verdict = |verdict: &Verdict| {
        json!({
            "Sources": verdict.sources.to_string(),
            "Decision": format!("{:?}", verdict.decision).to_lowercase(),
            "Reason": verdict.reason.to_string(),
        })
    };
    let (reach, obstacles) = match &port.explained {
        None => (Vec::new(), Vec::new()),
        Some((published, Explanation { reach, obstacles })) => {
            let reach = reach.iter().map(|reach| {
                json!({
                    "Interface": reach.interface.name,
                    "Containers": reach.interface.is_bridge,
                    "Addresses": reach.addresses,
                    "Verdicts": reach.verdicts.iter().map(verdict).collect::<Vec<_>>(),
                })
            });
            let obstacles = obstacles.iter().map(|obstacle| {
                json!({
                    "Interface": obstacle.interface.name,
                    "Way": format!("{:?}", obstacle.way).to_lowercase(),
                    "Verdict": verdict(&obstacle.verdict),
                    "Remedy": filters.to_clear(published, obstacle).unwrap_or_default(),
                })
            });
            (reach.collect(), obstacles.collect())
        }
    };
    json!({
        "Container": container,
        "ContainerPort": port.publish.container.to_string(),
        "HostAddresses": addresses(&port.publish),
        "Reach": reach,
        "Obstacles": obstacles,
    })
}
