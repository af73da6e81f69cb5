//! `login`, `logout`, and what they are for: credentials, kept safe and shown to nobody else.

use std::{fs, os::unix::fs::PermissionsExt};

use testkit::{Registry, Sandbox};

use crate::{push::image, sandbox};

/// A registry that knows one user, `me` with the password `secret`.
fn guarded(sandbox: &Sandbox) -> Registry<'_> {
    Registry::start(sandbox, &["--htpasswd", &users(sandbox)])
}

/// The same behind TLS.
pub fn guarded_with_tls(sandbox: &Sandbox) -> Registry<'_> {
    Registry::start_with_tls(sandbox, &["--htpasswd", &users(sandbox)])
}

fn users(sandbox: &Sandbox) -> String {
    // What `htpasswd -nbB me secret` prints.
    sandbox.file("htpasswd", "me:$2y$05$GqzgRTGsUcfGc9SZ01Osg.QjNzLmfidD1s8D1Qh7GV/kkc6dC3TVy\n")
}

#[test]
fn who_is_logged_in_may_push_and_pull() {
    let Some(sandbox) = sandbox() else { return };
    let registry = guarded(&sandbox);
    let host = registry.host();
    let name = image(&sandbox, &host, "private");
    sandbox.sampan(["push", &name]).fails(1).complains("unauthorized");
    login(&sandbox, &host, "wrong").fails(1).complains("401 Unauthorized");
    assert!(!sandbox.configuration().join("config.json").exists());

    login(&sandbox, &host, "secret").ok().complains("WARNING! Your credentials are stored unencrypted in");
    let config = sandbox.configuration().join("config.json");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(sandbox.configuration()).unwrap().permissions().mode() & 0o777, 0o700);
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains(&host) && text.contains("bWU6c2VjcmV0"), "{text}");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    sandbox
        .sampan(["login", &host])
        .ok()
        .prints("Login Succeeded\n")
        .complains("Authenticating with existing credentials... [Username: me]");

    let farewell = format!("Removing login credentials for {host}\n");
    sandbox.sampan(["logout", &host]).ok().prints(&farewell);
    sandbox.sampan(["logout", &host]).ok().prints(&farewell);
    sandbox.sampan(["pull", &name]).fails(1).complains("unauthorized");
    let log = registry.log();
    assert!(!log.contains("secret") && !log.contains("bWU6c2VjcmV0"), "{log}");
}

#[test]
fn a_password_is_typed_unseen() {
    let Some(sandbox) = sandbox() else { return };
    let registry = guarded(&sandbox);
    let mut login = sandbox.on_terminal(["login", &registry.host()]);
    login.wait_for("Username: ").write("me\n").wait_for("Password: ").write("sex\u{7f}cret\n");
    login.wait_for("Login Succeeded");
    let said = login.finish().ok().stdout;
    assert!(!said.contains("cret") && !said.contains("sex"), "{said}");
    let mut refused = sandbox.on_terminal(["login", "-u", "me", &registry.host()]);
    refused.wait_for("Password: ").write("\u{3}");
    refused.finish().fails(130);
}

#[test]
fn a_helper_keeps_what_it_is_asked_to_keep() {
    let Some(sandbox) = sandbox() else { return };
    let registry = guarded(&sandbox);
    let host = registry.host();
    let kept = sandbox.directory().join("kept");
    let helper = sandbox.file(
        "docker-credential-shelf",
        format!(
            "#!/bin/sh\nf={0}\ncase $1 in store) cat >$f;; get) test -e $f && cat $f || \
             {{ echo credentials not found in native keychain; exit 1; }};; erase) rm -f $f;; list) echo '{{}}';; esac\n",
            kept.display()
        ),
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(sandbox.configuration()).unwrap();
    let config = sandbox.configuration().join("config.json");
    fs::write(&config, r#"{"credsStore":"shelf","detachKeys":"ctrl-e"}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.directory().display());
    let run = |script: &str| {
        let mut command = sandbox.shell(script);
        command.env("PATH", &path).env("HOST", &host);
        sandbox.start(command).finish()
    };
    let login = run("printf secret | \"$SAMPAN\" login -u me --password-stdin \"$HOST\"").ok();
    assert!(!login.stderr.contains("WARNING"), "{login}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(!text.contains("bWU6c2VjcmV0") && text.contains("detachKeys"), "{text}");
    assert!(fs::read_to_string(&kept).unwrap().contains("secret"));
    run(
        "\"$SAMPAN\" tag busybox \"$HOST/b\" && \"$SAMPAN\" push \"$HOST/b\" && \"$SAMPAN\" logout \"$HOST\"",
    )
    .ok();
    assert!(!kept.exists());
}

#[test]
fn what_is_wrong_with_a_login_is_said() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["login", "--password-stdin"])
        .fails(1)
        .complains("Must provide --username with --password-stdin");
    sandbox
        .sampan(["login", "-u", "me"])
        .fails(1)
        .complains("Cannot perform an interactive login from a non TTY device");
    sandbox
        .sampan(["login", "-u", "me", "-p", "secret", "127.0.0.1:1"])
        .fails(1)
        .complains("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
}

pub fn login(sandbox: &Sandbox, host: &str, password: &str) -> testkit::Outcome {
    let script = "printf '%s\\n' \"$PASSWORD\" | \"$SAMPAN\" login --username me --password-stdin \"$HOST\"";
    let mut command = sandbox.shell(script);
    command.env("PASSWORD", password).env("HOST", host);
    sandbox.start(command).finish()
}
