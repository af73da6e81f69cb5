//! Programs that a specification has run at certain moments of a container's life, with its state on their input.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus},
    time::Duration,
};

use oci_spec::runtime::{Hook, Hooks};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::MemfdFlags,
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::failure::Failure;

/// Runs the hooks of the moment `name`, one after the other, each with `state` on its input. The first that fails is
/// the last.
pub fn run(name: &str, hooks: Option<&Vec<Hook>>, state: &[u8]) -> Result<(), Failure> {
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        run_one(hook, state)
            .map_err(|why| Failure::setup(format_args!("error running {name} hook #{index}: {why}")))?;
    }
    Ok(())
}

/// Runs the hooks of a container's making that are the runtime's: its root is set up, and not yet entered.
pub fn run_outside(hooks: Option<&Hooks>, state: &[u8]) -> Result<(), Failure> {
    // Of an older version of the specification, at the same moment.
    #[allow(deprecated)]
    let prestart = hooks.and_then(|hooks| hooks.prestart().as_ref());
    run("prestart", prestart, state)?;
    run("createRuntime", hooks.and_then(|hooks| hooks.create_runtime().as_ref()), state)
}

/// Runs all hooks of the moment `name`, also after one has failed; what went wrong.
pub fn run_all(name: &str, hooks: Option<&Vec<Hook>>, state: &[u8]) -> Vec<String> {
    let outcomes = hooks.into_iter().flatten().enumerate().map(|(index, hook)| (index, run_one(hook, state)));
    let failed = outcomes.filter_map(|(index, outcome)| Some((index, outcome.err()?)));
    failed.map(|(index, why)| format!("error running {name} hook #{index}: {why}")).collect()
}

fn run_one(hook: &Hook, state: &[u8]) -> io::Result<()> {
    // Files in memory, not pipes: nobody has to read while the hook writes, or to mind that it does not read.
    let (mut input, output, errors) = (memory()?, memory()?, memory()?);
    input.write_all(state)?;
    input.rewind()?;
    let mut command = Command::new(hook.path());
    if let Some([name, arguments @ ..]) = hook.args().as_deref() {
        command.arg0(name).args(arguments);
    }
    // One that says nothing of its environment has the caller's, as with other runtimes.
    if let Some(variables) = hook.env() {
        command.env_clear().envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    }
    command.stdin(input).stdout(output.try_clone()?).stderr(errors.try_clone()?);
    let mut child = sys::signals::unblock_in(&mut command)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", hook.path().display())))?;
    let process = Pid::from_child(&child);
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    if !has_ended(process, timeout)? {
        child.kill()?;
        child.wait()?;
        let seconds = timeout.unwrap_or_default().as_secs_f64();
        return Err(io::Error::other(format!("hook ran past specified timeout of {seconds:.1}s")));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let (output, errors) = (text(output)?, text(errors)?);
    Err(io::Error::other(format!("{}, stdout: {output}, stderr: {errors}", ending(status))))
}

/// Waits for the end of a child, which stays to be collected; `false` if it has not ended in time.
fn has_ended(process: Pid, timeout: Option<Duration>) -> io::Result<bool> {
    let process: OwnedFd = pidfd_open(process, PidfdFlags::empty())?;
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    loop {
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

fn memory() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC)?.into())
}

fn text(mut file: File) -> io::Result<String> {
    file.rewind()?;
    let mut text = Vec::new();
    file.take(MOST_OF_OUTPUT).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// How much of what a hook said is told when it fails.
const MOST_OF_OUTPUT: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use oci_spec::runtime::HookBuilder;

    use super::*;

    fn shell(script: &str, timeout: Option<i64>) -> Result<(), String> {
        let arguments = ["sh", "-c", script].map(str::to_owned);
        let mut hook = HookBuilder::default().path("/bin/sh").args(arguments).env(["WORD=there".to_owned()]);
        if let Some(timeout) = timeout {
            hook = hook.timeout(timeout);
        }
        let hooks = vec![hook.build().expect("a path is given")];
        run("poststop", Some(&hooks), b"{\"id\":\"x\"}").map_err(|failure| failure.message)
    }

    #[test]
    fn a_hook_reads_the_state_and_has_the_variables_it_is_given() {
        assert_eq!(shell(r#"read state; test "$WORD$state" = 'there{"id":"x"}'"#, None), Ok(()));
        assert_eq!(shell("exit 0", Some(60)), Ok(()), "nobody has to read the state");
    }

    #[test]
    fn a_hook_that_fails_tells_how_and_what_it_said() {
        let failed = "error running poststop hook #0: exit status 3, stdout: out\n, stderr: err\n";
        assert_eq!(shell("echo out; echo err >&2; exit 3", None), Err(failed.to_owned()));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let late = "error running poststop hook #0: hook ran past specified timeout of 1.0s";
        assert_eq!(shell("exec sleep 600", Some(1)), Err(late.to_owned()));
    }
}
