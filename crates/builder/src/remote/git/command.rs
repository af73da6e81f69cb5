//! Runs `git`, without anything of its own surroundings: no configuration, no hooks, no questions, no protocols but
//! those that a repository was asked for with.

use std::{
    env, fmt,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::GitError;

/// How `git` is run.
#[derive(Debug, Clone, Default)]
pub struct GitSettings {
    /// Repositories may be in directories of this machine: for tests.
    pub allow_files: bool,
    /// The socket of an agent that has keys for ssh: there are no other keys.
    pub agent: Option<PathBuf>,
}

/// One repository's directory and what commands in it get.
#[derive(Clone, Copy)]
pub struct Repository<'a> {
    pub settings: &'a GitSettings,
    pub directory: &'a Path,
    /// Where its files are; a bare one has none.
    pub files: Option<&'a Path>,
    pub login: Option<&'a Login>,
    /// Hosts seen for the first time are remembered in this file.
    pub known_hosts: &'a Path,
}

/// What a server of HTTP is shown.
pub struct Login {
    /// Scheme, host and port, with a slash: whom it is for.
    pub origin: String,
    pub authorization: String,
}

impl Repository<'_> {
    /// Runs `git` with these arguments to its end, and returns what it writes.
    pub fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.run_for(arguments, self.protocols())
    }

    /// [`Repository::run`], with a repository of ours as the other side.
    pub fn run_locally(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.run_for(arguments, "file")
    }

    fn run_for(&self, arguments: &[&str], protocols: &str) -> Result<String, GitError> {
        let program = program()?;
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().envs(self.environment(protocols));
        command.current_dir(self.files.unwrap_or(self.directory));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| GitError::Run { program, source })?;
        let what = arguments.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
        let finished =
            finish(child, LONGEST).map_err(|source| GitError::Run { program: "git".into(), source })?;
        match finished {
            Finished { success: true, output, .. } => Ok(output),
            Finished { in_time: false, .. } => {
                Err(GitError::TooLong { what: what.to_owned(), after: LONGEST })
            }
            Finished { errors, .. } => {
                Err(GitError::Failed { what: what.to_owned(), said: last_lines(&errors) })
            }
        }
    }

    fn protocols(&self) -> &'static str {
        match self.settings.allow_files {
            true => "http:https:ssh:git:file",
            false => "http:https:ssh:git",
        }
    }

    fn environment(&self, protocols: &str) -> Vec<(String, String)> {
        let mut all = vec![
            ("LC_ALL", "C".to_owned()),
            ("HOME", "/nonexistent".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("GIT_ATTR_NOSYSTEM", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_ALLOW_PROTOCOL", protocols.to_owned()),
            ("GIT_DIR", self.directory.display().to_string()),
            ("GIT_SSH_COMMAND", self.ssh()),
        ];
        all.extend(self.files.map(|files| ("GIT_WORK_TREE", files.display().to_string())));
        all.extend(self.settings.agent.as_ref().map(|agent| ("SSH_AUTH_SOCK", agent.display().to_string())));
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((*name, env::var(name).ok()?)));
        all.extend(passed_on);
        let mut configuration: Vec<(String, String)> =
            CONFIGURATION.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if let Some(login) = self.login {
            // In the environment, which nobody else may read, and not among the arguments.
            let name = format!("http.{}.extraHeader", login.origin);
            configuration.push((name, format!("Authorization: {}", login.authorization)));
        }
        all.push(("GIT_CONFIG_COUNT", configuration.len().to_string()));
        let mut all: Vec<(String, String)> =
            all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (number, (name, value)) in configuration.into_iter().enumerate() {
            all.push((format!("GIT_CONFIG_KEY_{number}"), name));
            all.push((format!("GIT_CONFIG_VALUE_{number}"), value));
        }
        all
    }

    /// A host whose key has changed is refused; one that is new is believed. Whoever wrote the Dockerfile has no key but
    /// those that the user's agent was lent for.
    fn ssh(&self) -> String {
        // The whole is for a shell, and the name in it for ssh.
        let known_hosts = self.known_hosts.display().to_string().replace('\'', r"'\''");
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 \
             -o IdentityFile=none -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile='\"{known_hosts}\" ~/.ssh/known_hosts'"
        )
    }
}

/// The program, by its whole path.
fn program() -> Result<PathBuf, GitError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("git"))
        .find(|program| {
            program.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
        .ok_or(GitError::NotInstalled)
}

struct Finished {
    success: bool,
    in_time: bool,
    output: String,
    errors: String,
}

/// Waits for `child`, at most as long as `limit`; then it is killed.
fn finish(mut child: Child, limit: Duration) -> io::Result<Finished> {
    let (done, ended) = mpsc::channel();
    let collect = |stream: Option<Box<dyn Read + Send>>| {
        let done = done.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = stream.map(|stream| stream.take(MOST_OUTPUT).read_to_end(&mut text));
            // The other end waits as long as there is anybody to hear from.
            done.send(()).ok();
            read.transpose().map(|_| String::from_utf8_lossy(&text).into_owned())
        })
    };
    let output = collect(child.stdout.take().map(|stream| Box::new(stream) as _));
    let errors = collect(child.stderr.take().map(|stream| Box::new(stream) as _));
    let in_time = (0..2).all(|_| ended.recv_timeout(limit) != Err(RecvTimeoutError::Timeout));
    if !in_time {
        // What it started ends when nobody reads from it any more.
        child.kill()?;
        child.wait()?;
        return Ok(Finished { success: false, in_time, output: String::new(), errors: String::new() });
    }
    let success = child.wait()?.success();
    let text = |thread: thread::JoinHandle<io::Result<String>>| {
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a reader has panicked")))
    };
    Ok(Finished { success, in_time, output: text(output)?, errors: text(errors)? })
}

/// What `git` said last, without what is for terminals, and without what may hold a password.
fn last_lines(errors: &str) -> String {
    let lines: Vec<String> = errors
        .lines()
        .map(|line| {
            line.rsplit('\r').next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
        })
        .filter(|line: &String| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What holds for every command, and for those that it runs.
const CONFIGURATION: [(&str, &str); 11] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.logAllRefUpdates", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "master"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    // Packs are the same on machines with more processors.
    ("pack.threads", "1"),
    // A server that sends less than this many bytes a second, for so many seconds, is as good as dead.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// What is taken over from the caller's environment.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];

/// More than any repository that is built takes.
const LONGEST: Duration = Duration::from_secs(3600);

/// Lists of references are long; nothing else is.
const MOST_OUTPUT: u64 = 64 << 20;

/// How much of what went wrong is told.
const LINES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_without_what_is_for_terminals() {
        let said = "Cloning\nreceiving: 10%\rreceiving: 20%\u{1b}[K\n\nfatal: no\n";
        assert_eq!(last_lines(said), "Cloning\nreceiving: 20%[K\nfatal: no");
        assert_eq!(last_lines(&"x\n".repeat(100)).lines().count(), LINES);
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let child = Command::new("sleep").arg("1000").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let finished = finish(child.expect("sleep"), Duration::from_millis(20)).expect("killed");
        assert!(!finished.in_time && !finished.success);
    }
}
