//! PAX extended headers: records of `LENGTH KEY=VALUE\n` that override an entry's plain header.

use super::{Time, field::Malformed};

/// What the records of one extended header say. `None`: nothing, the plain header counts.
#[derive(Default)]
pub struct Overrides {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// GNU's sparse format 1.0: the name and the size the file really has.
    pub sparse: Option<Sparse>,
}

/// What PAX says of a file with holes.
#[derive(Default)]
pub struct Sparse {
    major: Option<u64>,
    minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
}

impl Overrides {
    /// Reads all records of an extended header.
    pub fn parse(content: &[u8]) -> Result<Overrides, Malformed> {
        let mut all = Overrides::default();
        for record in records(content) {
            let (key, value) = record?;
            all.take(key, value)?;
        }
        match &all.sparse {
            Some(Sparse { major: Some(1), minor: Some(0), size: Some(_), .. }) | None => Ok(all),
            Some(_) => Err("a sparse file in a format other than GNU 1.0"),
        }
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        // An empty value takes an override back.
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let no_nul = |text: Option<Vec<u8>>| match text {
            Some(text) if text.contains(&0) => Err("a name with a NUL in it"),
            text => Ok(text),
        };
        match key {
            b"path" => self.path = no_nul(text())?,
            b"linkpath" => self.link = no_nul(text())?,
            b"size" => self.size = Some(size(value)?),
            b"uid" => self.uid = Some(id(value)?),
            b"gid" => self.gid = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse().major = Some(size(value)?),
            b"GNU.sparse.minor" => self.sparse().minor = Some(size(value)?),
            b"GNU.sparse.realsize" => self.sparse().size = Some(size(value)?),
            b"GNU.sparse.name" => self.sparse().name = no_nul(text())?,
            b"atime" | b"ctime" | b"uname" | b"gname" | b"comment" | b"charset" | b"hdrcharset" => {}
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err("a sparse file in a format other than GNU 1.0");
            }
            _ => match key.strip_prefix(b"SCHILY.xattr.") {
                Some(b"") => return Err("an extended attribute without a name"),
                Some(name) if name.contains(&0) => {
                    return Err("an extended attribute with a NUL in its name");
                }
                Some(name) => {
                    self.xattrs.retain(|(other, _)| other != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
                None if is_vendors(key) => {}
                None => return Err("an extended header record of unknown meaning"),
            },
        }
        Ok(())
    }

    fn sparse(&mut self) -> &mut Sparse {
        self.sparse.get_or_insert_default()
    }
}

/// Checks that a header for all following entries changes nothing that we would have to honour.
pub fn check_global(content: &[u8]) -> Result<(), Malformed> {
    for record in records(content) {
        let (key, _) = record?;
        let harmless = is_vendors(key) && !key.starts_with(b"GNU.sparse.");
        if !harmless && !matches!(key, b"comment" | b"charset" | b"hdrcharset" | b"atime" | b"ctime") {
            return Err("a global extended header that changes entries");
        }
    }
    Ok(())
}

/// Keys with a dot belong to some vendor and may be passed over; those without are POSIX's.
fn is_vendors(key: &[u8]) -> bool {
    key.contains(&b'.')
}

fn records(mut content: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Malformed>> {
    std::iter::from_fn(move || {
        if content.is_empty() {
            return None;
        }
        let record = split_record(content).ok_or("a broken extended header");
        content = record.map_or(&[], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)))
    })
}

fn split_record(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = content.iter().take(9).position(|b| *b == b' ')?;
    let length = usize::try_from(number(&content[..digits])?).ok()?;
    if length <= digits + 1 || length > content.len() {
        return None;
    }
    let (record, rest) = content.split_at(length);
    let record = record[digits + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn size(value: &[u8]) -> Result<u64, Malformed> {
    number(value).filter(|n| i64::try_from(*n).is_ok()).ok_or("an impossible size")
}

fn id(value: &[u8]) -> Result<u32, Malformed> {
    number(value).and_then(super::field::id).ok_or("an impossible owner")
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `[-]seconds[.fraction]`
fn time(value: &[u8]) -> Result<Time, Malformed> {
    let parse = || {
        let (negative, digits) = match value.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, value),
        };
        let dot = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
        let seconds = i64::try_from(number(&digits[..dot])?).ok()?;
        let fraction = digits.get(dot + 1..).unwrap_or_default();
        let nanoseconds =
            fraction.iter().chain(std::iter::repeat(&b'0')).take(9).try_fold(0, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
            })?;
        Some(match (negative, nanoseconds) {
            (false, _) => Time { seconds, nanoseconds },
            (true, 0) => Time { seconds: -seconds, nanoseconds },
            (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
        })
    };
    parse().ok_or("an impossible time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_may_lie_before_the_epoch() {
        for (text, seconds, nanoseconds) in
            [("5", 5, 0), ("5.25", 5, 250_000_000), ("-1", -1, 0), ("-0.5", -1, 500_000_000)]
        {
            assert_eq!(time(text.as_bytes()), Ok(Time { seconds, nanoseconds }), "{text}");
        }
        for wrong in ["", "x", "1.x", "1e3", "99999999999999999999", "--1", "+1"] {
            assert!(time(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_must_be_as_long_as_it_says() {
        for wrong in ["6 a=b", "6 a=b\n7", "5 a=b\n", "99 a=b\n", "6 =bb\n", "3 \n", "-6 a=b\n"] {
            assert!(Overrides::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn records_that_might_matter_are_not_skipped() {
        assert!(Overrides::parse(b"11 blubb=1\n").is_err());
        assert!(Overrides::parse(b"13 VENDOR.x=1\n").is_err(), "a wrong length");
        assert!(Overrides::parse(b"14 VENDOR.x=1\n").is_ok());
        assert!(check_global(b"13 comment=ab\n").is_err(), "a wrong length");
        assert!(check_global(b"14 comment=ab\n").is_ok());
        assert!(check_global(b"9 path=x\n").is_err());
    }
}
