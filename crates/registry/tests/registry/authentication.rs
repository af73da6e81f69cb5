//! Passwords at the door. What tokens may do is tested where they are read.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::support::Server;

#[test]
fn without_the_right_password_nothing_is_told_but_where_to_give_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    std::fs::write(&file, format!("me:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let server = Server::told(json!({"htpasswd": file}));
    let basic = |user: &str, password: &str| {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    };
    let paths = ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/x", "/v2/..%2f/manifests/x"];
    for path in paths {
        for headers in [
            vec![],
            vec![("Authorization", basic("me", "wrong"))],
            vec![("Authorization", basic("you", "secret"))],
        ] {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = server.ask("GET", path, &headers, b"");
            assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"), "{path}");
            assert_eq!(reply.header("www-authenticate"), Some(r#"Basic realm="registry""#));
        }
    }
    let right = basic("me", "secret");
    assert_eq!(server.ask("GET", "/v2/", &[("Authorization", &right)], b"").status, 200);
    assert_eq!(server.ask("POST", "/v2/a/blobs/uploads/", &[("Authorization", &right)], b"").status, 202);
    assert_eq!(server.get("/healthz").status, 200);
}
