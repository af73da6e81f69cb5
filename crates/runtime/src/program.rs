//! Finding the program a container is to run, and becoming it.

use std::{ffi::CString, path::Path};

use rustix::{
    fs::{Access, AtFlags, CWD, FileType},
    io::Errno,
};
use sys::process::{self, Strings};

use crate::failure::{Failure, FailureKind};

/// A program and what it is started with.
#[derive(Debug)]
pub struct Program {
    name: String,
    path: CString,
    arguments: Strings,
    environment: Strings,
}

impl Program {
    /// Finds `arguments[0]` as execvp(3) would, with the PATH in `environment`. Runs inside the container's
    /// root, in the process's working directory.
    pub fn find(arguments: &[String], environment: &[String]) -> Result<Program, Failure> {
        let name = arguments.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::setup("no command specified"))?;
        let search = environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let path =
            if name.contains('/') { check(name, name).map(|()| name.clone()) } else { find(name, search) }?;
        let invalid = |what| move |_| Failure::setup(format_args!("the {what} has a NUL byte"));
        Ok(Program {
            name: name.clone(),
            path: CString::new(path).map_err(|_| not_found(name, "executable file not found in $PATH"))?,
            arguments: Strings::new(arguments).map_err(invalid("command"))?,
            environment: Strings::new(environment).map_err(invalid("environment"))?,
        })
    }

    /// Becomes the program; returns only on failure.
    pub fn exec(&self) -> Failure {
        let (kind, why) = self.try_exec();
        Failure { kind, message: format!("exec: {:?}: {why}", self.name) }
    }

    /// As [`Program::exec`], with a failure in the words that the program's own output gets.
    pub fn exec_or_say_why(&self) -> String {
        format!("exec {}: {}", self.path.to_string_lossy(), self.try_exec().1)
    }

    fn try_exec(&self) -> (FailureKind, String) {
        let error = process::exec(&self.path, &self.arguments, &self.environment);
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            // The file was there a moment ago: it is its interpreter that is missing.
            Some(Errno::NOENT) => (FailureKind::NotFound, "no such file or directory".to_owned()),
            Some(Errno::NOEXEC) => (FailureKind::NotExecutable, "exec format error".to_owned()),
            Some(Errno::ACCESS) => (FailureKind::NotExecutable, "permission denied".to_owned()),
            _ => (FailureKind::NotExecutable, error.to_string()),
        }
    }
}

fn find(name: &str, search: &str) -> Result<String, Failure> {
    let mut worst = not_found(name, "executable file not found in $PATH");
    for directory in search.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        match check(name, &candidate) {
            Ok(()) => return Ok(candidate),
            Err(failure) if failure.kind == FailureKind::NotExecutable => worst = failure,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Whether `path` is a file that this process may execute.
fn check(name: &str, path: &str) -> Result<(), Failure> {
    let stat = match rustix::fs::stat(Path::new(path)) {
        Ok(stat) => stat,
        Err(Errno::ACCESS) => return Err(not_executable(name, "permission denied")),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            return Err(not_found(name, &format!("stat {path}: no such file or directory")));
        }
        Err(error) => return Err(not_found(name, &format!("stat {path}: {error}"))),
    };
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(not_executable(name, "is a directory: permission denied"));
    }
    match rustix::fs::accessat(CWD, Path::new(path), Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(()),
        // A filter that is older than the call refuses it, whatever the file is.
        Err(Errno::NOSYS | Errno::PERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(_) => Err(not_executable(name, "permission denied")),
    }
}

fn not_found(name: &str, why: &str) -> Failure {
    Failure { kind: FailureKind::NotFound, message: format!("exec: {name:?}: {why}") }
}

fn not_executable(name: &str, why: &str) -> Failure {
    Failure { kind: FailureKind::NotExecutable, message: format!("exec: {name:?}: {why}") }
}

/// The PATH of a container whose image sets none, as docker has it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, path: &str, expected: Result<&str, (FailureKind, &str)>) {
        let found = Program::find(&[argument.into()], &[format!("PATH={path}")]);
        let found = found.map(|p| p.path.into_string().expect("UTF-8")).map_err(|f| (f.kind, f.message));
        assert_eq!(found.as_deref().map_err(|(kind, message)| (*kind, message.as_str())), expected);
    }

    #[test]
    fn a_command_is_found_in_the_path_or_the_reason_is_told() {
        use FailureKind::*;
        check("sh", "/nowhere:/bin", Ok("/bin/sh"));
        check("/bin/sh", "", Ok("/bin/sh"));
        check("nope", "/bin", Err((NotFound, "exec: \"nope\": executable file not found in $PATH")));
        check("/nope", "", Err((NotFound, "exec: \"/nope\": stat /nope: no such file or directory")));
        check("/etc", "", Err((NotExecutable, "exec: \"/etc\": is a directory: permission denied")));
        check("/etc/passwd", "", Err((NotExecutable, "exec: \"/etc/passwd\": permission denied")));
        check("", "/bin", Err((Setup, "no command specified")));
    }
}
