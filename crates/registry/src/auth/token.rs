//! Tokens from an authorization server, as docker's token specification has it.
//!
//! The registry says where to get a token and for what; the client gets one there and comes back with it. Whoever holds
//! the private key decides who may do what: all that happens here is to check and to compare.

use std::path::Path;

use axum::http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::{Access, Action, Grant, Scope, keys, signatures, watched::Watched};
use crate::server::{Code, Refusal};

pub use super::keys::KeysError;

/// Whose tokens are good here.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Where clients get tokens: a URL.
    pub realm: String,
    /// What this registry is called there: the audience of its tokens.
    pub service: String,
    /// Who the tokens say made them.
    pub issuer: String,
}

/// Checks tokens.
pub struct Tokens {
    issuer: Issuer,
    keys: Watched<Vec<keys::Key>, KeysError>,
}

/// What a token says.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    access: Option<Vec<Granted>>,
}

/// Something that its bearer may do.
#[derive(Debug, Clone, Deserialize)]
pub struct Granted {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

impl Tokens {
    /// Checks tokens of `issuer` with the keys in the file at `path`.
    pub fn open(issuer: Issuer, path: &Path) -> Result<Tokens, KeysError> {
        signatures::install();
        Ok(Tokens { issuer, keys: Watched::open(path, keys::read)? })
    }

    /// Finds out who sent `headers`, and whether they may have `wanted`.
    pub fn check(&self, headers: &HeaderMap, wanted: &Access) -> Result<Grant, Refusal> {
        let Some(token) = bearer(headers) else { return Err(self.challenge(wanted, None)) };
        let claims = self.verify(token).ok_or_else(|| self.challenge(wanted, Some("invalid_token")))?;
        let user = Some(claims.sub).filter(|sub| !sub.is_empty());
        let grant = Grant { user, scope: Scope::Granted(claims.access.unwrap_or_default()) };
        if grant.allows(wanted) { Ok(grant) } else { Err(self.challenge(wanted, Some("insufficient_scope"))) }
    }

    /// What a token says, if one of the keys signed it for us and it is good now.
    fn verify(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN {
            return None;
        }
        let header = decode_header(token).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.issuer.service]);
        validation.set_issuer(&[&self.issuer.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let keys = self.keys.current();
        // A key with a name signs what bears its name only. Docker's own names for keys are not those of key sets, so a
        // token whose name is nowhere is tried with all.
        let named = |key: &&keys::Key| key.id.is_some() && key.id == header.kid;
        let verify =
            |key: &DecodingKey| decode::<Claims>(token, key, &validation).ok().map(|data| data.claims);
        match keys.iter().find(named) {
            Some(key) => verify(&key.key),
            None => keys.iter().take(KEYS).find_map(|key| verify(&key.key)),
        }
    }

    /// Says where to get a token, and for what.
    fn challenge(&self, wanted: &Access, error: Option<&str>) -> Refusal {
        let Issuer { realm, service, .. } = &self.issuer;
        let mut challenge = format!(r#"Bearer realm="{realm}",service="{service}""#);
        match wanted {
            Access::Nothing => {}
            Access::Catalog => challenge += r#",scope="registry:catalog:*""#,
            Access::Repository(name, actions) => {
                let actions: Vec<&str> = actions.iter().map(|action| action.word()).collect();
                challenge += &format!(r#",scope="repository:{name}:{}""#, actions.join(","));
            }
        }
        if let Some(error) = error {
            challenge += &format!(r#",error="{error}""#);
        }
        let refusal = Refusal::new(Code::Unauthorized);
        match HeaderValue::from_str(&challenge) {
            Ok(challenge) => refusal.with(header::WWW_AUTHENTICATE, challenge),
            // The operator's realm cannot be said in a header.
            Err(_) => refusal,
        }
    }
}

impl Granted {
    /// Whether it covers `action` on the thing of that kind and name.
    pub fn covers(&self, kind: &str, name: &str, action: &str) -> bool {
        self.kind == kind
            && self.name == name
            && self.actions.iter().any(|granted| granted == action || granted == "*")
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Delete => "delete",
        }
    }
}

/// Whether what was granted covers what is wanted.
pub fn covers(granted: &[Granted], wanted: &Access) -> bool {
    let any = |kind: &str, name: &str, action: &str| {
        granted.iter().any(|granted| granted.covers(kind, name, action))
    };
    match wanted {
        Access::Nothing => true,
        Access::Catalog => any("registry", "catalog", "*"),
        Access::Repository(name, actions) => {
            actions.iter().all(|action| any("repository", name.as_str(), action.word()))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Signatures that only the holder of a private key can make: never HMAC, never none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Bytes of a token at most.
const TOKEN: usize = 64 << 10;
/// Keys that one token is tried with.
const KEYS: usize = 20;

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use rcgen::{KeyPair, PublicKeyData, SigningKey};
    use serde_json::{Value, json};

    use super::*;

    struct Desk {
        key: KeyPair,
        tokens: Tokens,
        _directory: tempfile::TempDir,
    }

    /// An authorization server, and a registry that believes it.
    fn desk(file: impl Fn(&KeyPair) -> String) -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let key = KeyPair::generate().unwrap();
        std::fs::write(&path, file(&key)).unwrap();
        let issuer =
            Issuer { realm: "https://desk/token".into(), service: "registry".into(), issuer: "desk".into() };
        Desk { tokens: Tokens::open(issuer, &path).unwrap(), key, _directory: directory }
    }

    fn public_key(key: &KeyPair) -> String {
        key.public_key_pem()
    }

    fn certificate(key: &KeyPair) -> String {
        rcgen::CertificateParams::new(vec!["desk".into()]).unwrap().self_signed(key).unwrap().pem()
    }

    fn web_keys(key: &KeyPair) -> String {
        let point = key.der_bytes();
        let (x, y) = point[point.len() - 64..].split_at(32);
        let encode = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "x": encode(x), "y": encode(y)}]})
            .to_string()
    }

