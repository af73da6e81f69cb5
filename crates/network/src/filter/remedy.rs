//! What to tell the host's firewall so that it lets something through, in the words of the tool that is in charge of it.

use super::{
    explain::{Obstacle, Published, Way},
    rule::{Filters, Kind, Table},
    walk::Reason,
};

impl Filters {
    /// How to open `published` where `reason` has it closed.
    pub fn to_open(&self, published: &Published, reason: &Reason) -> Option<String> {
        let (port, protocol) = (published.host_port, published.protocol);
        let rule = format!("-p {protocol} --dport {port} -j ACCEPT");
        let (table, chain) = reason.place()?;
        Some(match self.tool(table) {
            Tool::Ufw => format!("`ufw allow {port}/{protocol}`"),
            Tool::Firewalld => {
                format!("`firewall-cmd --add-port={port}/{protocol}`, and the same with --permanent")
            }
            Tool::Iptables(program) => format!("`{program} -I INPUT {rule}`"),
            Tool::Nft => format!("`nft insert rule {table} {chain} {protocol} dport {port} accept`"),
        })
    }

    /// How to clear `obstacle` out of the way of `published`.
    pub fn to_clear(&self, published: &Published, obstacle: &Obstacle) -> Option<String> {
        let bridge = &published.bridge;
        let (table, chain) = obstacle.verdict.reason.place()?;
        let is_policy = matches!(obstacle.verdict.reason, Reason::Policy { .. });
        let (direction, hook) = match obstacle.way {
            Way::First => ("-o", "OUTPUT"),
            Way::In => ("-o", "FORWARD"),
            Way::Out => ("-i", "FORWARD"),
        };
        Some(match (self.tool(table), obstacle.way) {
            (_, Way::In | Way::Out) if is_policy => {
                format!("the next start of a container on {bridge} adds what is missing")
            }
            (Tool::Ufw, Way::First) => format!("`ufw allow out on {bridge}`"),
            (Tool::Firewalld, _) => {
                format!(
                    "`firewall-cmd --zone=trusted --add-interface={bridge}`, and the same with --permanent"
                )
            }
            (Tool::Iptables(program), _) => format!("`{program} -I {hook} {direction} {bridge} -j ACCEPT`"),
            (Tool::Ufw, _) => format!("`iptables -I FORWARD {direction} {bridge} -j ACCEPT`"),
            (Tool::Nft, way) => {
                let name = if way == Way::Out { "iifname" } else { "oifname" };
                format!("`nft insert rule {table} {chain} {name} {bridge} accept`")
            }
        })
    }

    fn tool(&self, table: &Table) -> Tool {
        let is_iptables = table.name == "filter" && matches!(table.kind, Kind::Ip | Kind::Ip6);
        let has_ufw = || {
            let mut chains = self.chains.iter().filter(|chain| chain.table == *table);
            chains.any(|chain| chain.name.starts_with("ufw-") || chain.name.starts_with("ufw6-"))
        };
        match table.kind {
            _ if table.name == "firewalld" => Tool::Firewalld,
            Kind::Ip | Kind::Ip6 if has_ufw() => Tool::Ufw,
            Kind::Ip if is_iptables => Tool::Iptables("iptables"),
            Kind::Ip6 if is_iptables => Tool::Iptables("ip6tables"),
            _ => Tool::Nft,
        }
    }
}

/// Who is in charge of a table.
enum Tool {
    Ufw,
    Firewalld,
    Iptables(&'static str),
    Nft,
}

impl Reason {
    fn place(&self) -> Option<(&Table, &str)> {
        match self {
            Reason::Rule { table, chain, .. } | Reason::Policy { table, chain } => Some((table, chain)),
            Reason::NoRules => None,
        }
    }
}
