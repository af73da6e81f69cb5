//! `type=tar,dest=x`: values of options that consist of several, written as a line of a CSV file.

/// The fields of `text`. One that holds a comma stands in double quotes, and a double quote in it is written twice.
pub fn fields(text: &str) -> anyhow::Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    anyhow::bail!("bare \" in non-quoted field: {text}");
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => anyhow::bail!("extraneous or missing \" in quoted field: {text}"),
        }
    }
}

/// The fields as `key=value`, keys in lower case.
pub fn pairs(fields: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |field: &String| {
        let (key, value) = field.split_once('=').ok_or_else(|| anyhow::anyhow!("invalid value {field}"))?;
        Ok((key.trim().to_lowercase(), value.to_owned()))
    };
    fields.iter().map(pair).collect()
}

/// A truth value, as Go's `strconv.ParseBool` reads it.
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The field that begins after a quote, and what is behind it.
fn quoted_field(text: &str) -> anyhow::Result<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            anyhow::bail!("extraneous or missing \" in quoted field: {text}");
        };
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_in_quotes_may_hold_commas() {
        for (text, expected) in [
            ("a=b", vec!["a=b"]),
            ("a=b,c", vec!["a=b", "c"]),
            (r#"type=image,"name=a,b",push=true"#, vec!["type=image", "name=a,b", "push=true"]),
            (r#""a""b""#, vec![r#"a"b"#]),
            ("", vec![""]),
            ("a,", vec!["a", ""]),
        ] {
            assert_eq!(fields(text).expect(text), expected, "{text}");
        }
        for text in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert!(fields(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pair_without_a_value_is_refused() {
        assert_eq!(pairs(&["Type=x=y".into()]).expect("pair"), [("type".to_owned(), "x=y".to_owned())]);
        assert_eq!(pairs(&["x".into()]).expect_err("no pair").to_string(), "invalid value x");
    }
}
