//! One more process in a container that runs.

use std::{collections::HashSet, os::fd::AsFd, path::PathBuf};

use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, Process};

use crate::{
    Container, Foreground, OciError, Status, Terminal,
    create::{check, hand_over, stdio},
    notify,
};

/// What to run, where it differs from the container's own process.
#[derive(Debug, Clone, Default)]
pub struct Guest {
    /// All of it. Nothing below counts then, but for `terminal`.
    pub process: Option<Process>,
    pub args: Vec<String>,
    pub cwd: Option<PathBuf>,
    /// Added to the container's.
    pub env: Vec<String>,
    /// User and group.
    pub user: Option<(u32, Option<u32>)>,
    pub additional_gids: Vec<u32>,
    pub terminal: bool,
    pub no_new_privileges: bool,
    /// Added to the container's.
    pub capabilities: Vec<Capability>,
    pub apparmor_profile: Option<String>,
    pub selinux_label: Option<String>,
}

impl Guest {
    /// The process as a whole, with `own`, the container's first one, for what is not said.
    fn process(self, own: &Process) -> Process {
        if let Some(mut process) = self.process {
            if process.capabilities().is_none() {
                process.set_capabilities(own.capabilities().clone());
            }
            if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
                process.set_rlimits(own.rlimits().clone());
            }
            if process.no_new_privileges().is_none() {
                process.set_no_new_privileges(own.no_new_privileges());
            }
            if process.oom_score_adj().is_none() {
                process.set_oom_score_adj(own.oom_score_adj());
            }
            if process.apparmor_profile().is_none() {
                process.set_apparmor_profile(own.apparmor_profile().clone());
            }
            if process.selinux_label().is_none() {
                process.set_selinux_label(own.selinux_label().clone());
            }
            if self.terminal {
                process.set_terminal(Some(true));
            }
            process.user_mut().set_username(None);
            return process;
        }
        let mut process = own.clone();
        process.set_args(Some(self.args)).set_terminal(Some(self.terminal)).set_console_size(None);
        if let Some(cwd) = self.cwd {
            process.set_cwd(cwd);
        }
        if !self.env.is_empty() {
            process.set_env(Some(own.env().iter().flatten().cloned().chain(self.env).collect()));
        }
        if let Some((user, group)) = self.user {
            process.user_mut().set_uid(user);
            if let Some(group) = group {
                process.user_mut().set_gid(group);
            }
        }
        if !self.additional_gids.is_empty() {
            let given = own.user().additional_gids().iter().flatten().copied();
            let all = given.chain(self.additional_gids).collect();
            process.user_mut().set_additional_gids(Some(all));
        }
        if self.no_new_privileges {
            process.set_no_new_privileges(Some(true));
        }
        if !self.capabilities.is_empty() {
            process.set_capabilities(Some(with(own.capabilities().as_ref(), &self.capabilities)));
        }
        if self.apparmor_profile.is_some() {
            process.set_apparmor_profile(self.apparmor_profile);
        }
        if self.selinux_label.is_some() {
            process.set_selinux_label(self.selinux_label);
        }
        process
    }
}

/// Adds capabilities to all sets but that which programs of files inherit.
fn with(own: Option<&LinuxCapabilities>, more: &[Capability]) -> LinuxCapabilities {
    let set = |given: Option<&HashSet<Capability>>| -> HashSet<Capability> {
        given.into_iter().flatten().chain(more).copied().collect()
    };
    LinuxCapabilitiesBuilder::default()
        .bounding(set(own.and_then(|own| own.bounding().as_ref())))
        .effective(set(own.and_then(|own| own.effective().as_ref())))
        .permitted(set(own.and_then(|own| own.permitted().as_ref())))
        .ambient(set(own.and_then(|own| own.ambient().as_ref())))
        .inheritable(own.and_then(|own| own.inheritable().clone()).unwrap_or_default())
        .build()
        .expect("every field is optional")
}

/// Starts `guest` in the container.
///
/// The calling process must have no other threads and run from a sealed program (see [`sys::sealed`]).
pub fn exec(
    container: &Container,
    guest: Guest,
    terminal: &Terminal,
    preserved: u32,
    ignore_paused: bool,
    pid_file: Option<PathBuf>,
) -> Result<Foreground, OciError> {
    match container.status()? {
        Status::Stopped | Status::Creating => return Err(OciError::ExecStopped),
        Status::Paused if !ignore_paused => return Err(OciError::ExecPaused),
        _ => {}
    }
    let spec = container.spec()?;
    let own = spec.process().as_ref().ok_or_else(|| OciError::Config("there is no process".into()))?;
    let process = guest.process(own);
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(OciError::Config("args must not be empty".into()));
    }
    check(process.terminal() == Some(true), terminal)?;
    let init = container.process()?.ok_or(OciError::ExecStopped)?;
    let state = container.state(Status::Running);
    let pid = container.record.init.as_ref().map_or(0, |init| init.pid);
    let mut listen = |listener| notify::hand_over(&spec, pid, &state, listener);
    let stdio = stdio(&process)?;
    let cgroup = container.cgroup()?;
    let started = runtime::enter_with(&spec, &process, init.as_fd(), &cgroup, stdio, preserved, &mut listen)
        .map_err(OciError::Start)?;
    hand_over(started, terminal, pid_file.as_deref())
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;

    use super::*;

    fn own() -> Process {
        let spec: Spec = serde_json::from_value(crate::template(false)).expect("a specification");
        spec.process().clone().expect("it has one")
    }

    #[test]
    fn a_guest_is_like_the_first_process_but_for_what_is_said() {
        let guest = Guest {
            args: vec!["id".into()],
            env: vec!["A=1".into()],
            user: Some((7, None)),
            capabilities: vec![Capability::Chown],
            ..Guest::default()
        };
        let process = guest.process(&own());
        assert_eq!(process.terminal(), Some(false));
        assert_eq!(process.env().as_ref().map(Vec::len), Some(3));
        assert_eq!((process.user().uid(), process.user().gid()), (7, 0));
        let capabilities = process.capabilities().clone().expect("some");
        let count = |set: &Option<HashSet<Capability>>| set.as_ref().map(HashSet::len);
        assert_eq!(count(capabilities.bounding()), Some(4));
        assert_eq!(count(capabilities.inheritable()), Some(0));
        assert_eq!(process.no_new_privileges(), Some(true));
    }

    #[test]
    fn a_process_that_is_given_as_a_whole_keeps_what_it_says() {
        let text = r#"{"user": {"uid": 1, "gid": 2}, "args": ["a"], "cwd": "/", "noNewPrivileges": false}"#;
        let process = serde_json::from_str(text).expect("a process");
        let process = Guest { process: Some(process), ..Guest::default() }.process(&own());
        assert_eq!((process.no_new_privileges(), process.terminal()), (Some(false), None));
        assert_eq!(process.capabilities(), own().capabilities());
        assert_eq!(process.env(), &None);
    }
}