    fn sign(key: &KeyPair, header: Value, claims: Value) -> String {
        let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        // rcgen signs in ASN.1; tokens have the two numbers side by side.
        let signed = key.sign(message.as_bytes()).unwrap();
        let fixed = fixed(&signed);
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(fixed))
    }

    fn fixed(asn1: &[u8]) -> Vec<u8> {
        let mut rest = &asn1[2..];
        let mut both = Vec::new();
        for _ in 0..2 {
            let length = usize::from(rest[1]);
            let number = &rest[2..2 + length];
            let number = &number[number.len().saturating_sub(32)..];
            both.extend(std::iter::repeat_n(0, 32 - number.len()));
            both.extend_from_slice(number);
            rest = &rest[2 + length..];
        }
        both
    }

    fn claims(actions: &[&str]) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({
            "iss": "desk", "aud": "registry", "sub": "me", "exp": now + 300, "nbf": now - 1,
            "access": [{"type": "repository", "name": "a/b", "actions": actions}],
        })
    }

    fn with(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    fn on(name: &str, actions: &'static [Action]) -> Access {
        Access::Repository(name.parse().unwrap(), actions)
    }

    #[test]
    fn a_token_signed_with_a_known_key_gives_what_it_says_and_no_more() {
        for file in [public_key, certificate, web_keys] {
            let desk = desk(file);
            let headers = with(&sign(&desk.key, json!({"alg": "ES256", "kid": "one"}), claims(&["pull"])));
            let grant = desk.tokens.check(&headers, &on("a/b", &[Action::Pull])).unwrap();
            assert_eq!(grant.user.as_deref(), Some("me"));
            assert!(desk.tokens.check(&headers, &Access::Nothing).is_ok());
            for wanted in [
                on("a/b", &[Action::Pull, Action::Push]),
                on("a/b", &[Action::Delete]),
                on("a", &[Action::Pull]),
                Access::Catalog,
            ] {
                assert!(desk.tokens.check(&headers, &wanted).is_err(), "{wanted:?}");
                assert!(!grant.allows(&wanted));
            }
        }
    }

    #[test]
    fn a_token_that_is_not_ours_to_believe_is_refused() {
        let desk = desk(public_key);
        let header = json!({"alg": "ES256"});
        let good = claims(&["pull"]);
        let refused = |what: &str, token: &str| {
            assert!(desk.tokens.check(&with(token), &on("a/b", &[Action::Pull])).is_err(), "{what}");
        };
        assert!(
            desk.tokens
                .check(&with(&sign(&desk.key, header.clone(), good.clone())), &Access::Nothing)
                .is_ok()
        );
        for (claim, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("exp", json!(1000)),
            ("exp", Value::Null),
            ("nbf", json!(jsonwebtoken::get_current_timestamp() + 3600)),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            refused(claim, &sign(&desk.key, header.clone(), claims));
        }
        refused("another's key", &sign(&KeyPair::generate().unwrap(), header.clone(), good.clone()));
        let token = sign(&desk.key, header, good.clone());
        let (signed, _) = token.rsplit_once('.').unwrap();
        refused("no signature", &format!("{signed}."));
        refused("HMAC with the public key", &sign(&desk.key, json!({"alg": "HS256"}), good.clone()));
        refused("no algorithm", &sign(&desk.key, json!({"alg": "none"}), good));
        refused("nonsense", "a.b.c");
    }

    #[test]
    fn without_a_token_the_client_learns_where_to_get_one_and_for_what() {
        let desk = desk(public_key);
        let refusal =
            desk.tokens.check(&HeaderMap::new(), &on("a/b", &[Action::Pull, Action::Push])).unwrap_err();
        let response = axum::response::IntoResponse::into_response(refusal);
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()[header::WWW_AUTHENTICATE],
            r#"Bearer realm="https://desk/token",service="registry",scope="repository:a/b:pull,push""#
        );
    }
}
