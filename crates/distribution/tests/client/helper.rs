//! Credential helpers, which are found in `PATH`: each test runs itself again with one of its own.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use distribution::{ConfigFile, Credentials, CredentialsError, credentials::Secret};

/// A helper that keeps what it is given in files, and writes down how it was called.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$0 $*" >> calls
case "$1" in
store) cat > kept;;
get) read -r server
    case "$server" in
    broken) echo "no key\033[2J for you"; exit 1;;
    nonsense) echo "{\"Username\":\"me\",\"Secret\":\"hunter2";;
    *) if [ -e kept ]; then cat kept; else echo "credentials not found in native keychain"; exit 1; fi;;
    esac;;
erase) rm -f kept;;
list) echo '{"https://index.docker.io/v1/":"me"}';;
esac
"#;

/// Runs the test `name` again, with the helper `docker-credential-files` and `directory` at its side.
fn again(name: &str, directory: &Path) -> Output {
    let helper = directory.join("docker-credential-files");
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.display(), env::var("PATH").unwrap());
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("PATH", path)
        .env(INSIDE, directory)
        .output()
        .unwrap()
}

#[test]
fn what_a_helper_keeps_is_not_in_the_file_nor_in_any_argument() {
    if let Some(directory) = env::var_os(INSIDE) {
        return keep_and_forget(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let output =
        again("helper::what_a_helper_keeps_is_not_in_the_file_nor_in_any_argument", directory.path());
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(directory.path().join("calls")).unwrap();
    assert!(calls.contains("store") && !calls.contains("hunter2"), "{calls}");
}

fn keep_and_forget(directory: &Path) {
    fs::write(directory.join("config.json"), r#"{"credsStore":"files"}"#).unwrap();
    let mut file = ConfigFile::load(directory).unwrap();
    assert_eq!(file.get("docker.io").unwrap(), None);
    let me = Credentials::Password { user: "me".to_owned(), secret: Secret::new("hunter2") };
    file.store("docker.io", &me).unwrap();
    assert_eq!(file.get("docker.io").unwrap(), Some(me));
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(text.contains(r#""https://index.docker.io/v1/": {}"#) && !text.contains("hunter2"), "{text}");
    assert_eq!(file.list().unwrap(), [("https://index.docker.io/v1/".to_owned(), "me".to_owned())]);
    assert!(!file.keeps_readable("docker.io").unwrap());
    let token = Credentials::IdentityToken(Secret::new("token"));
    file.store("docker.io", &token).unwrap();
    assert_eq!(file.get("docker.io").unwrap(), Some(token));
    assert!(file.erase("docker.io").unwrap());
    assert!(!file.erase("docker.io").unwrap());
    assert_eq!(fs::read_to_string(file.path()).unwrap().matches("index.docker.io").count(), 0);

    let broken = file.get("broken").unwrap_err();
    assert_eq!(broken.to_string(), "docker-credential-files: no key[2J for you");
    let nonsense = file.get("nonsense").unwrap_err();
    assert!(matches!(nonsense, CredentialsError::Helper { .. }));
    assert!(!format!("{nonsense} {nonsense:?}").contains("hunter2"));
}

const INSIDE: &str = "SAMPAN_TEST_HELPER";
