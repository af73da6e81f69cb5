//! Listings and `--format`: tables, tables by template, JSON lines, lines by template.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{
    human, table,
    template::{LABELS, Subject, Template, from_json},
};

/// What a listing's rows consist of: each field's name in templates and its header in tables.
pub type Fields = &'static [(&'static str, &'static str)];

/// One line of a listing: its fields in the order of [`Fields`].
#[derive(Default, Clone)]
pub struct Row {
    pub fields: Vec<(&'static str, Json)>,
    /// For `{{.Label "key"}}`, where the thing listed has labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// How a listing is printed, as `--format` says.
pub enum Format {
    /// A table with these columns.
    Table(Vec<&'static str>),
    /// A table whose columns are made by a template: for the rows, and for the header.
    TableBy(Template, Template),
    /// A line of JSON for each row.
    Json,
    /// A line for each row.
    Lines(Template),
}

impl Format {
    /// Understands `table`, `table TEMPLATE`, `json` and `TEMPLATE`; without any of them it is a table of
    /// `columns`.
    pub fn parse(format: Option<&str>, columns: &[&'static str]) -> anyhow::Result<Format> {
        let format = format.unwrap_or("table");
        let template = format.strip_prefix("table").unwrap_or(format);
        let template = template.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        match format {
            _ if template.is_empty() => Ok(Format::Table(columns.to_vec())),
            "json" => Ok(Format::Json),
            _ if format.starts_with("table") => {
                Ok(Format::TableBy(parse(&template, Subject::Row)?, parse(&template, Subject::Headers)?))
            }
            _ => parse(&template, Subject::Row).map(Format::Lines),
        }
    }

    /// Whether the output may show `field`, so that what is dear to compute can be left out.
    pub fn shows(&self, field: &str) -> bool {
        match self {
            Format::Table(columns) => columns.contains(&field),
            Format::TableBy(template, _) | Format::Lines(template) => template.mentions(field),
            Format::Json => false,
        }
    }

    /// The whole listing.
    pub fn show(&self, fields: Fields, rows: &[Row]) -> anyhow::Result<String> {
        match self {
            Format::Table(columns) => {
                let header = |column: &&str| {
                    let field = fields.iter().find(|(name, _)| name == column);
                    field.expect("columns are chosen from the fields").1
                };
                let header: Vec<&str> = columns.iter().map(header).collect();
                let rows: Vec<Vec<String>> =
                    rows.iter().map(|row| columns.iter().map(|column| row.cell(column)).collect()).collect();
                Ok(table::table(&header, &rows))
            }
            Format::TableBy(template, header) => {
                let names = fields.iter().map(|(name, header)| (*name, Json::from(*header)));
                let names = Row { fields: names.collect(), labels: None };
                let mut text = header.render_what_is_possible(names.value()) + "\n";
                text.push_str(&lines(template, rows)?);
                Ok(table::align(&text, table::MINIMUM_WIDTH))
            }
            Format::Json => lines(&parse("{{json .}}", Subject::Row)?, rows),
            Format::Lines(template) => lines(template, rows),
        }
    }
}

fn parse(template: &str, subject: Subject) -> anyhow::Result<Template> {
    Template::parse(template, subject).map_err(|error| anyhow::anyhow!("failed to parse template: {error}"))
}

fn lines(template: &Template, rows: &[Row]) -> anyhow::Result<String> {
    let line = |row: &Row| match template.render(row.value()) {
        Ok(line) => Ok(line + "\n"),
        Err(error) => Err(anyhow::anyhow!("failed to execute template: {error}")),
    };
    rows.iter().map(line).collect()
}

impl Row {
    fn cell(&self, column: &str) -> String {
        match self.fields.iter().find(|(name, _)| *name == column) {
            Some((_, Json::String(text))) => human::visible(text),
            Some((_, Json::Null)) | None => String::new(),
            Some((_, other)) => other.to_string(),
        }
    }

    fn value(&self) -> gtmpl_ng::Value {
        let fields = self.fields.iter().map(|(name, value)| ((*name).to_owned(), from_json(value)));
        let labels = self.labels.as_ref().map(|labels| {
            let labels = labels.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
            (LABELS.to_owned(), gtmpl_ng::Value::Map(labels.collect()))
        });
        gtmpl_ng::Value::Object(fields.chain(labels).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields = &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Names", "NAMES"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Platform", "PLATFORM"),
    ];

    fn row(id: &str, image: &str, names: &str, ports: &str, state: &str, labels: &[(&str, &str)]) -> Row {
        let text = [("ID", id), ("Image", image), ("Names", names), ("Ports", ports), ("State", state)];
        let mut fields: Vec<_> = text.into_iter().map(|(name, value)| (name, value.into())).collect();
        fields.push(("Platform", Json::Null));
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Row { fields, labels: Some(labels.collect()) }
    }

    /// What `docker ps --format` of docker 28 prints for such containers.
    fn check(format: &str, expected: &str) {
        let rows = [
            row("0fdcba987654", "friendlyhello", "web", "0.0.0.0:4000->80/tcp", "running", &[]),
            row("1fdcba987654", "busybox", "x", "", "exited", &[("com.example.my-key", "1")]),
        ];
        let actual =
            Format::parse(Some(format), &["ID", "Names", "Ports"]).and_then(|f| f.show(FIELDS, &rows));
        assert_eq!(actual.unwrap_or_else(|error| error.to_string()), expected, "{format}");
    }

    #[test]
    fn a_table_shows_the_default_columns() {
        let expected = "CONTAINER ID   NAMES     PORTS\n\
                        0fdcba987654   web       0.0.0.0:4000->80/tcp\n\
                        1fdcba987654   x         \n";
        check("", expected);
        check("table", expected);
        check(" table ", " table\n table\n".replace(' ', "").as_str());
    }

    #[test]
    fn a_table_by_template_gets_headers_untouched_by_functions() {
        check(
            r"table{{.Names}}\t{{upper .State}}\t{{pad .Image 2 3}}|{{truncate .ID 5}}\t{{json .Names}}",
            "NAMES     STATE       IMAGE   |CONTAINER ID    NAMES\n\
             web       RUNNING     friendlyhello   |0fdcb   \"web\"\n\
             x         EXITED      busybox   |1fdcb         \"x\"\n",
        );
        check(
            r#"table {{.Names | upper}} {{join (split .Names "e") "-"}} {{.Label "com.example.my-key"}}"#,
            "NAMES NAMES my key\nWEB w-b \nX x 1\n",
        );
    }

    #[test]
    fn headers_end_where_they_make_no_sense() {
        check(
            r#"table {{.Names}}: {{range split .Ports ","}}{{println .}}{{end}}"#,
            "NAMES: \nweb: 0.0.0.0:4000->80/tcp\n\nx: \n\n",
        );
    }

    #[test]
    fn json_has_sorted_keys_and_is_safe_in_a_web_page() {
        let expected = concat!(
            r#"{"ID":"0fdcba987654","Image":"friendlyhello","Names":"web","Platform":null,"#,
            r#""Ports":"0.0.0.0:4000-\u003e80/tcp","State":"running"}"#,
            "\n",
            r#"{"ID":"1fdcba987654","Image":"busybox","Names":"x","Platform":null,"Ports":"","State":"exited"}"#,
            "\n",
        );
        check("json", expected);
        check("{{json .}}", expected);
        check("{{json .Ports}}", "\"0.0.0.0:4000->80/tcp\"\n\"\"\n");
    }

    #[test]
    fn a_template_makes_lines_that_are_not_aligned() {
        check(r"x\ty{{.Names}}", "x\tyweb\nx\tyx\n");
        check(r#"{{.Label "com.example.my-key"}}"#, "\n1\n");
    }

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let error = "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope";
        check("{{.Nope}}", error);
        check("table {{.Nope}}", error);
        check("{{.ID", "failed to parse template: template: :1: unclosed action");
    }

    #[test]
    fn a_format_knows_what_it_shows() {
        let shows = |format, field| Format::parse(format, &["ID"]).unwrap().shows(field);
        assert!(shows(None, "ID") && !shows(None, "Size"));
        assert!(shows(Some("{{.Size}}"), "Size") && !shows(Some("table {{.ID}}"), "Size"));
    }
}
