use std::{os::unix::fs::PermissionsExt, thread};

use super::*;

fn file(text: &str) -> (tempfile::TempDir, ConfigFile) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), text).unwrap();
    let file = ConfigFile::load(directory.path()).unwrap();
    (directory, file)
}

fn password(user: &str, secret: &str) -> Credentials {
    Credentials::Password { user: user.to_owned(), secret: Secret::new(secret) }
}

#[test]
fn credentials_are_found_however_their_registry_is_written() {
    // me:secret, and me:secret\0\0
    let (_directory, file) = file(
        r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},
            "https://a.example/v2/":{"auth":"bWU6c2VjcmV0AAA="},
            "b.example:5000":{"username":"me","password":"secret"},
            "http://c.example":{"identitytoken":"t","auth":"bWU6"},
            "d.example":{"registrytoken":"r"},
            "e.example":{}, "f.example":{"auth":"%%%"}, "g.example":null
        }}"#,
    );
    for registry in ["docker.io", "a.example", "b.example:5000"] {
        assert_eq!(file.get(registry).unwrap(), Some(password("me", "secret")), "{registry}");
    }
    assert_eq!(file.get("c.example").unwrap(), Some(Credentials::IdentityToken(Secret::new("t"))));
    assert_eq!(file.get("d.example").unwrap(), Some(Credentials::RegistryToken(Secret::new("r"))));
    for registry in ["b.example", "b.example:5001", "e.example", "f.example", "g.example", "example", ""] {
        assert_eq!(file.get(registry).unwrap(), None, "{registry}");
    }
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let (directory, mut file) =
        file(r#"{"zeta":1,"auths":{"z":{"auth":"eDp5"}},"HttpHeaders":{"a":"b"},"alpha":[2]}"#);
    file.store("docker.io", &password("me", "secret")).unwrap();
    let text = fs::read_to_string(directory.path().join("config.json")).unwrap();
    let expected = r#"{
	"zeta": 1,
	"auths": {
		"z": {
			"auth": "eDp5"
		},
		"https://index.docker.io/v1/": {
			"auth": "bWU6c2VjcmV0"
		}
	},
	"HttpHeaders": {
		"a": "b"
	},
	"alpha": [
		2
	]
}"#;
    assert_eq!(text, expected);
    assert!(file.erase("docker.io").unwrap());
    assert!(!file.erase("docker.io").unwrap());
    assert_eq!(file.get("z").unwrap(), Some(password("x", "y")));
}

#[test]
fn only_its_owner_can_read_it_wherever_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home/.docker");
    let mut file = ConfigFile::load(&home).unwrap();
    file.store("a", &password("me", "secret")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home), mode(file.path())), (0o700, 0o600));

    let elsewhere = directory.path().join("elsewhere.json");
    fs::rename(file.path(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, file.path()).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    file.store("b", &password("me", "secret")).unwrap();
    assert!(fs::symlink_metadata(file.path()).unwrap().is_symlink());
    assert_eq!(mode(&elsewhere), 0o600);
    assert_eq!(ConfigFile::load(&home).unwrap().list().unwrap().len(), 2);
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for number in 0..16 {
            let directory = directory.path();
            scope.spawn(move || {
                let mut file = ConfigFile::load(directory).unwrap();
                file.store(&format!("r{number}.example"), &password("me", "secret")).unwrap();
            });
        }
    });
    assert_eq!(ConfigFile::load(directory.path()).unwrap().list().unwrap().len(), 16);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
}

#[test]
fn nonsense_is_not_repeated_and_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, "{\n\"auths\": secret").unwrap();
    let error = ConfigFile::load(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("is not the JSON that docker writes, near line 2"), "{error}");
    fs::write(&path, "").unwrap();
    assert_eq!(ConfigFile::load(directory.path()).unwrap().get("a").unwrap(), None);
}

#[test]
fn a_helpers_name_is_not_a_path() {
    for name in ["../evil", "a b", "/bin/sh", "$(x)"] {
        let (_directory, file) = file(&format!(r#"{{"credsStore":{}}}"#, json!(name)));
        assert!(matches!(file.get("a"), Err(CredentialsError::HelperName(_))), "{name}");
    }
    let (_directory, file) =
        file(r#"{"credHelpers":{"a":"no-such-helper"},"auths":{"b":{"auth":"bWU6c2VjcmV0"}}}"#);
    assert!(matches!(file.get("a"), Err(CredentialsError::NoHelper { .. })));
    assert_eq!(file.get("b").unwrap(), Some(password("me", "secret")), "the others need no helper");
    assert!(file.keeps_readable("b").unwrap() && !file.keeps_readable("a").unwrap());
}
