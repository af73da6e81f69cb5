//! Giving up what the engine may do: capabilities, user, limits.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilities, PosixRlimit, PosixRlimitType, Process};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit},
    thread::{CapabilitySet, CapabilitySets},
};

use crate::{
    failure::{Context, Failure},
    identity::Identity,
};

/// Drops from the bounding set what `allowed` does not name: no program can bring it back.
pub fn bound(allowed: &LinuxCapabilities) -> Result<(), Failure> {
    let keep = set_of(allowed.bounding().as_ref());
    for capability in CapabilitySet::all().iter() {
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A capability this kernel does not know.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error).context("dropping capabilities"),
        }
    }
    Ok(())
}

/// Becomes `identity`, with `allowed` capabilities if that is root and with none in effect otherwise.
pub fn become_user(identity: &Identity, allowed: &LinuxCapabilities) -> Result<(), Failure> {
    change_user(identity)?;
    // What the engine itself was not given, on a machine that gives root less than all, nobody gets.
    let ours = rustix::thread::capabilities(None).context("reading capabilities")?.permitted;
    let effective = match identity.uid {
        0 => set_of(allowed.effective().as_ref()) & ours,
        _ => CapabilitySet::empty(),
    };
    rustix::thread::clear_ambient_capability_set().context("clearing ambient capabilities")?;
    let sets = CapabilitySets { effective, permitted: effective, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context("setting capabilities")
}

fn change_user(identity: &Identity) -> Result<(), Failure> {
    let groups: Vec<_> = identity.groups.iter().map(|gid| rustix::thread::Gid::from_raw(*gid)).collect();
    let gid = rustix::thread::Gid::from_raw(identity.gid);
    let uid = rustix::thread::Uid::from_raw(identity.uid);
    match rustix::thread::set_thread_groups(&groups) {
        // A user who is nobody but root in a namespace cannot give away groups either, nor can anybody where that is
        // forbidden for good.
        Err(Errno::PERM) if sys::rootless::is_rootless() || groups.is_empty() => {}
        set => set.context("setgroups")?,
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .map_err(|error| match error {
            Errno::INVAL => {
                let Identity { uid, gid, .. } = identity;
                Failure::setup(format_args!("the container's user namespace has no user {uid}:{gid}"))
            }
            error => Failure::setup(format_args!("becoming the user: {}", std::io::Error::from(error))),
        })
}

/// Becomes `identity` with exactly the sets of capabilities that are listed, whoever that is.
pub fn become_user_with(identity: &Identity, listed: &LinuxCapabilities) -> Result<(), Failure> {
    rustix::thread::set_keep_capabilities(true).context("keeping capabilities")?;
    change_user(identity)?;
    let ours = rustix::thread::capabilities(None).context("reading capabilities")?.permitted;
    let given = |names: &Option<HashSet<Capability>>| set_of(names.as_ref()) & ours;
    let sets = CapabilitySets {
        effective: given(listed.effective()),
        permitted: given(listed.permitted()),
        inheritable: given(listed.inheritable()),
    };
    rustix::thread::clear_ambient_capability_set().context("clearing ambient capabilities")?;
    rustix::thread::set_capabilities(None, sets).context("setting capabilities")?;
    // The kernel wants them in both sets. What is not, a specification may list all the same.
    for capability in (given(listed.ambient()) & sets.permitted & sets.inheritable).iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .context("setting ambient capabilities")?;
    }
    rustix::thread::set_keep_capabilities(false).context("keeping capabilities")
}

/// Every capability there is.
pub fn all_capabilities() -> HashSet<Capability> {
    ALL.into_iter().collect()
}

/// Raises the hard limits of a child that has ours so far, or our own if none is given, to what `described` is to have, if that
/// is more: from inside a user namespace nobody can. Where that takes a privilege which is missing, setting them says so.
pub fn make_room(child: Option<Pid>, described: &Process) {
    for limit in described.rlimits().as_deref().unwrap_or_default() {
        let resource = resource(limit.typ());
        let now = rustix::process::getrlimit(resource);
        let wanted = (limit.hard() != u64::MAX).then_some(limit.hard());
        if now.maximum.is_some_and(|now| wanted.is_none_or(|wanted| wanted > now)) {
            let _ = rustix::process::prlimit(child, resource, Rlimit { maximum: wanted, ..now });
        }
    }
}

/// Applies resource limits.
pub fn limit(limits: &[PosixRlimit]) -> Result<(), Failure> {
    for limit in limits {
        let unlimited = |value: u64| (value != u64::MAX).then_some(value);
        let value = Rlimit { current: unlimited(limit.soft()), maximum: unlimited(limit.hard()) };
        rustix::process::setrlimit(resource(limit.typ()), value)
            .context(format_args!("error setting rlimit {}", limit.typ()))?;
    }
    Ok(())
}

/// Applies resource limits, and those that take a privilege which is missing as far as they go without. Says which.
pub fn limit_as_far_as_possible(limits: &[PosixRlimit]) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    for limit in limits {
        let Err(failure) = self::limit(std::slice::from_ref(limit)) else { continue };
        let most = rustix::process::getrlimit(resource(limit.typ())).maximum;
        let unlimited = u64::MAX;
        let (soft, hard) = (limit.soft(), limit.hard());
        if hard <= most.unwrap_or(unlimited) || soft > hard {
            return Err(failure);
        }
        let value = Rlimit { current: most.map(|most| soft.min(most)), maximum: most };
        rustix::process::setrlimit(resource(limit.typ()), value)
            .context(format_args!("error setting rlimit {}", limit.typ()))?;
        let most = most.unwrap_or(unlimited);
        warnings.push(format!("{failure}; it is {most} at most without CAP_SYS_RESOURCE"));
    }
    Ok(warnings)
}

