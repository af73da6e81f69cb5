//! `history`: how an image came about.

use std::process::ExitCode;

use clap::Args;
use engine::image::HistoryEntry;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use types::Platform;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// Show the history of an image
#[derive(Args)]
pub struct History {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, default_value = "true")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long)]
    platform: Option<Platform>,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    image: String,
}

impl Verb for History {
    const NAMES: &'static [&'static str] = &["image history", "history"];
    const USAGE: &'static str = "[OPTIONS] IMAGE";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let columns = if self.human { COLUMNS } else { WITH_TIMES };
        let format = Format::parse(self.format.as_deref(), columns)?;
        let engine = session::open(globals)?;
        let image = engine.image_for(&self.image, self.platform.as_ref())?;
        let id = image.id.to_string();
        let id = if self.no_trunc { id.as_str() } else { human::short_id(&id) };
        // Of the steps before the last, no images are kept.
        let ids = std::iter::once(id).chain(std::iter::repeat("<missing>"));
        let entries = engine.history(&image)?;
        if self.quiet {
            entries.iter().zip(ids).for_each(|(_, id)| println!("{id}"));
            return Ok(ExitCode::SUCCESS);
        }
        let now = Timestamp::now();
        let rows: Vec<Row> = entries.iter().zip(ids).map(|(entry, id)| self.row(entry, id, now)).collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

impl History {
    fn row(&self, entry: &HistoryEntry, id: &str, now: Timestamp) -> Row {
        let created_by = entry.created_by.replace('\t', " ");
        let created_by = if self.no_trunc { created_by } else { human::ellipsis(&created_by, 45) };
        let (created_at, created_since) = match entry.created {
            Some(at) => (time(at), if self.human { human::since(at, now) } else { time(at) }),
            None => ("N/A".to_owned(), "N/A".to_owned()),
        };
        let size = if self.human { human::size(entry.size, 3) } else { entry.size.to_string() };
        Row {
            fields: vec![
                ("ID", json!(id)),
                ("CreatedAt", json!(created_at)),
                ("CreatedSince", json!(created_since)),
                ("CreatedBy", json!(created_by)),
                ("Size", json!(size)),
                ("Comment", json!(entry.comment)),
            ],
            labels: None,
        }
    }
}

/// An instant to the second, in the local time zone, as RFC 3339 has it.
fn time(at: Timestamp) -> String {
    let local = at.to_zoned_datetime(TimeZone::system());
    let text = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map(|time| format!("{time}Z")).unwrap_or(text)
}

const COLUMNS: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
const WITH_TIMES: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];

const FIELDS: Fields = &[
    ("ID", "IMAGE"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

#[cfg(test)]
mod tests {
    use types::Digest;

    use super::*;

    /// What `docker history` of docker 28 prints for such an image.
    fn check(human: bool, no_trunc: bool, expected: &str) {
        let now: Timestamp = "2026-11-24T00:17:17Z".parse().unwrap();
        let entry = |created: &str, created_by: &str, size: u64| HistoryEntry {
            created: created.parse().ok(),
            created_by: created_by.to_owned(),
            comment: String::new(),
            adds_layer: size > 0,
            size,
        };
        let copy = format!("/bin/sh -c #(nop) COPY file:{} in /x ", Digest::of(b"x").hex());
        let entries = [
            entry("2026-11-24T00:17:17Z", "/bin/sh -c #(nop)  CMD [\"sh\"]", 0),
            entry("2026-11-24T00:17:17Z", &copy, 61),
            entry("2023-11-14T22:13:20Z", "Debian's\tbusybox-static", 1_982_549),
            entry("", "", 0),
        ];
        let history =
            History { format: None, human, no_trunc, platform: None, quiet: false, image: String::new() };
        let format = Format::parse(None, if human { COLUMNS } else { WITH_TIMES }).unwrap();
        let ids = ["9d3d2d698d41", "<missing>", "<missing>", "<missing>"];
        let rows: Vec<Row> = entries.iter().zip(ids).map(|(entry, id)| history.row(entry, id, now)).collect();
        assert_eq!(format.show(FIELDS, &rows).unwrap(), expected);
    }

    #[test]
    fn the_table_is_dockers() {
        check(
            true,
            false,
            "\
IMAGE          CREATED                  CREATED BY                                      SIZE      COMMENT
9d3d2d698d41   Less than a second ago   /bin/sh -c #(nop)  CMD [\"sh\"]                   0B        \n\
<missing>      Less than a second ago   /bin/sh -c #(nop) COPY file:2d711642b726b044…   61B       \n\
<missing>      3 years ago              Debian's busybox-static                         1.98MB    \n\
<missing>      N/A                                                                      0B        \n",
        );
    }

    #[test]
    fn exact_times_and_sizes_are_dockers() {
        check(
            false,
            true,
            "\
IMAGE          CREATED AT             CREATED BY                                                                                            SIZE      COMMENT
9d3d2d698d41   2026-11-24T00:17:17Z   /bin/sh -c #(nop)  CMD [\"sh\"]                                                                         0         \n\
<missing>      2026-11-24T00:17:17Z   /bin/sh -c #(nop) COPY file:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 in /x    61        \n\
<missing>      2023-11-14T22:13:20Z   Debian's busybox-static                                                                               1982549   \n\
<missing>      N/A                                                                                                                          0         \n",
        );
    }
}
