//! TLS: whom we trust, and with what.

use std::{fs, io::Read, net::TcpStream, path::Path, sync::Arc};

use distribution::{Client, ClientError, Proxies, Selector, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

use crate::{
    BASIC, User, bytes, layer,
    server::{Answer, Request, Server, answer, proxy},
};

/// Who vouches for certificates in these tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn vouch_for(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        Identity { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

impl Identity {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A server that is `identity`, and wants to see certificates that `clients` vouches for.
fn serve(
    identity: &Identity,
    clients: Option<&Authority>,
    answer: impl Fn(&mut Request<'_>) -> Answer + Send + Sync + 'static,
) -> Server {
    let provider = Arc::new(ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
        None => config.with_no_client_auth(),
    };
    let config = Arc::new(config.with_single_cert(identity.chain(), identity.private()).unwrap());
    Server::start_with(answer, move |stream: TcpStream| {
        let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    })
}

/// `settings`, with `server` behind the name `registry.example` and every other.
fn towards(server: &Server, mut settings: Settings) -> Client {
    settings.proxies = Proxies::new(Some(&proxy(server.authority.clone()).0), None, "").unwrap();
    Client::new(settings)
}

/// Settings that know `directory` as certs.d.
fn trusting(user: &User, directory: &Path) -> Settings {
    let mut settings = user.settings();
    settings.registries.certificates = vec![directory.to_owned()];
    settings
}

/// A certs.d in which `authority` vouches for `registry.example`.
fn certs_d(authority: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let registry = directory.path().join("registry.example");
    fs::create_dir(&registry).unwrap();
    fs::write(registry.join("ca.crt"), authority.0.pem()).unwrap();
    directory
}

fn manifest(client: &Client) -> Result<(), ClientError> {
    client.repository("registry.example", "a").manifest(&Selector::Tag("1".into())).map(drop)
}

fn fine(_: &mut Request<'_>) -> Answer {
    answer(200).header("Content-Type", "a/b").body("{}")
}

#[test]
fn who_is_vouched_for_by_nobody_we_know_is_not_trusted() {
    let server = serve(&Authority::new().vouch_for("registry.example"), None, fine);
    let user = User::logged_in(&["registry.example"]);
    let error = manifest(&towards(&server, user.settings())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot trust registry.example: its certificate is signed by unknown authority"
    );
    assert_eq!(server.everything(), "[]", "and nothing is said to it, over TLS or not");
}

#[test]
fn an_authority_in_certs_d_vouches_for_its_registry_and_no_other() {
    let authority = Authority::new();
    let server = serve(&authority.vouch_for("registry.example"), None, fine);
    let (user, directory) = (User::new(), certs_d(&authority));
    let client = towards(&server, trusting(&user, directory.path()));
    manifest(&client).unwrap();
    assert_eq!(server.lines(), ["GET /v2/a/manifests/1"]);

    let other = serve(&authority.vouch_for("other.example"), None, fine);
    let client = towards(&other, trusting(&user, directory.path()));
    let error = client.repository("other.example", "a").manifest(&Selector::Tag("1".into())).unwrap_err();
    assert!(error.to_string().ends_with("signed by unknown authority"), "{error}");
    let error = manifest(&client).unwrap_err();
    assert!(error.to_string().ends_with("its certificate is for other names"), "{error}");
}

#[test]
fn we_show_our_certificate_to_the_registry_it_is_for() {
    let authority = Authority::new();
    let server = serve(&authority.vouch_for("registry.example"), Some(&authority), fine);
    let (user, directory) = (User::new(), certs_d(&authority));
    let error = manifest(&towards(&server, trusting(&user, directory.path()))).unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. } | ClientError::Broken { .. }), "{error}");

    let (me, other) = (authority.vouch_for("me"), authority.vouch_for("other"));
    let registry = directory.path().join("registry.example");
    fs::write(registry.join("client.key"), me.key.serialize_pem()).unwrap();
    let client = || towards(&server, trusting(&user, directory.path()));
    let error = manifest(&client()).unwrap_err().to_string();
    assert!(error.ends_with("client.key: there is no certificate (.cert) for this key"), "{error}");
    fs::write(registry.join("client.cert"), other.certificate.pem()).unwrap();
    let error = manifest(&client()).unwrap_err();
    assert!(
        matches!(error, ClientError::Certificate { .. }),
        "key and certificate of different people: {error}"
    );
    fs::write(registry.join("client.cert"), me.certificate.pem()).unwrap();
    manifest(&client()).unwrap();
}

#[test]
fn there_is_no_falling_back_to_plain_http() {
    let plain = Server::start(fine);
    let user = User::logged_in(&["registry.example"]);
    assert!(manifest(&towards(&plain, user.settings())).is_err());
    assert_eq!(plain.everything(), "[]");
}

#[test]
fn an_insecure_registry_may_have_any_certificate() {
    let server = serve(&Authority::new().vouch_for("somebody else"), None, fine);
    let user = User::new();
    let client = user.client();
    client.repository(&server.authority, "a").manifest(&Selector::Tag("1".into())).unwrap();
    let mut settings = user.settings();
    settings.registries.insecure = vec!["registry.example".to_owned()];
    manifest(&towards(&server, settings)).unwrap();
}

#[test]
fn a_redirect_does_not_lead_out_of_tls() {
    let content = bytes(1000);
    let copy = content.clone();
    let plain = Server::start(move |_| answer(200).body(copy.clone()));
    let authority = Authority::new();
    let location = format!("http://{}/blob", plain.authority);
    let server = serve(&authority.vouch_for("registry.example"), None, move |_| {
        answer(307).header("Location", &location)
    });
    let (user, directory) = (User::new(), certs_d(&authority));
    let client = towards(&server, trusting(&user, directory.path()));
    let error = client.repository("registry.example", "a").blob(&layer(&content), 0).unwrap_err();
    assert!(error.to_string().ends_with("redirects to a connection that is not secure"), "{error}");
    assert!(plain.lines().is_empty());
}

#[test]
fn what_goes_through_a_proxy_is_between_the_registry_and_us() {
    let authority = Authority::new();
    let content = bytes(500_000);
    let copy = content.clone();
    let server = serve(&authority.vouch_for("registry.example"), None, move |request| {
        match request.seen.header("authorization") {
            Some(BASIC) => answer(200).body(copy.clone()),
            _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        }
    });
    let user = User::logged_in(&["registry.example"]);
    let directory = certs_d(&authority);
    let mut settings = trusting(&user, directory.path());
    let (url, seen) = proxy(server.authority.clone());
    settings.proxies = Proxies::new(Some(&url), None, "").unwrap();
    let client = Client::new(settings);
    let mut read = Vec::new();
    let repository = client.repository("registry.example", "a");
    repository.blob(&layer(&content), 0).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content);
    let asked = seen.recv().unwrap();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("CONNECT", "registry.example:443"));
    assert_eq!(asked.header("authorization"), None);
    assert!(asked.header("proxy-authorization").is_some());
    assert!(!server.everything().contains("proxy"));
}
