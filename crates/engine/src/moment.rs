//! Points in time as users write them.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use crate::error::EngineError;

/// A time as docker takes it: RFC 3339, the same without a zone (which is then the local one) or without a time of day,
/// seconds since 1970, or how long before `now`, such as `1h30m`.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, EngineError> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_nanosecond((seconds * 1e9) as i128).map_err(|_| invalid(text));
    }
    if let Ok(local) = text.parse::<civil::DateTime>() {
        return TimeZone::system().to_timestamp(local).map_err(|_| invalid(text));
    }
    let ago: SignedDuration = text.parse().map_err(|_| invalid(text))?;
    now.checked_sub(ago).map_err(|_| invalid(text))
}

fn invalid(text: &str) -> EngineError {
    EngineError::Invalid(format!("failed to parse value as time or duration: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_a_while_ago() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20T10:00:00.5+02:00", "2026-11-20T08:00:00.5Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
            ("10m", "2026-11-23T11:50:00Z"),
            ("1h30m", "2026-11-23T10:30:00Z"),
            ("1.5h", "2026-11-23T10:30:00Z"),
        ] {
            assert_eq!(parse(text, now).unwrap().to_string(), expected, "{text}");
        }
        let local = |text: &str| parse(text, now).unwrap().to_zoned_datetime(TimeZone::system()).datetime();
        assert_eq!(local("2026-11-20T10:00:00").to_string(), "2026-11-20T10:00:00");
        assert_eq!(local("2026-11-20").to_string(), "2026-11-20T00:00:00");
        for text in ["", "xx", "10 apples", "1e300"] {
            let error = parse(text, now).unwrap_err().to_string();
            assert_eq!(error, format!("failed to parse value as time or duration: {text:?}"));
        }
    }
}
