//! Finds the bucket that a URL and the environment mean.

use std::{sync::Arc, time::Duration};

use object_store::{
    RetryConfig,
    aws::{AmazonS3Builder, S3ConditionalPut},
};

use super::{Objects, transport::Transport};

/// A bucket, and where in it: `s3://BUCKET[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    bucket: String,
    prefix: String,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidLocation {
    #[error("invalid location {0:?}: expected s3://BUCKET[/PREFIX]")]
    Url(String),
    #[error("cannot use the bucket {bucket}: {source}")]
    Settings { bucket: String, source: object_store::Error },
}

impl std::str::FromStr for S3Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<S3Location, InvalidLocation> {
        let invalid = || InvalidLocation::Url(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(invalid)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let safe = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
        if bucket.is_empty() || !safe(rest) || prefix.split('/').any(|part| part == "..") {
            return Err(invalid());
        }
        Ok(S3Location { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl Objects {
    /// The bucket's storage. Keys, region and endpoint come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL`; without keys, from where the machine has its role.
    pub fn connect(location: &S3Location) -> Result<Objects, InvalidLocation> {
        let plain = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://"));
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(&location.bucket)
            .with_allow_http(plain)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(Transport::new())
            .with_retry(RetryConfig {
                max_retries: 5,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            })
            .build();
        let settings = |source| InvalidLocation::Settings { bucket: location.bucket.clone(), source };
        Ok(Objects::new(Arc::new(store.map_err(settings)?), &location.prefix, PART))
    }
}

/// Bytes of a part: 10,000 of them make 80 GB.
const PART: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_where_in_it() {
        let location =
            |bucket: &str, prefix: &str| S3Location { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!("s3://images".parse::<S3Location>().unwrap(), location("images", ""));
        assert_eq!("s3://images/a/b/".parse::<S3Location>().unwrap(), location("images", "a/b"));
        for wrong in ["", "images", "s3://", "s3:///a", "http://images", "s3://a/../b", "s3://a?b"] {
            assert!(wrong.parse::<S3Location>().is_err(), "{wrong}");
        }
    }
}
