//! Tokens, and the servers that give them.
//!
//! Two ways to ask: docker's, a GET with the password if there is one, and OAuth2's, a POST with what an earlier
//! login left behind. See "Docker Registry v2 authentication via central service" in the distribution project.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::Deserialize;
use ureq::http::{HeaderValue, Method, Uri, header};

use super::{Challenge, basic, sensitive};
use crate::{
    ClientError, Credentials,
    ask::Payload,
    credentials::Secret,
    exchange::Exchange,
    location::{self, Origin, encoded},
    settings::host_of,
};

/// What a token server gave.
pub(crate) struct Token {
    header: HeaderValue,
    until: Instant,
    /// What to show the token server next time instead of a password.
    pub identity: Option<Secret>,
}

impl Token {
    /// `None` if it cannot be sent.
    pub fn new(token: &str, lifetime: Duration, identity: Option<Secret>) -> Option<Token> {
        let header = sensitive(format!("Bearer {token}"))?;
        // What is nearly over is not begun with.
        Some(Token { header, until: Instant::now() + lifetime.mul_f64(0.9), identity })
    }

    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub fn is_valid(&self) -> bool {
        Instant::now() < self.until
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Asks the token server that `challenge` names for a token good for `scopes`, a list separated by spaces. `keep`
/// asks for an identity token, too, to be kept instead of the password.
pub(crate) fn fetch(
    exchange: &Exchange<'_>,
    challenge: &Challenge,
    scopes: &[String],
    credentials: Option<&Credentials>,
    keep: bool,
) -> Result<Token, ClientError> {
    let Challenge::Bearer { realm, service, .. } = challenge else {
        unreachable!("only this challenge wants tokens");
    };
    let realm = location(exchange, realm, credentials.is_some())?;
    let mut form = Vec::new();
    form.extend(service.as_ref().map(|service| ("service", service.clone())));
    let answer = match credentials {
        Some(Credentials::RegistryToken(token)) => {
            return Token::new(token.expose(), LIFETIME, None).ok_or_else(|| unusable(&realm));
        }
        Some(Credentials::IdentityToken(identity)) => {
            form.push(("scope", scopes.join(" ")));
            form.push(("client_id", CLIENT.to_owned()));
            form.push(("grant_type", "refresh_token".to_owned()));
            form.push(("refresh_token", identity.expose().to_owned()));
            let headers = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
            exchange.without_login(
                &Method::POST,
                &realm,
                &headers,
                None,
                Payload::Bytes(encode(&form).as_bytes()),
            )?
        }
        Some(Credentials::Password { user, secret }) => {
            form.push(("account", user.clone()));
            if keep {
                form.push(("client_id", CLIENT.to_owned()));
                form.push(("offline_token", "true".to_owned()));
            }
            form.extend(scopes.iter().map(|scope| ("scope", scope.clone())));
            let password = basic(user, secret);
            exchange.without_login(
                &Method::GET,
                &queried(&realm, &form).ok_or_else(|| unusable(&realm))?,
                &[],
                Some(&password),
                Payload::None,
            )?
        }
        None => {
            form.extend(scopes.iter().map(|scope| ("scope", scope.clone())));
            let url = queried(&realm, &form).ok_or_else(|| unusable(&realm))?;
            exchange.without_login(&Method::GET, &url, &[], None, Payload::None)?
        }
    };
    read(answer.json("a token", TOKEN_LIMIT)?).ok_or_else(|| unusable(&realm))
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
    refresh_token: Option<String>,
}

fn read(answer: Answer) -> Option<Token> {
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let lifetime = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let identity = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    Token::new(&token, lifetime.unwrap_or(LIFETIME).min(LONGEST), identity)
}

/// The token server, if we may talk to it. A password goes to the registry's own host, or over TLS.
fn location(exchange: &Exchange<'_>, realm: &str, has_secret: bool) -> Result<Uri, ClientError> {
    let home = exchange.home()?;
    let nonsense = |what: String| ClientError::Protocol {
        host: home.authority().map_or(String::new(), |a| a.to_string()),
        what,
    };
    let url = location::join(&home, realm)
        .ok_or_else(|| nonsense("wants to be shown a token from nowhere".to_owned()))?;
    let (here, there) = (Origin::of(&home), Origin::of(&url));
    let is_same_host = here.as_ref().map(|o| host_of(&o.host)) == there.as_ref().map(|o| host_of(&o.host));
    let is_downgrade = here.is_some_and(|here| here.secure);
    match there {
        Some(there) if !there.secure && has_secret && (!is_same_host || is_downgrade) => Err(nonsense(
            format!("wants our password at {}, over a connection that is not secure", there.authority()),
        )),
        _ => Ok(url),
    }
}

/// `realm` with the form in its query. `None` if that is longer than URLs may be.
fn queried(realm: &Uri, form: &[(&str, String)]) -> Option<Uri> {
    form.iter().try_fold(realm.clone(), |url, (name, value)| location::with_query(&url, name, value))
}

fn encode(form: &[(&str, String)]) -> String {
    form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

fn unusable(realm: &Uri) -> ClientError {
    let host = realm.authority().map(ToString::to_string).unwrap_or_default();
    ClientError::Protocol { host, what: "gives no usable token".to_owned() }
}

const CLIENT: &str = "sampan";
/// A token that does not say how long it lives does so for this long.
const LIFETIME: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const TOKEN_LIMIT: u64 = 64 << 10;