/// The kernel's resource for a limit of the runtime specification. See getrlimit(2).
pub fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

fn set_of(names: Option<&HashSet<Capability>>) -> CapabilitySet {
    names.into_iter().flatten().fold(CapabilitySet::empty(), |set, name| set | flag(*name))
}

fn flag(capability: Capability) -> CapabilitySet {
    use Capability::*;
    match capability {
        AuditControl => CapabilitySet::AUDIT_CONTROL,
        AuditRead => CapabilitySet::AUDIT_READ,
        AuditWrite => CapabilitySet::AUDIT_WRITE,
        BlockSuspend => CapabilitySet::BLOCK_SUSPEND,
        Bpf => CapabilitySet::BPF,
        CheckpointRestore => CapabilitySet::CHECKPOINT_RESTORE,
        Chown => CapabilitySet::CHOWN,
        DacOverride => CapabilitySet::DAC_OVERRIDE,
        DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
        Fowner => CapabilitySet::FOWNER,
        Fsetid => CapabilitySet::FSETID,
        IpcLock => CapabilitySet::IPC_LOCK,
        IpcOwner => CapabilitySet::IPC_OWNER,
        Kill => CapabilitySet::KILL,
        Lease => CapabilitySet::LEASE,
        LinuxImmutable => CapabilitySet::LINUX_IMMUTABLE,
        MacAdmin => CapabilitySet::MAC_ADMIN,
        MacOverride => CapabilitySet::MAC_OVERRIDE,
        Mknod => CapabilitySet::MKNOD,
        NetAdmin => CapabilitySet::NET_ADMIN,
        NetBindService => CapabilitySet::NET_BIND_SERVICE,
        NetBroadcast => CapabilitySet::NET_BROADCAST,
        NetRaw => CapabilitySet::NET_RAW,
        Perfmon => CapabilitySet::PERFMON,
        Setgid => CapabilitySet::SETGID,
        Setfcap => CapabilitySet::SETFCAP,
        Setpcap => CapabilitySet::SETPCAP,
        Setuid => CapabilitySet::SETUID,
        SysAdmin => CapabilitySet::SYS_ADMIN,
        SysBoot => CapabilitySet::SYS_BOOT,
        SysChroot => CapabilitySet::SYS_CHROOT,
        SysModule => CapabilitySet::SYS_MODULE,
        SysNice => CapabilitySet::SYS_NICE,
        SysPacct => CapabilitySet::SYS_PACCT,
        SysPtrace => CapabilitySet::SYS_PTRACE,
        SysRawio => CapabilitySet::SYS_RAWIO,
        SysResource => CapabilitySet::SYS_RESOURCE,
        SysTime => CapabilitySet::SYS_TIME,
        SysTtyConfig => CapabilitySet::SYS_TTY_CONFIG,
        Syslog => CapabilitySet::SYSLOG,
        WakeAlarm => CapabilitySet::WAKE_ALARM,
    }
}

const ALL: [Capability; 41] = {
    use Capability::*;
    [
        AuditControl,
        AuditRead,
        AuditWrite,
        BlockSuspend,
        Bpf,
        CheckpointRestore,
        Chown,
        DacOverride,
        DacReadSearch,
        Fowner,
        Fsetid,
        IpcLock,
        IpcOwner,
        Kill,
        Lease,
        LinuxImmutable,
        MacAdmin,
        MacOverride,
        Mknod,
        NetAdmin,
        NetBindService,
        NetBroadcast,
        NetRaw,
        Perfmon,
        Setgid,
        Setfcap,
        Setpcap,
        Setuid,
        SysAdmin,
        SysBoot,
        SysChroot,
        SysModule,
        SysNice,
        SysPacct,
        SysPtrace,
        SysRawio,
        SysResource,
        SysTime,
        SysTtyConfig,
        Syslog,
        WakeAlarm,
    ]
};
