//! `--ssh`: sockets of ssh agents that RUN and git may use.

use std::{collections::BTreeMap, env, fs, os::unix::fs::FileTypeExt as _, path::PathBuf};

/// The sockets by id, `default` if none is said. Without a path it is the caller's own agent.
pub fn agents(list: &[String]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let given = list.iter().filter(|text| !text.is_empty());
    given.map(|text| agent(text, env::var_os("SSH_AUTH_SOCK").map(PathBuf::from))).collect()
}

/// `id[=socket]`.
fn agent(text: &str, own: Option<PathBuf>) -> anyhow::Result<(String, PathBuf)> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let config = format!("failed to convert agent config {{{id} [{}] false}}", paths.replace(',', " "));
    if paths.is_empty() {
        let own = own.filter(|socket| !socket.as_os_str().is_empty());
        let socket = own.ok_or_else(|| {
            anyhow::anyhow!("{config}: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
        })?;
        return Ok((id.to_owned(), socket));
    }
    for path in paths.split(',') {
        let config = format!("{config}: failed to convert agent config for ID: {id:?}");
        let Ok(metadata) = fs::metadata(path) else {
            anyhow::bail!("{config}: stat {path}: no such file or directory");
        };
        if !metadata.file_type().is_socket() {
            anyhow::bail!("{config}: {path} is no agent's socket: add keys to an agent with ssh-add");
        }
    }
    match paths.contains(',') {
        true => anyhow::bail!("{config}: only single socket allowed"),
        false => Ok((id.to_owned(), PathBuf::from(paths))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_it_is_the_callers_own_agent() {
        let own = Some(PathBuf::from("/run/agent"));
        assert_eq!(agent("default", own.clone()).expect("agent"), ("default".into(), "/run/agent".into()));
        assert_eq!(agent("work=", own).expect("agent").0, "work");
    }

    #[test]
    fn what_is_wrong_is_told_in_dockers_words() {
        for (text, expected) in [
            (
                "foo",
                "failed to convert agent config {foo [] false}: invalid empty ssh agent socket: make sure \
                 SSH_AUTH_SOCK is set",
            ),
            (
                "default=/nonexist",
                "failed to convert agent config {default [/nonexist] false}: failed to convert agent config for ID: \
                 \"default\": stat /nonexist: no such file or directory",
            ),
        ] {
            assert_eq!(agent(text, None).expect_err(text).to_string(), expected);
        }
    }
}
